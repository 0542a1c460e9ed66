"""Every server stops when it is asked to, whoever is connected."""

import signal
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from clients import kv
from clients.addresses import Address
from clients.connections import connect
from services.connection.handshake import authkey
from tests.processes import Server, running

GRACE = 2.0  # seconds


def echoed(address: Address) -> socket.socket:
    """Connect and have a byte echoed, so that the server knows of the connection."""
    connection = socket.create_connection(address, 5)
    connection.sendall(b"x")
    assert connection.recv(1) == b"x"
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
def asked(address: Address) -> Any:
    """Send a datagram, and keep the socket."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.sendto(b"", address)
        client.recv(100)
        yield


Idle = Callable[[Address], AbstractContextManager[object]]
SERVERS: dict[str, tuple[list[str], Idle]] = {
    "tcp-echo evented": (["python", "-m", "services.tcp_echo.evented"], echoed),
    "udp-time raw_loop": (["python", "-m", "services.udp_time.raw_loop"], asked),
    "object-echo evented": (["python", "-m", "services.object_echo.evented"], authenticated),
    "rpc evented": (["python", "-m", "services.rpc.evented"], authenticated),
    "kv gunicorn": (["gunicorn", "-c", "services/kv/gunicorn.conf.py"], kept_alive),
}

STREAMS = {name: server for name, server in SERVERS.items() if "udp" not in name}

each_server = pytest.mark.parametrize(("command", "idle"), SERVERS.values(), ids=SERVERS)


@pytest.fixture(autouse=True)
def _settings(key_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the key and a database for whichever server needs them."""
    monkeypatch.setenv("WIRELAB_AUTHKEY_FILE", str(key_file))
    monkeypatch.setenv("WIRELAB_KV_FILE", str(tmp_path / "kv.sqlite3"))


def said_goodbye(server: Server, number: signal.Signals) -> bool:
    """Whether the last lines of the log are about the stop, and none is of a traceback."""
    log = "".join(server.log)
    assert "Traceback" not in log
    return f"stopped by {number.name}" in log or "Shutting down: Master" in log


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
