"""What the object echo promises, whatever its concurrency model."""

import os
import pickle
import re
import resource
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import date
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import pytest

import clients.connections
from clients import object_echo
from clients.addresses import Address
from clients.checks import Check
from services import safe_pickle
from services.connection import frames
from services.connection.protocol import Limits
from tests.support.clients import Where, stock
from tests.support.drivers import Driver, named, safe, serving
from tests.support.pace import FAR, until, within
from tests.support.processes import Server, refuses_to_start
from tests.support.sockets import LOOPBACK, connect, reset, rest_of

LIMITS = Limits()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return where the UNIX socket is to be."""
    return str(tmp_path_factory.mktemp("run") / "object-echo.sock")


@pytest.fixture(scope="module", params=safe("object-echo"), ids=str)
def driver(request: pytest.FixtureRequest) -> Driver:
    """Name each safe driver, one after the other; `classic` is in test_classic.py."""
    found: Driver = request.param
    return found


@pytest.fixture(scope="module")
def server(driver: Driver, path: str) -> Iterator[Server]:
    """Run the driver, on its UNIX socket too."""
    with serving(driver, WIRELAB_UNIX_SOCKET=path) as server:
        yield server


@pytest.fixture(params=["TCP", "UNIX"])
def where(request: pytest.FixtureRequest, server: Server, path: str) -> Where:
    """Name each of the two ways to the server, one after the other."""
    return server.address if request.param == "TCP" else path


def assert_refused(where: Where, key: bytes, message: bytes, error: str) -> None:
    """Send a message that is refused with this error, on a connection that goes on."""
    with stock(where, key) as c:
        for _ in range(2):
            c.send_bytes(message)
            answer = c.recv()
            assert list(answer) == ["error"]
            assert re.search(error, answer["error"]), answer
        c.send("still here")
        assert c.recv() == "still here"


class Pid:
    """Unpickled, it is the number of the process that does that."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.getpid, ()


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
    monkeypatch.setenv("WIRELAB_SOCKETS", str(Path(path).parent))
    checks: tuple[Check, ...] = object_echo.CHECKS
    for check in checks:
        check.run(server.address)
    object_echo.health(server.address, FAR)


def test_many_connections_are_served_at_once(where: Where, key: bytes) -> None:
    """All have authenticated before the first one sends."""
    with ExitStack() as stack:
        connections = [stack.enter_context(stock(where, key)) for _ in range(100)]
        for number, c in enumerate(connections):
            c.send(number)
        assert [c.recv() for c in connections] == list(range(100))


@pytest.mark.parametrize(
    ("message", "error"),
    [
        pytest.param(b"garbage", "opcode GET is not one that Python writes", id="no pickle"),
        pytest.param(b"", "malformed pickle", id="nothing"),
        pytest.param(safe_pickle.dumps([1])[:-1], "malformed pickle", id="half a pickle"),
        pytest.param(pickle.dumps(len), r"builtins\.len is not plain data", id="a function"),
        pytest.param(pickle.dumps(ValueError()), r"ValueError is not plain", id="an exception"),
        pytest.param(pickle.dumps(date), r"datetime\.date itself is not plain data", id="a class"),
        pytest.param(
            pickle.dumps([[] for _ in range(100_000)]),
            "more than 100000 lists, tuples, dicts and sets",
            id="too many lists",
        ),
        pytest.param(
            b"\x80\4" + b"]" * 50_000 + b"a" * 49_999 + b".",
            "recursion",
            id="lists that nest too deep to be written",
        ),
    ],
)
def test_what_is_refused_is_answered_with_an_error_and_the_connection_goes_on(
    where: Where, key: bytes, message: bytes, error: str
) -> None:
    """The protocol has no errors: the answer is a dict, which says what it was."""
    assert_refused(where, key, message, error)


def test_nothing_that_a_pickle_names_is_run(where: Where, key: bytes, tmp_path: Path) -> None:
    """A client that knows the key may not do more than one that sends plain data."""
    canary = tmp_path / "canary"
    call = b"cos\nmkdir\n(V" + os.fsencode(canary) + b"\ntR."
    assert_refused(where, key, call, r"os\.mkdir is not plain data")
    assert_refused(where, key, pickle.dumps(Pid()), r"posix\.getpid is not plain data")
    assert not canary.exists()


def test_our_client_raises_what_the_server_refuses(where: Where) -> None:
    """And returns a dict that merely looks like a refusal, if that was sent."""
    with pytest.raises(ValueError, match="refused by the server: the pickle has more than 100000"):
        object_echo.echo(where, [[] for _ in range(100_000)])
    assert object_echo.echo(where, {"error": "mine"}) == {"error": "mine"}


@pytest.mark.parametrize("part", [100_000, 40_000_000])
def test_a_message_that_is_too_large_is_refused_when_all_of_it_was_sent(
    where: Where, key: bytes, part: int
) -> None:
    """A client that is still sending would not read the answer; what follows is answered."""
    size = LIMITS.max_message + 1
    stream = frames.encode(bytes(size)) + frames.encode(safe_pickle.dumps("next"))
    with stock(where, key) as c:
        for start in range(0, len(stream), part):
            data = stream[start : start + part]
            while data:
                data = data[os.write(c.fileno(), data) :]
        error = f"a message of {size} bytes was sent; at most {LIMITS.max_message} are accepted"
        assert (c.recv(), c.recv()) == ({"error": error}, "next")
    assert object_echo.echo(where, "served") == "served"


def test_a_length_that_no_message_has_closes_the_connection(where: Where, key: bytes) -> None:
    """What follows it could be anything; others are served."""
    with stock(where, key) as c:
        os.write(c.fileno(), struct.pack("!i", -2))
        with pytest.raises((EOFError, ConnectionResetError)):
            c.recv()
    assert object_echo.echo(where, "served") == "served"


@pytest.mark.parametrize("driver", safe("object-echo"), ids=str, indirect=True)
def test_a_client_that_writes_a_message_in_two_parts_does_not_wait_for_an_ack(
    server: Server, key: bytes
) -> None:
    """The standard library's does for more than 16 KiB, and after the handshake: 40 ms each."""

    def exchange(c: "Connection[Any, Any]", size: int) -> float:
        began = time.perf_counter()
        c.send(bytes(size))
        assert len(c.recv()) == size
        return time.perf_counter() - began

    first, small, large = [], [], []
    for _ in range(9):
        with stock(server.address, key) as c:
            first.append(exchange(c, 1))
            small.append(exchange(c, 1))
            large.append(exchange(c, 20_000))
    assert median(first) < 40 * median(small)
    assert median(large) < 40 * median(small)


@pytest.mark.parametrize("driver", safe("object-echo", "rpc"), ids=str, indirect=True)
def test_the_largest_message_is_a_setting(driver: Driver, key_file: Path, key: bytes) -> None:
    """One byte more is refused, and a size that cannot be is refused at the start."""
    around = len(safe_pickle.dumps("x" * 4000)) - 4000
    largest = safe_pickle.dumps("x" * (5000 - around))
    with serving(driver, WIRELAB_MAX_MESSAGE="5000") as server:
        with stock(server.address, key) as c:
            c.send_bytes(largest)
            assert c.recv_bytes()
            c.send_bytes(largest + b"x")
            assert b"a message of 5001 bytes was sent; at most 5000 are accepted" in c.recv_bytes()
            c.send_bytes(largest)
            assert c.recv_bytes()
        until(lambda: "at most 5000 are accepted" in server.log, "the log says why")
    for value in ("4095", "2147483648", "16 MiB"):
        line = refuses_to_start(
            driver.command,
            WIRELAB_PORT="0",
            WIRELAB_AUTHKEY_FILE=str(key_file),
            WIRELAB_MAX_MESSAGE=value,
        )
        assert line == (
            f"WIRELAB_MAX_MESSAGE has value {value!r}. Not a number of bytes (4096 to 2147483647)"
        )


STRANGERS: dict[str, bytes] = {
    "a port scan": b"",
    "garbage": os.urandom(100),
    "an HTTP request": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "a frame of garbage": b"\0\0\0\4oops",
    "a frame of nothing": b"\0\0\0\0",
    "a negative frame": b"\xff\xff\xff\xff\0\0\0\0\0\0\0\1",
}


@pytest.mark.parametrize("data", STRANGERS.values(), ids=STRANGERS)
def test_a_stranger_that_leaves_disturbs_nobody(where: Where, key: bytes, data: bytes) -> None:
    """Whether it closes or resets the connection."""
    with stock(where, key) as other:
        with connect(where) as closes:
            closes.sendall(data)
        resets = connect(where)
        resets.sendall(data)
        reset(resets)
        other.send("still here")
        assert other.recv() == "still here"
        assert object_echo.echo(where, "new") == "new"


@pytest.mark.parametrize("data", STRANGERS.values(), ids=STRANGERS)
def test_a_stranger_that_stays_keeps_nobody_waiting(where: Where, data: bytes) -> None:
    """The next client is served meanwhile, whatever the stranger has sent."""
    with connect(where) as stays:
        stays.sendall(data)
        assert object_echo.echo(where, "new") == "new"
    assert object_echo.echo(where, "newer") == "newer"


def test_a_wrong_key_is_refused_and_others_are_served(where: Where, key: bytes) -> None:
    """A stock client raises what it raises against a stock server."""
    with stock(where, key) as other:
        for _ in range(3):
            with pytest.raises(AuthenticationError, match="digest sent was rejected"):
                stock(where, b"not the key, but as long as one.")
        other.send("still here")
        assert other.recv() == "still here"


def test_a_unix_client_may_have_a_name_of_its_own(
    driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most have none, and those of TCP have two parts: this one is of one character."""
    monkeypatch.chdir(tmp_path)
    with serving(driver, WIRELAB_UNIX_SOCKET=str(tmp_path / "echo.sock")) as server:
        until(lambda: "echo.sock" in server.log, "it listens there")
        with socket.socket(socket.AF_UNIX) as client:
            client.bind("x")
            client.settimeout(FAR)
            client.connect("echo.sock")
            assert b"#CHALLENGE#" in client.recv(100)
        assert object_echo.echo(server.address, "served") == "served"


def test_a_client_with_the_wrong_key_reads_nothing(where: Where) -> None:
    """What it sends after a wrong answer is not read."""
    answer = bytearray()
    with connect(where) as stranger, suppress(ConnectionResetError):
        stranger.sendall(b"\0\0\0\x10" + bytes(16) + b"\0\0\0\2N.")
        while chunk := stranger.recv(4096):
            answer += chunk
    assert answer.count(b"#CHALLENGE#") == 1
    assert answer.endswith(b"\0\0\0\x09#FAILURE#")


def test_silent_peers_keep_nobody_waiting_and_are_closed(
    server: Server, path: str, key: bytes
) -> None:
    """Their time is that of the handshake; an authenticated peer may be silent for longer."""
    with ExitStack() as stack:
        started = time.monotonic()
        silent = [stack.enter_context(connect(where)) for where in 20 * (server.address, path)]
        for peer in silent[:20]:
            peer.sendall(b"\0")  # a header begun is as silent as none
        idle = stack.enter_context(stock(server.address, key))
        assert object_echo.echo(server.address, "served") == "served"
        assert object_echo.echo(path, "served") == "served"
        for peer in silent:
            assert b"#CHALLENGE#" in rest_of(peer)
        took = time.monotonic() - started
        assert took > LIMITS.handshake_timeout - 0.5
        assert within(took - LIMITS.handshake_timeout, 2)
        idle.send("idle no more")
        assert idle.recv() == "idle no more"


def test_without_descriptors_it_waits_and_recovers(driver: Driver, key: bytes) -> None:
    """Those connected are served, the log is not flooded, and who waits is served later."""
    with serving(driver) as server, ExitStack() as clients:
        held = [clients.enter_context(stock(server.address, key)) for _ in range(10)]
        for c in held:
            c.send("served")
            assert c.recv() == "served"
        with server.limited(resource.RLIMIT_NOFILE, psutil.Process.num_fds):
            if driver.name == "threaded":  # accept(2) reserves a descriptor before it waits
                held.append(clients.enter_context(stock(server.address, key)))
            waiting = clients.enter_context(connect(server.address))
            until(lambda: "Too many open files" in server.log, "it has no descriptor left")
            began = time.monotonic()
            while time.monotonic() < began + 0.5:
                held[0].send("served")
                assert held[0].recv() == "served"
            complaints = server.log.count("Too many open files")
            assert complaints <= 5 + 15 * (time.monotonic() - began)  # ten a second, and some
            held.pop(0).close()
            assert b"#CHALLENGE#" in waiting.recv(100)


@pytest.mark.parametrize("driver", named("object-echo", "threaded"), ids=str, indirect=True)
def test_without_threads_it_closes_the_connection_and_goes_on(driver: Driver, key: bytes) -> None:
    """Those connected are served, and new ones as soon as there can be a thread again."""
    with serving(driver) as server, stock(server.address, key) as c:
        c.send("served")
        assert c.recv() == "served"
        with server.limited(resource.RLIMIT_AS, lambda process: process.memory_info().vms + 2**20):
            with connect(server.address) as refused:
                assert rest_of(refused) == b""
            assert "can't start new thread" in server.log
            c.send("served")
            assert c.recv() == "served"
        assert object_echo.echo(server.address, "served") == "served"


def test_our_client_does_not_wait_for_ever(key: bytes) -> None:
    """A server that accepts and says nothing is given up, by TCP and by a UNIX socket."""
    with socket.create_server((LOOPBACK, 0)) as tcp, pytest.raises(TimeoutError):
        clients.connections.connect(Address(*tcp.getsockname()), key, 0.1)
    name = f"\0wirelab-test-{os.urandom(8).hex()}"  # abstract: no file, unix(7)
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(name)
        unix.listen()
        with pytest.raises(TimeoutError):
            clients.connections.connect(name, key, 0.1)
