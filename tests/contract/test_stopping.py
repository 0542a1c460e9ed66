"""Every server stops when it is asked to, whoever is connected."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from threading import Event, Semaphore

import psutil
import pytest

from clients.addresses import Address
from lab import processes
from tests.support.clients import connected
from tests.support.drivers import Driver, drivers, in_processes, serving
from tests.support.pace import FAR, until
from tests.support.processes import Server
from tests.support.sockets import connect

ALL = [*drivers(), *in_processes("rest", "httpbin", "object-echo", "rpc")]

each_driver = pytest.mark.parametrize("driver", ALL, ids=str)


@contextmanager
def idle(driver: Driver, address: Address) -> Iterator[None]:
    """Have three clients that stay connected and send nothing more, each served if it can be."""
    with ExitStack() as stack:
        for number in range(3):
            if number < driver.at_once:
                stack.enter_context(connected(driver.service, address))("Hello")
            else:
                stack.enter_context(connect(address))  # and wait in the queue
        yield


def logged_the_stop(server: Server, number: signal.Signals) -> bool:
    """Whether one line of the log is about the stop."""
    return server.log.count(f"stopped by {number.name}") + server.log.count("Shutting down: M") == 1


def left_behind(server: Server) -> list[int]:
    """Return the processes that the server has left, which are in the session it was started in."""
    left = []
    for pid in psutil.pids():
        with suppress(ProcessLookupError):
            if os.getsid(pid) == server.process.pid and processes.alive(pid):
                left.append(pid)
    return left


def assert_stopped(server: Server, number: signal.Signals) -> None:
    """Wait for the end: in time, with status 0, a line in the log, and no process left."""
    assert server.ended() == 0
    assert logged_the_stop(server, number)
    until(lambda: not left_behind(server), "no process is left")


@each_driver
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_stops_it_although_clients_are_connected(
    driver: Driver, number: signal.Signals
) -> None:
    """With status 0, within two seconds, and a line in the log."""
    with serving(driver) as server, idle(driver, server.address):
        server.process.send_signal(number)
        assert_stopped(server, number)


@each_driver
def test_a_ctrl_c_stops_it_once(driver: Driver) -> None:
    """A terminal sends SIGINT to all of its processes, and only one of them is the server."""
    with serving(driver) as server, idle(driver, server.address):
        os.killpg(server.process.pid, signal.SIGINT)
        assert_stopped(server, signal.SIGINT)


@each_driver
def test_a_second_ctrl_c_changes_nothing(driver: Driver) -> None:
    """Nor does a third one, whatever any of its processes is doing to end."""
    with serving(driver) as server, idle(driver, server.address):
        for _ in range(30):
            with suppress(ProcessLookupError):
                os.killpg(server.process.pid, signal.SIGINT)
            time.sleep(0.005)
        assert_stopped(server, signal.SIGINT)


@each_driver
def test_a_second_signal_changes_nothing(driver: Driver) -> None:
    """Whoever is impatient gets the same stop."""
    with serving(driver) as server, idle(driver, server.address):
        for _ in range(3):
            server.process.send_signal(signal.SIGTERM)
        assert_stopped(server, signal.SIGTERM)


@each_driver
def test_its_port_is_free_at_once(driver: Driver) -> None:
    """The next one can listen there although connections of the first are still winding down."""
    with serving(driver) as server, idle(driver, server.address):
        assert server.stop() == 0
        with serving(driver, WIRELAB_PORT=str(server.address.port)) as successor:
            assert successor.address == server.address
            with idle(driver, successor.address):
                pass


@pytest.mark.parametrize(
    "driver", [driver for driver in ALL if driver.service != "udp-time"], ids=str
)
def test_a_silent_connection_does_not_delay_the_stop(driver: Driver) -> None:
    """One that has sent nothing, and ones that have sent half of a request."""
    with serving(driver) as server, ExitStack() as clients:
        for data in (b"", b"\0", b"POST / HTTP/1.1\r\n"):
            client = clients.enter_context(connect(server.address))
            client.sendall(data)
        assert server.stop() == 0


def come_and_go(kind: socket.SocketKind, address: Address, served: Semaphore, gone: Event) -> None:
    """Connect, ask, have an answer and leave, over and over."""
    while not gone.is_set():
        with suppress(OSError), socket.socket(socket.AF_INET, kind) as client:
            client.settimeout(0.5)
            client.connect(address)
            client.send(b"x")
            if client.recv(100):
                served.release()


@pytest.mark.parametrize("how", [os.kill, os.killpg], ids=["the server", "all its processes"])
@pytest.mark.parametrize("driver", drivers("tcp-echo", "udp-time"), ids=str)
def test_no_moment_is_a_bad_one_to_stop(driver: Driver, how: Callable[[int, int], None]) -> None:
    """Not while clients come and go, nor between the fork of a child and the note of it."""
    kind = socket.SOCK_STREAM if driver.service == "tcp-echo" else socket.SOCK_DGRAM
    served, gone = Semaphore(0), Event()
    with ThreadPoolExecutor(4) as threads, serving(driver) as server:
        try:
            for _ in range(4):
                threads.submit(come_and_go, kind, server.address, served, gone)
            for _ in range(20):
                assert served.acquire(timeout=FAR)
            how(server.process.pid, signal.SIGTERM)
            assert_stopped(server, signal.SIGTERM)
        finally:
            gone.set()
