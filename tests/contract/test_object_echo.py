"""What the object echo promises, whatever its concurrency model."""

import os
import pickle
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection
from pathlib import Path
from typing import Any

import pytest

from clients import object_echo
from clients.addresses import Address
from clients.checks import Check
from clients.connections import connect
from services.connection import plain_pickle
from services.connection.session import HANDSHAKE_SECONDS, MAX_MESSAGE
from tests.helpers import LOOPBACK, refuses_to_start, reset, rest_of, until
from tests.processes import Server, running

VARIANTS = ["evented"]

Where = Address | str


def command(variant: str) -> list[str]:
    """Return how a variant is started."""
    return ["python", "-m", f"services.object_echo.{variant}"]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return where the UNIX socket is to be."""
    return str(tmp_path_factory.mktemp("run") / "object-echo.sock")


@pytest.fixture(scope="module", params=VARIANTS)
def server(request: pytest.FixtureRequest, key_file: Path, path: str) -> Iterator[Server]:
    """Run each variant in turn."""
    assert key_file.exists()
    with running(command(request.param), WIRELAB_UNIX_SOCKET=path) as server:
        yield server


@pytest.fixture(params=["TCP", "UNIX"])
def where(request: pytest.FixtureRequest, server: Server, path: str) -> Where:
    """Name each of the two ways to the server in turn."""
    return server.address if request.param == "TCP" else path


def stock(where: Where, key: bytes) -> "Connection[Any, Any]":
    """Connect with the standard library's own client."""
    return Client(where if isinstance(where, str) else (where.host, where.port), authkey=key)


def raw(where: Where) -> socket.socket:
    """Connect without saying anything."""
    if not isinstance(where, str):
        return socket.create_connection(where, 10)
    stream = socket.socket(socket.AF_UNIX)
    stream.settimeout(10)
    stream.connect(where)
    return stream


def test_the_transcript_of_the_recipe_comes_out_as_printed(where: Where, key: bytes) -> None:
    """With the standard library's client, by TCP and by the UNIX socket."""
    with stock(where, key) as c:
        c.send("hello")
        assert c.recv() == "hello"
        c.send(42)
        assert c.recv() == 42
        c.send([1, 2, 3, 4, 5])
        assert c.recv() == [1, 2, 3, 4, 5]


def test_objects_of_every_kind_come_back_equal(where: Where, key: bytes) -> None:
    """One connection carries all of them, each a message of its own."""
    values: list[object] = [
        None,
        True,
        -(2**200),
        0.1,
        "Zoë 😀",
        b"\0\xff",
        (),
        {"nested": [{"deep": ({1, 2}, frozenset({(3, "x")}))}], 1: 2.5},
        list(range(10_000)),
        {str(number): number for number in range(10_000)},
    ]
    with stock(where, key) as c:
        for value in values:
            c.send(value)
        for value in values:
            found = c.recv()
            assert (type(found), found) == (type(value), value)


def test_what_contains_itself_comes_back_so(where: Where, key: bytes) -> None:
    """A list in itself is the same list."""
    value: list[Any] = [1]
    value.append(value)
    with stock(where, key) as c:
        c.send(value)
        found = c.recv()
    assert found[1] is found


def test_a_large_object_is_one_message(where: Where, key: bytes) -> None:
    """4 MiB, there and back."""
    value = os.urandom(4 * 1024 * 1024)
    with stock(where, key) as c:
        c.send(value)
        assert c.recv() == value


def test_what_the_client_checks_holds(
    server: Server, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every check of the client passes, and the health check."""
    monkeypatch.setenv("WIRELAB_UNIX_SOCKET", path)
    checks: tuple[Check, ...] = object_echo.CHECKS
    for check in checks:
        check.run(server.address)
    object_echo.health(server.address, 5)


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(pickle.dumps(len), id="a function"),
        pytest.param(pickle.dumps(ValueError()), id="an exception"),
        pytest.param(b"garbage", id="no pickle"),
        pytest.param(plain_pickle.dumps([1])[:-1], id="half a pickle"),
    ],
)
def test_what_is_not_plain_data_closes_that_connection_alone(
    where: Where, key: bytes, message: bytes
) -> None:
    """Another one, which was open before, is served as before."""
    with stock(where, key) as other, stock(where, key) as c:
        c.send_bytes(message)
        with pytest.raises((EOFError, ConnectionResetError)):
            c.recv()
        other.send("still here")
        assert other.recv() == "still here"


def test_nothing_that_a_pickle_names_is_run(where: Where, key: bytes, tmp_path: Path) -> None:
    """A client that knows the key may not do more than one that sends plain data."""
    canary = tmp_path / "canary"
    with stock(where, key) as c:
        c.send_bytes(b"cos\nmkdir\n(V" + os.fsencode(canary) + b"\ntR.")
        with pytest.raises((EOFError, ConnectionResetError)):
            c.recv()
    assert not canary.exists()


def test_a_message_announced_as_too_large_closes_the_connection(where: Where, key: bytes) -> None:
    """The header is enough, and others are served."""
    with stock(where, key) as c:
        os.write(c.fileno(), (MAX_MESSAGE + 1).to_bytes(4, "big"))
        with pytest.raises((EOFError, ConnectionResetError)):
            c.recv()
    assert object_echo.echo(where, "served") == "served"


STRANGERS: dict[str, bytes] = {
    "a port scan": b"",
    "garbage": os.urandom(100),
    "an HTTP request": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a frame of garbage": b"\0\0\0\4oops",
    "a frame of nothing": b"\0\0\0\0",
    "a negative frame": b"\xff\xff\xff\xff\0\0\0\0\0\0\0\1",
}


@pytest.mark.parametrize("data", STRANGERS.values(), ids=STRANGERS)
def test_a_stranger_is_no_trouble_for_others(where: Where, key: bytes, data: bytes) -> None:
    """Whether it stays, closes or resets the connection."""
    with stock(where, key) as other, raw(where) as stays:
        stays.sendall(data)
        with raw(where) as closes:
            closes.sendall(data)
        resets = raw(where)
        resets.sendall(data)
        reset(resets)
        other.send("still here")
        assert other.recv() == "still here"
        assert object_echo.echo(where, "new") == "new"


def test_a_wrong_key_is_refused_and_others_are_served(where: Where, key: bytes) -> None:
    """A stock client raises what it raises against a stock server."""
    with stock(where, key) as other:
        for _ in range(3):
            with pytest.raises(AuthenticationError, match="digest sent was rejected"):
                stock(where, b"not the key, but as long as one.")
        other.send("still here")
        assert other.recv() == "still here"


def test_a_client_with_the_wrong_key_reads_nothing(where: Where) -> None:
    """What it sends after a wrong answer is not even looked at."""
    with raw(where) as stranger:
        stranger.sendall(b"\0\0\0\x10" + bytes(16) + b"\0\0\0\2N.")
        answer = rest_of(stranger)
    assert answer.count(b"#CHALLENGE#") == 1
    assert answer.endswith(b"\0\0\0\x09#FAILURE#")


def test_mute_peers_keep_nobody_waiting_and_are_dropped(
    server: Server, path: str, key: bytes
) -> None:
    """Their time is that of the handshake; who has authenticated may be silent for longer."""
    with ExitStack() as stack:
        started = time.monotonic()
        mute = [stack.enter_context(raw(where)) for where in 20 * (server.address, path)]
        for peer in mute[:20]:
            peer.sendall(b"\0")  # a header begun is as mute as none
        idle = stack.enter_context(stock(server.address, key))
        assert object_echo.echo(server.address, "served") == "served"
        assert object_echo.echo(path, "served") == "served"
        for peer in mute:
            peer.settimeout(HANDSHAKE_SECONDS + 2)
            assert b"#CHALLENGE#" in rest_of(peer)
        assert time.monotonic() - started > HANDSHAKE_SECONDS - 0.5
        idle.send("idle no more")
        assert idle.recv() == "idle no more"


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_socket_file_is_there_while_the_server_is(
    variant: str, key_file: Path, tmp_path: Path
) -> None:
    """It is removed at the stop, and one that a crash has left is replaced."""
    file = tmp_path / "echo.sock"
    assert key_file.exists()
    with socket.socket(socket.AF_UNIX) as crashed:
        crashed.bind(str(file))
    with running(command(variant), WIRELAB_UNIX_SOCKET=str(file)) as server:
        until(lambda: any("echo.sock" in line for line in server.log))
        assert stat.S_ISSOCK(file.stat().st_mode)
        assert object_echo.echo(str(file), "hello") == "hello"
        assert server.stop() == 0
    assert not file.exists()


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_file_that_is_no_socket_is_not_replaced(
    variant: str, key_file: Path, tmp_path: Path
) -> None:
    """One line names it, and it stays as it is."""
    file = tmp_path / "notes"
    file.write_text("mine")
    line = refuses_to_start(
        command(variant),
        WIRELAB_PORT="0",
        WIRELAB_AUTHKEY_FILE=str(key_file),
        WIRELAB_UNIX_SOCKET=str(file),
    )
    assert line.startswith(f"WIRELAB_UNIX_SOCKET has value {str(file)!r}. Not where a socket can")
    assert file.read_text() == "mine"


@pytest.mark.parametrize("variant", VARIANTS)
def test_without_a_good_authkey_it_does_not_start(variant: str, tmp_path: Path) -> None:
    """One line names the variable, and the file."""
    assert refuses_to_start(command(variant), WIRELAB_PORT="0") == (
        "WIRELAB_AUTHKEY_FILE is not set: it names the file that holds the key"
    )
    short = tmp_path / "short"
    short.write_text("peekaboo\n")
    line = refuses_to_start(command(variant), WIRELAB_PORT="0", WIRELAB_AUTHKEY_FILE=str(short))
    assert line == (
        f"WIRELAB_AUTHKEY_FILE: the key in {short} has 8 characters; it takes at least 32"
    )


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_port_in_use_is_one_line(variant: str, key_file: Path) -> None:
    """It names the address."""
    with socket.create_server((LOOPBACK, 0)) as holder:
        port = str(holder.getsockname()[1])
        line = refuses_to_start(
            command(variant), WIRELAB_PORT=port, WIRELAB_AUTHKEY_FILE=str(key_file)
        )
    assert line.startswith(f"cannot listen on {LOOPBACK}:{port}: Address already in use")


def test_our_client_does_not_wait_for_ever(key: bytes) -> None:
    """A server that accepts and says nothing is given up, by TCP and by a UNIX socket."""
    with socket.create_server((LOOPBACK, 0)) as tcp, pytest.raises(TimeoutError):
        connect(Address(*tcp.getsockname()), key, 0.1)
    name = f"\0wirelab-test-{os.urandom(8).hex()}"  # abstract: no file, unix(7)
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(name)
        unix.listen()
        with pytest.raises(TimeoutError):
            connect(name, key, 0.1)
