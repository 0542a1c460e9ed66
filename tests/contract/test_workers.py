"""Servers of several processes: who serves, who is replaced, and what the death of one costs."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from threading import Event

import psutil
import pytest

from clients.client import Ask
from lab.processes import alive
from tests.support.clients import connected
from tests.support.drivers import DRIVERS, Driver, in_processes, named
from tests.support.pace import until
from tests.support.processes import Server, refuses_to_start, running
from tests.support.sockets import connect, rest_of

LISTEN = "0A"  # a state in proc_net_tcp(5)
CLIENTS = (
    24  # the kernel chooses the worker of each: that one gets all happens once in 2 ** 23 runs
)
FIRST = {  # what a client sends to be answered; object-echo and rpc speak first
    "tcp-echo": b"Hello",
    "rest": b"GET /localtime HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "httpbin": b"GET /get HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "object-echo": b"",
    "rpc": b"",
}

each_server = pytest.mark.parametrize("driver", in_processes(), ids=str)
each_with_connections = pytest.mark.parametrize("driver", in_processes(*FIRST), ids=str)
each_with_a_unix_socket = pytest.mark.parametrize(
    "driver", in_processes("object-echo", "rpc"), ids=str
)


def two_workers(server: Server) -> list[psutil.Process]:
    """Return the workers once there are two, in the order in which they were started."""
    process = psutil.Process(server.process.pid)
    until(lambda: len(process.children()) == 2, "two workers")
    return sorted(process.children(), key=lambda worker: worker.pid)


@contextmanager
def suspended(worker: psutil.Process) -> Iterator[None]:
    """Suspend a worker while the body of the `with` runs, which may also end it."""
    worker.suspend()
    try:
        yield
    finally:
        with suppress(psutil.NoSuchProcess):
            worker.resume()  # otherwise no signal but SIGKILL would ever end it


def accepted(worker: psutil.Process, server: Server) -> set[int]:
    """Return the clients' ports of the connections that a worker has accepted."""
    return {
        found.raddr.port
        for found in worker.net_connections("tcp")
        if found.laddr.port == server.address.port and found.status == psutil.CONN_ESTABLISHED
    }


def in_accept_queues(server: Server) -> int:
    """Return how many connections wait to be accepted: the rx_queue of its listeners."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    table = [line.split() for line in lines]
    own = f":{server.address.port:04X}"
    return sum(
        int(row[4].partition(":")[2], 16)
        for row in table
        if row[1].endswith(own) and row[3] == LISTEN
    )


def ask_all(server: Server, driver: Driver) -> None:
    """Have an answer for each of so many new clients that some are with either worker."""
    for _ in range(CLIENTS):
        with connected(driver.service, server.address) as ask:
            ask("Hello")


def served_by_both(server: Server, driver: Driver) -> list[psutil.Process]:
    """Return two workers, each of which has answered a connection."""
    workers = two_workers(server)
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(server.address)) for _ in range(CLIENTS)]
        for client in clients:
            client.sendall(FIRST[driver.service])
            assert client.recv(1)
        assert all(accepted(worker, server) for worker in workers)
    until(lambda: not any(accepted(worker, server) for worker in workers), "they have left")
    return workers


@each_with_connections
def test_over_ipv6_each_worker_has_a_listener_of_its_own_too(driver: Driver) -> None:
    """The kernel distributes connections: one that is suspended leaves about half of them alone."""
    with running(driver.command, **driver.settings, WIRELAB_HOST="::1") as server:
        served_by_both(server, driver)
        inodes = {
            line.split()[9]
            for line in Path("/proc/net/tcp6").read_text().splitlines()[1:]
            if line.split()[1].endswith(f":{server.address.port:04X}") and line.split()[3] == LISTEN
        }
        assert len(inodes) == 2


@pytest.mark.parametrize(
    "driver",
    [*named("rpc", "evented"), *named("object-echo", "evented")],
    ids=str,
)
def test_by_default_it_is_one_process(driver: Driver) -> None:
    """The one that was started; and so it is with WIRELAB_WORKERS=1."""
    for settings in ({}, {"WIRELAB_WORKERS": "1"}):
        with (
            running(driver.command, **{**driver.settings, **settings}) as server,
            connected(driver.service, server.address) as ask,
        ):
            ask("Hello")
            assert psutil.Process(server.process.pid).children() == []


@pytest.mark.parametrize(
    ("service", "settings"),
    [("rest", {}), ("httpbin", {}), ("kv", {}), ("kv", {"WIRELAB_WORKERS": "2"})],
)
def test_gunicorn_has_one_worker(service: str, settings: dict[str, str]) -> None:
    """By default; and that of kv has the store, so it is the only one, whatever is set."""
    with running(DRIVERS[service][0].command, **settings) as server:
        for _ in range(3):
            with connected(service, server.address) as ask:
                ask("Hello")
        assert len(psutil.Process(server.process.pid).children()) == 1
        assert server.log.count("Booting worker") == 1


@each_server
@pytest.mark.parametrize("value", ["0", "-1", "many", "1.5"])
def test_a_bad_number_of_workers_is_one_line(driver: Driver, value: str, key_file: Path) -> None:
    """It names the variable and the value, and no worker is started."""
    settings = {"WIRELAB_PORT": "0", "WIRELAB_AUTHKEY_FILE": str(key_file)}
    line = refuses_to_start(driver.command, WIRELAB_WORKERS=value, **settings)
    assert line == f"WIRELAB_WORKERS has value {value!r}. Not a whole number from 1 up"


@each_server
@pytest.mark.parametrize("index", [0, 1])
def test_a_worker_that_was_killed_is_replaced_and_the_log_says_which(
    driver: Driver, index: int
) -> None:
    """By one that serves; the other worker is not touched."""
    with running(driver.command, **driver.settings) as server:
        workers = two_workers(server)
        killed, other = workers[index], workers[1 - index]
        killed.kill()
        successor = until(lambda: {*two_workers(server)} - {*workers}, "another worker").pop()
        assert {*two_workers(server)} == {other, successor}
        if driver.name == "gunicorn":
            assert server.log.count(f"Worker (pid:{killed.pid}) was sent SIGKILL!") == 1
        else:
            line = f"worker {index + 1} (process {killed.pid}) ended with status -9"
            assert server.log.count(line) == 1
            line = f"worker {index + 1} is process {successor.pid}"
            until(lambda: server.log.count(line) == 1, line)  # which is written after the fork
        ask_all(server, driver)


@each_server
def test_workers_end_with_the_process_that_started_them(driver: Driver) -> None:
    """However that ends: they would keep the port from the next server."""
    with running(driver.command, **driver.settings) as server:
        workers = two_workers(server)
        server.process.kill()
        until(lambda: not any(alive(worker.pid) for worker in workers), "the workers end")


@each_with_connections
def test_connections_that_wait_for_a_killed_worker_are_served_by_its_successor(
    driver: Driver,
) -> None:
    """They are in the accept queue of a listener that stays open; what it had accepted is lost."""
    with running(driver.command, **driver.settings) as server, ExitStack() as stack:
        killed, other = served_by_both(server, driver)
        early = [stack.enter_context(connect(server.address)) for _ in range(CLIENTS)]
        until(lambda: len(accepted(killed, server) | accepted(other, server)) == CLIENTS, "all in")
        stack.enter_context(suspended(killed))
        lost = accepted(killed, server)
        late = [stack.enter_context(connect(server.address)) for _ in range(CLIENTS)]
        until(
            lambda: len(lost | accepted(other, server)) + in_accept_queues(server) == 2 * CLIENTS,
            "all are accepted, or wait",
        )
        assert lost
        assert in_accept_queues(server)
        killed.kill()
        for client in early + late:
            if client.getsockname()[1] in lost:
                with suppress(ConnectionResetError):
                    rest_of(client)
            else:
                client.sendall(FIRST[driver.service])
                assert client.recv(1)


@each_server
def test_a_worker_killed_under_load_costs_only_its_own_connections(driver: Driver) -> None:
    """All others go on without an error, and new ones are served."""
    counts = [0] * CLIENTS
    stopped = Event()

    def asking(number: int, ask: Ask) -> bool:
        with suppress(OSError, EOFError, HTTPException):
            while not stopped.is_set():
                ask("Hello")
                counts[number] += 1
            return True
        return False

    with (
        running(driver.command, **driver.settings) as server,
        ExitStack() as stack,
        ThreadPoolExecutor(CLIENTS) as threads,
    ):
        workers = two_workers(server)
        clients = [
            stack.enter_context(connected(driver.service, server.address)) for _ in range(CLIENTS)
        ]
        asked = [threads.submit(asking, *client) for client in enumerate(clients)]
        try:
            until(lambda: all(counts), "each has an answer")
            own = len(accepted(workers[0], server))
            workers[0].kill()
            until(lambda: {*two_workers(server)} - {*workers}, "another worker")
            ask_all(server, driver)
            until(lambda: sum(each.done() for each in asked) == own, "its own connections end")
            before = [*counts]
            until(
                lambda: (
                    sum(now > then for now, then in zip(counts, before, strict=True))
                    == CLIENTS - own
                ),
                "all others are answered again",
            )
        finally:
            stopped.set()
        assert own or driver.service == "udp-time"  # where there are no connections to lose
        assert [each.result() for each in asked].count(False) == own


@each_with_connections
def test_workers_share_many_connections(driver: Driver) -> None:
    """Within 30 % of each other.

    The kernel chooses by a hash, so of 2,000 connections a worker gets 1,000 with a standard
    deviation of 22: one that is 130 off comes once in a hundred million runs.
    """
    shares = [0, 0]
    with running(driver.command, **driver.settings) as server:
        workers = served_by_both(server, driver)
        idle = [worker.num_fds() for worker in workers]

        def connections() -> list[int]:
            return [worker.num_fds() - least for worker, least in zip(workers, idle, strict=True)]

        for _ in range(20):
            with ExitStack() as stack:
                for _ in range(100):
                    stack.enter_context(connect(server.address))
                until(lambda: sum(connections()) == 100, "all are accepted")
                shares = [total + new for total, new in zip(shares, connections(), strict=True)]
            until(lambda: sum(connections()) == 0, "all are closed")
    assert sum(shares) == 2000
    assert max(shares) < 1.3 * min(shares)


@each_with_a_unix_socket
def test_workers_share_the_unix_socket(driver: Driver, tmp_path: Path) -> None:
    """A client there waits for no particular worker, and the file stays when one of them dies."""
    file = str(tmp_path / "socket")
    with running(driver.command, **driver.settings, WIRELAB_UNIX_SOCKET=file) as server:
        first, second = two_workers(server)
        for other in (first, second):
            with suspended(other):
                for _ in range(3):
                    with connected(driver.service, file) as ask:
                        ask("Hello")
        first.kill()
        until(lambda: first not in two_workers(server), "another worker")
        with suspended(second), connected(driver.service, file) as ask:
            ask("Hello")
