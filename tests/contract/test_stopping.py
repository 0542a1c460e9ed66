"""Every server stops when it is asked to, whoever is connected."""

import os
import select
import signal
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from http.client import HTTPResponse
from pathlib import Path
from threading import Event, Semaphore
from typing import Any

import psutil
import pytest

from clients import kv
from clients.addresses import Address
from clients.connections import connect
from scripts import processes
from services.connection.handshake import authkey
from tests.helpers import until
from tests.processes import Server, running

GRACE = 2.0  # seconds
TCP_ECHO = ["raw_loop", "single", "stream_handler", "threaded", "forked", "prethreaded", "evented"]
UDP_TIME = ["raw_loop", "single", "threaded", "forked", "evented"]


def echoed(address: Address) -> socket.socket:
    """Connect and have a byte echoed; where one is served at a time, only the first has it."""
    connection = socket.create_connection(address, 5)
    connection.sendall(b"x")
    select.select([connection], [], [], 0.3)
    return connection


def authenticated(address: Address) -> AbstractContextManager[object]:
    """Connect and authenticate."""
    return connect(address, authkey(), 5)


@contextmanager
def kept_alive(address: Address) -> Any:
    """Make a call, and keep the connection for the next one."""
    with kv.proxy(address) as store:
        store.exists("")
        yield


@contextmanager
def answered(address: Address) -> Any:
    """Make a request, and keep the connection for the next one unless the server closes it."""
    with socket.create_connection(address, 5) as connection:
        connection.sendall(b"GET /hello?name=x HTTP/1.1\r\nHost: x\r\n\r\n")
        response = HTTPResponse(connection)
        response.begin()
        response.read()
        if response.will_close:
            assert connection.recv(1) == b""
            connection.close()
        yield


@contextmanager
def asked(address: Address) -> Any:
    """Send a datagram, and keep the socket."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.sendto(b"", address)
        client.recv(100)
        yield


Idle = Callable[[Address], AbstractContextManager[object]]
SERVERS: dict[str, tuple[list[str], Idle]] = {
    **{
        f"tcp-echo {model}": (["python", "-m", f"services.tcp_echo.{model}"], echoed)
        for model in TCP_ECHO
    },
    **{
        f"udp-time {model}": (["python", "-m", f"services.udp_time.{model}"], asked)
        for model in UDP_TIME
    },
    "object-echo evented": (["python", "-m", "services.object_echo.evented"], authenticated),
    "object-echo threaded": (["python", "-m", "services.object_echo.threaded"], authenticated),
    "rpc evented": (["python", "-m", "services.rpc.evented"], authenticated),
    "rpc threaded": (["python", "-m", "services.rpc.threaded"], authenticated),
    "kv gunicorn": (["gunicorn", "-c", "services/kv/gunicorn.conf.py"], kept_alive),
    "kv single": (["python", "-m", "services.kv.single"], kept_alive),
    "rest gunicorn": (["gunicorn", "-c", "services/rest/gunicorn.conf.py"], answered),
    "rest single": (["python", "-m", "services.rest.single"], answered),
}

STREAMS = {name: server for name, server in SERVERS.items() if "udp" not in name}

each_server = pytest.mark.parametrize(("command", "idle"), SERVERS.values(), ids=SERVERS)


@pytest.fixture(autouse=True)
def _settings(key_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the key and a database for whichever server needs them."""
    monkeypatch.setenv("WIRELAB_AUTHKEY_FILE", str(key_file))
    monkeypatch.setenv("WIRELAB_KV_FILE", str(tmp_path / "kv.sqlite3"))


def said_goodbye(server: Server, number: signal.Signals) -> bool:
    """Whether one line of the log is about the stop, and none is of a traceback."""
    log = "".join(server.log)
    assert "Traceback" not in log
    return log.count(f"stopped by {number.name}") + log.count("Shutting down: Master") == 1


def left_behind(server: Server) -> list[int]:
    """Return the processes that the server has left, which are in the session it was started in."""
    left = []
    for pid in psutil.pids():
        with suppress(ProcessLookupError):
            if os.getsid(pid) == server.process.pid and processes.alive(pid):
                left.append(pid)
    return left


@each_server
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_stops_it_although_clients_are_connected(
    command: list[str], idle: Idle, number: signal.Signals
) -> None:
    """With status 0, within two seconds, and a line in the log."""
    with running(command) as server, ExitStack() as clients:
        for _ in range(3):
            clients.enter_context(idle(server.address))
        server.process.send_signal(number)
        assert server.process.wait(GRACE) == 0
        assert said_goodbye(server, number)
        until(lambda: not left_behind(server), 1)


@each_server
def test_a_ctrl_c_stops_it_once(command: list[str], idle: Idle) -> None:
    """A terminal sends SIGINT to all of its processes, and only one of them is the server."""
    with running(command) as server, ExitStack() as clients:
        for _ in range(3):
            clients.enter_context(idle(server.address))
        os.killpg(server.process.pid, signal.SIGINT)
        assert server.process.wait(GRACE) == 0
        assert said_goodbye(server, signal.SIGINT)
        until(lambda: not left_behind(server), 1)


@each_server
def test_a_second_signal_changes_nothing(command: list[str], idle: Idle) -> None:
    """Whoever is impatient gets the same stop."""
    with running(command) as server, idle(server.address):
        for _ in range(3):
            server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(GRACE) == 0
        assert said_goodbye(server, signal.SIGTERM)


@each_server
def test_its_port_is_free_at_once(command: list[str], idle: Idle) -> None:
    """The next one can listen there although connections of the first are still winding down."""
    with running(command) as server, idle(server.address):
        assert server.stop(GRACE) == 0
        with running(command, WIRELAB_PORT=str(server.address.port)) as successor:
            assert successor.address == server.address
            with idle(successor.address):
                pass


@pytest.mark.parametrize("command", [command for command, _ in STREAMS.values()], ids=STREAMS)
def test_a_silent_connection_does_not_hold_up_the_stop(command: list[str]) -> None:
    """One that has not said a word, and ones that have said half of one."""
    with running(command) as server, ExitStack() as clients:
        for data in (b"", b"\0", b"POST / HTTP/1.1\r\n"):
            client = clients.enter_context(socket.create_connection(server.address, 5))
            client.sendall(data)
        assert server.stop(GRACE) == 0


def come_and_go(kind: socket.SocketKind, address: Address, served: Semaphore, gone: Event) -> None:
    """Come, ask, have an answer and leave, over and over."""
    while not gone.is_set():
        with suppress(OSError), socket.socket(socket.AF_INET, kind) as client:
            client.settimeout(0.5)
            client.connect(address)
            client.send(b"x")
            if client.recv(100):
                served.release()


@pytest.mark.parametrize("how", [os.kill, os.killpg], ids=["the server", "all its processes"])
@pytest.mark.parametrize("name", [name for name in SERVERS if name.startswith(("tcp", "udp"))])
def test_no_moment_is_a_bad_one_to_stop(name: str, how: Callable[[int, int], None]) -> None:
    """Not while clients come and go, nor between the fork of a child and the note of it."""
    command, _ = SERVERS[name]
    kind = socket.SOCK_STREAM if name in STREAMS else socket.SOCK_DGRAM
    served, gone = Semaphore(0), Event()
    with ThreadPoolExecutor(4) as crowd, running(command) as server:
        try:
            for _ in range(4):
                crowd.submit(come_and_go, kind, server.address, served, gone)
            for _ in range(20):
                assert served.acquire(timeout=5)
            how(server.process.pid, signal.SIGTERM)
            assert server.process.wait(GRACE) == 0
            assert said_goodbye(server, signal.SIGTERM)
            until(lambda: not left_behind(server), 1)
        finally:
            gone.set()
