"""What the RPC server promises, whatever its concurrency model, and what its client does."""

import os
import pickle
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import Any

import pytest

from clients import rpc
from clients.addresses import Address
from clients.checks import Check, WrongAnswer
from clients.rpc import RPCProxy
from services import safe_pickle
from services.connection.protocol import Limits
from tests.hostile import pickles
from tests.support.clients import stock
from tests.support.drivers import Driver, safe, serving
from tests.support.pace import FAR, within
from tests.support.processes import Server, running
from tests.support.sockets import LOOPBACK, connect, rest_of

NOT_PLAIN = "UnpicklingError"  # the error of a request that is not plain data


@pytest.fixture(scope="module", params=safe("rpc"), ids=str)
def driver(request: pytest.FixtureRequest) -> Driver:
    """Name each safe driver, one after the other; `classic` is in test_classic.py."""
    found: Driver = request.param
    return found


@pytest.fixture(scope="module")
def sockets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lend a folder for UNIX sockets."""
    return tmp_path_factory.mktemp("sockets")


@pytest.fixture(scope="module")
def server(driver: Driver, sockets: Path) -> Iterator[Server]:
    """Run the driver, on its UNIX socket too."""
    with serving(driver, WIRELAB_UNIX_SOCKET=str(sockets / "rpc.sock")) as server:
        yield server


@pytest.fixture
def connection(address: Address, key: bytes) -> Iterator["Connection[Any, Any]"]:
    """Connect with the standard library's own client."""
    with stock(address, key) as connection:
        yield connection


@pytest.fixture
def proxy(address: Address, key: bytes) -> Iterator[RPCProxy]:
    """Connect with our own client."""
    with RPCProxy(address, key) as proxy:
        yield proxy


class TwiceProxy:
    """Does what the recipe's RPCProxy does: pickles the request, and unpickles the answer."""

    def __init__(self, connection: "Connection[Any, Any]") -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self._connection.send(pickle.dumps((name, args, kwargs)))
            answer = pickle.loads(self._connection.recv())
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call


def test_the_transcript_of_the_recipe_comes_out_as_printed(
    connection: "Connection[Any, Any]",
) -> None:
    """The exception is raised at the client, with the text of the server's."""
    proxy = TwiceProxy(connection)
    assert proxy.add(2, 3) == 5
    assert proxy.sub(2, 3) == -1
    with pytest.raises(TypeError) as caught:
        proxy.sub([1, 2], 4)
    assert str(caught.value) == "unsupported operand type(s) for -: 'list' and 'int'"


def test_the_proxy_of_the_recipe_gets_every_exception(connection: "Connection[Any, Any]") -> None:
    """And its connection stays usable."""
    proxy = TwiceProxy(connection)
    with pytest.raises(NameError, match="no function 'mul' is registered"):
        proxy.mul(2, 3)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'y'"):
        proxy.add(2)
    assert proxy.add(x="a", y="b") == "ab"


@pytest.mark.parametrize("check", rpc.CHECKS, ids=[check.what for check in rpc.CHECKS])
def test_what_the_client_checks_holds(
    address: Address, sockets: Path, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every check of the client passes."""
    monkeypatch.setenv("WIRELAB_SOCKETS", str(sockets))
    check.run(address)


def test_the_health_check_passes(address: Address) -> None:
    """The exchange that container health checks make succeeds."""
    rpc.health(address, FAR)


def test_results_are_what_the_function_returns(proxy: RPCProxy) -> None:
    """By position and by keyword, of any kind of plain data."""
    assert proxy.add(2, 3) == 5
    assert proxy.sub(y=2, x=3) == 1
    assert proxy.add([1], y=[2]) == [1, 2]
    for value in (None, {"a": (1, {2})}, b"\0" * 1_000_000, "", -(2**100), float("inf")):
        assert proxy.echo(value) == value


def test_help_lists_the_functions(proxy: RPCProxy) -> None:
    """With their parameters and what they do."""
    assert proxy.help() == {
        "add(x, y)": "Return x + y.",
        "sub(x, y)": "Return x - y.",
        "echo(value)": "Return `value`.",
        "help()": "Return each function with its parameters, and what it does.",
    }


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        pytest.param(
            lambda proxy: proxy.sub([1, 2], 4),
            TypeError,
            "unsupported operand type(s) for -: 'list' and 'int'",
            id="in the function",
        ),
        pytest.param(
            lambda proxy: proxy.add(1),
            TypeError,
            "add() missing 1 required positional argument: 'y'",
            id="in the call",
        ),
        pytest.param(
            lambda proxy: proxy.add(10**308 * 1.0, 10**400),
            OverflowError,
            "int too large to convert to float",
            id="of arithmetic",
        ),
        pytest.param(
            lambda proxy: proxy.call("eval", "1"),
            NameError,
            "no function 'eval' is registered",
            id="of a name",
        ),
    ],
)
def test_an_exception_is_raised_as_itself_with_the_remote_traceback(
    proxy: RPCProxy, call: Callable[[RPCProxy], object], error: type[Exception], text: str
) -> None:
    """The traceback is a note of it, and the connection stays the same."""
    assert proxy.add(1, 1) == 2
    before = proxy._connection
    with pytest.raises(error) as caught:
        call(proxy)
    assert (type(caught.value), str(caught.value)) == (error, text)
    (note,) = caught.value.__notes__
    assert note.startswith("Raised on the server:\nTraceback (most recent call last):\n")
    assert f"{error.__name__}: {text}" in note
    assert proxy.add(1, 1) == 2
    assert proxy._connection is before


@pytest.mark.parametrize(
    "request_",
    [None, 42, "add", ["add"], ("add", 1, 2), {"add": 1}, ("add", (), {}, ())],
    ids=repr,
)
def test_a_request_of_another_shape_is_an_error(
    connection: "Connection[Any, Any]", request_: object
) -> None:
    """The connection stays usable."""
    connection.send(request_)
    held, name, args, _ = connection.recv()
    assert (held, name, args) == (
        False,
        "TypeError",
        ("a request is (function name, args, kwargs)",),
    )
    connection.send(("add", (2, 3), {}))
    assert connection.recv() == (True, 5)


class Pid:
    """Unpickled, it is the number of the process that does that."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.getpid, ()


UNPICKLABLE = """
import sys
from importlib import import_module
from services import runtime
from services.rpc.functions import register

@register
def a_generator():
    return (number for number in range(3))

@register
def an_error():
    raise ValueError(lambda: 0)

runtime.main(import_module(f"services.rpc.{sys.argv[1]}").serve, default_port=0)
"""


def test_what_cannot_be_pickled_leaves_the_connection_usable(driver: Driver, key: bytes) -> None:
    """A result or an exception, for either form of client."""
    with running(["python", "-c", UNPICKLABLE, driver.name]) as server:
        with RPCProxy(server.address, key) as proxy:
            with pytest.raises(ValueError, match="a generator is not plain data"):
                proxy.a_generator()
            with pytest.raises(ValueError, match="<function"):
                proxy.an_error()
            assert proxy.add(2, 3) == 5
        with stock(server.address, key) as connection:
            twice = TwiceProxy(connection)
            with pytest.raises(ValueError, match="a generator is not plain data"):
                twice.a_generator()
            with pytest.raises(ValueError, match="<function"):
                twice.an_error()
            assert twice.add(2, 3) == 5


@pytest.mark.parametrize(
    ("message", "error"),
    [
        pytest.param(pickle.dumps(len), r"builtins\.len is not plain data", id="a function"),
        pytest.param(
            pickle.dumps(("none such", (Pid(),), {})), r"posix\.getpid is not plain", id="a call"
        ),
        pytest.param(pickle.dumps(("echo", (range(3),), {})), r"builtins\.range is", id="a range"),
        pytest.param(b"", "malformed pickle", id="nothing"),
        pytest.param(b"garbage", "opcode GET is not one", id="garbage"),
        pytest.param(pickles.decimal_bomb(), "a Decimal and an integer of more", id="hours"),
    ],
)
def test_a_request_that_is_not_plain_data_is_an_error(
    connection: "Connection[Any, Any]", message: bytes, error: str
) -> None:
    """The connection stays usable."""
    connection.send_bytes(message)
    held, name, (text,), _ = connection.recv()
    assert (held, name) == (False, NOT_PLAIN)
    assert re.search(error, text)
    connection.send(("add", (2, 3), {}))
    assert connection.recv() == (True, 5)


@pytest.mark.parametrize("twice", [False, True], ids=["pickled once", "pickled twice"])
def test_nothing_that_a_pickle_names_is_run(
    connection: "Connection[Any, Any]", twice: bool
) -> None:
    """A client that knows the key cannot call os.getpid, which nobody has registered."""
    request: object = ("echo", (Pid(),), {})
    connection.send(pickle.dumps(request) if twice else request)
    answer = pickle.loads(connection.recv()) if twice else connection.recv()
    assert NOT_PLAIN in (str(answer) if twice else answer)


def test_everyday_values_are_arguments_and_results(proxy: RPCProxy) -> None:
    """They are added and subtracted as they are here."""
    day, zone = timedelta(days=1), timezone(timedelta(hours=-3))
    assert proxy.add(datetime(2020, 2, 28, tzinfo=zone), day) == datetime(2020, 2, 29, tzinfo=zone)
    assert proxy.sub(date(2020, 3, 1), date(2020, 2, 1)) == timedelta(29)
    assert proxy.add(Decimal("1.10"), Decimal("2.205")).as_tuple() == Decimal("3.305").as_tuple()
    assert proxy.sub(set(range(30_000)), {0}) == set(range(1, 30_000))
    assert proxy.echo(dict.fromkeys(range(30_000))) == dict.fromkeys(range(30_000))


def test_a_request_that_is_too_large_is_an_error(
    connection: "Connection[Any, Any]", proxy: RPCProxy
) -> None:
    """It names the size and the limit, in the form that the request has; both connections go on."""
    limit = Limits().max_message
    named = rf"a message of 1677\d{{4}} bytes was sent; at most {limit} are accepted"
    with pytest.raises(rpc.RemoteError, match=named) as caught:
        proxy.echo(bytes(limit))
    assert caught.value.args[0] == "MessageTooLarge"
    before = proxy._connection
    assert proxy.add(2, 3) == 5
    assert proxy._connection is before
    twice = TwiceProxy(connection)
    with pytest.raises(RuntimeError, match=f"MessageTooLarge: {named}"):
        twice.echo(bytes(limit))
    assert twice.add(2, 3) == 5


def test_requests_sent_without_waiting_are_answered_in_order(
    connection: "Connection[Any, Any]",
) -> None:
    """As many as there are."""
    for number in range(100):
        connection.send(("add", (number, 1), {}))
    assert [connection.recv() for _ in range(100)] == [(True, n) for n in range(1, 101)]


def test_threads_may_share_a_proxy(proxy: RPCProxy) -> None:
    """Each gets the answers to its own calls, and its own exceptions."""

    def calls(number: int) -> None:
        for turn in range(20):
            assert proxy.add(number, turn) == number + turn
            with pytest.raises(NameError, match=f"no function 'f{number}' "):
                proxy.call(f"f{number}")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(calls, range(8)))


def test_a_wrong_key_is_refused_and_others_are_served(address: Address, key: bytes) -> None:
    """By our own client and by the standard library's."""
    with RPCProxy(address, b"not the key") as proxy, pytest.raises(AuthenticationError):
        proxy.add(1, 1)
    with pytest.raises(AuthenticationError):
        stock(address, b"not the key")
    with RPCProxy(address, key) as proxy:
        assert proxy.add(1, 1) == 2


def test_silent_peers_keep_nobody_waiting_and_are_closed(address: Address) -> None:
    """Their time is that of the handshake."""
    began = time.monotonic()
    with ExitStack() as stack:
        silent = [stack.enter_context(connect(address)) for _ in range(20)]
        rpc.health(address, FAR)
        for peer in silent:
            assert b"#CHALLENGE#" in rest_of(peer)
    assert within(time.monotonic() - began - Limits().handshake_timeout, 2)


@contextmanager
def listening(script: Callable[[Listener], object], key: bytes) -> Iterator[Address]:
    """Run `script` with a listener of the standard library."""
    with Listener((LOOPBACK, 0), authkey=key) as listener:
        thread = threading.Thread(target=script, args=(listener,), daemon=True)
        thread.start()
        try:
            yield Address(*listener.address)
        finally:
            thread.join(FAR)


def test_a_call_that_is_not_answered_times_out_and_the_next_one_reconnects(key: bytes) -> None:
    """The answer that comes late is on a connection that nobody reads any more."""
    timed_out = threading.Event()
    late = safe_pickle.dumps((True, "late"))

    def script(listener: Listener) -> None:
        with listener.accept() as first:
            assert first.recv() == ("add", (1, 1), {})
            timed_out.wait(FAR)
            with listener.accept() as second:
                first.send_bytes(late)
                assert second.recv() == ("add", (2, 2), {})
                second.send_bytes(safe_pickle.dumps((True, 4)))

    with listening(script, key) as address, RPCProxy(address, key, timeout=1) as proxy:
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            proxy.add(1, 1)
        assert time.monotonic() - started > 0.75
        timed_out.set()
        proxy._timeout = FAR
        assert proxy.add(2, 2) == 4


def test_a_server_that_closes_is_connected_to_again(key: bytes) -> None:
    """The call that was under way is not repeated: it may have been carried out."""

    def script(listener: Listener) -> None:
        with listener.accept() as first:
            first.recv()
        with listener.accept() as second:
            assert second.recv() == ("add", (2, 2), {})
            second.send_bytes(safe_pickle.dumps((True, 4)))

    with listening(script, key) as address, RPCProxy(address, key) as proxy:
        with pytest.raises(EOFError):
            proxy.add(1, 1)
        assert proxy.add(2, 2) == 4


def test_a_server_that_is_silent_from_the_start_times_out(key: bytes) -> None:
    """It does not even send a challenge."""
    with socket.create_server((LOOPBACK, 0)) as silent:
        address = Address(*silent.getsockname())
        with RPCProxy(address, key, timeout=0.1) as proxy, pytest.raises(TimeoutError):
            proxy.add(1, 1)


def test_what_a_server_sends_is_not_run(key: bytes, tmp_path: Path) -> None:
    """An answer that is not plain data is refused, and its connection given up."""
    canary = tmp_path / "canary"

    def script(listener: Listener) -> None:
        with listener.accept() as first:
            first.recv()
            first.send_bytes(b"cos\nmkdir\n(V" + str(canary).encode() + b"\ntR.")

    with listening(script, key) as address, RPCProxy(address, key) as proxy:
        with pytest.raises(WrongAnswer, match=r"mkdir is not plain data"):
            proxy.add(1, 1)
        assert proxy._connection is None
    assert not canary.exists()
