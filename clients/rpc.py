"""Remote procedure calls: a proxy whose methods are the server's functions."""

import builtins
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from clients.addresses import Address
from clients.checks import Check, WrongAnswer, expect
from clients.connections import connect, exchange, socket_of
from services.connection.authkey import authkey

if TYPE_CHECKING:
    import argparse

    from clients.client import Ask

SERVICE = "rpc"


class RemoteError(Exception):
    """A remote exception that has no counterpart here; its notes have the remote traceback."""


class RPCProxy:
    """Calls functions of an RPC server: `proxy.add(2, 3)`.

    May be used from several threads: they take turns. A call during which the server is silent
    for `timeout` seconds raises TimeoutError and gives up the connection, since the answer that
    may still come is not to be taken for that of the next call; the next call makes a new
    connection. Whether the function ran is then unknown, so no call is repeated by itself.
    """

    def __init__(self, address: Address | str, key: bytes, timeout: float = 5.0) -> None:
        self._address = address
        self._key = key
        self._timeout = timeout
        self._lock = threading.Lock()
        self._connection: socket.socket | None = None

    def __enter__(self) -> "RPCProxy":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; a later call opens another."""
        with self._lock:
            self._disconnect()

    def call(self, function: str, /, *args: object, **kwargs: object) -> Any:
        """Call `function` on the server; return its result, or raise what it raised.

        An exception of a built-in class is raised as itself, any other one as RemoteError;
        nothing that the server sends is unpickled to make it. Raises WrongAnswer for what is no
        answer.
        """
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = connect(self._address, self._key, self._timeout)
                answer = exchange(self._connection, (function, args, kwargs))
            except BaseException:
                self._disconnect()
                raise
        match answer:
            case (True, result):
                return result
            case (False, str(name), (list() | tuple()) as arguments, str(trace)):
                raise rebuilt(name, tuple(arguments), trace)
        raise WrongAnswer(f"not an answer of rpc: {answer!r:.200}")

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        return partial(self.call, name)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def rebuilt(name: str, args: tuple[Any, ...], trace: str) -> Exception:
    """Return the exception that the server describes, with its traceback as a note."""
    kind = getattr(builtins, name, None)
    error: Exception
    if isinstance(kind, type) and issubclass(kind, Exception):
        try:
            error = kind(*args)
        except Exception:  # noqa: BLE001 - its class does not take these arguments
            error = RemoteError(name, *args)
    else:
        error = RemoteError(name, *args)
    error.add_note(f"Raised on the server:\n{trace}")
    return error


@contextmanager
def conversation(where: Address | str, timeout: float) -> "Iterator[Ask]":
    """Connect and authenticate; lend a function that has the server put two words together."""
    with connect(where, authkey(), timeout) as connection:

        def ask(word: str) -> None:
            answer = exchange(connection, ("add", (word, "!"), {}))
            expect(f"add({word!r}, '!')", answer, (True, f"{word}!"))

        yield ask


def health(address: Address, timeout: float) -> None:
    """Have two numbers added."""
    with RPCProxy(address, authkey(), timeout) as proxy:
        expect("add(2, 3)", proxy.add(2, 3), 5)


def check_calls(address: Address) -> None:
    """Hold the server to calls with positional and with keyword arguments."""
    with RPCProxy(address, authkey()) as proxy:
        expect("add(2, 3)", proxy.add(2, 3), 5)
        expect("sub(2, 3)", proxy.sub(2, 3), -1)
        expect("sub(y=2, x=3)", proxy.sub(y=2, x=3), 1)


def check_exceptions(address: Address) -> None:
    """Hold the server to passing exceptions on, and serving the connection after them."""
    with RPCProxy(address, authkey()) as proxy:
        for function, args, wanted in (
            ("sub", ([1, 2], 4), "unsupported operand type(s) for -: 'list' and 'int'"),
            ("eval", ("1",), "no function 'eval' is registered"),
        ):
            try:
                result: object = proxy.call(function, *args)
            except (TypeError, NameError) as error:
                result = str(error)
            expect(f"{function}{args}", result, wanted)
        expect("add(2, 3) after that", proxy.add(2, 3), 5)


def check_unix(_address: Address) -> None:
    """Hold the server to the same over its UNIX socket."""
    with RPCProxy(socket_of(SERVICE), authkey()) as proxy:
        expect("add(2, 3)", proxy.add(2, 3), 5)


def check_threads(address: Address) -> None:
    """Hold the proxy to answers that reach the thread that asked."""
    from concurrent.futures import ThreadPoolExecutor

    with RPCProxy(address, authkey()) as proxy, ThreadPoolExecutor(8) as threads:
        sums = threads.map(lambda number: proxy.add(number, 1), range(200))
        expect("200 sums", list(sums), list(range(1, 201)))


CHECKS = (
    Check("add and sub, by position and by keyword", check_calls),
    Check("exceptions are raised at the client", check_exceptions),
    Check("one proxy, eight threads", check_threads),
    Check("the same over the UNIX socket", check_unix, by_address=False),
)


def configure(parser: "argparse.ArgumentParser") -> None:
    """Describe the subcommand's arguments."""
    from clients.cli.literals import VALUES

    parser.epilog = (
        f"{VALUES}\n\n"
        "try:\n"
        "  clients rpc                    the functions that there are\n"
        "  clients rpc add 2 3\n"
        "  clients rpc sub y=2 x=-3\n"
        "  clients rpc sub '[1, 2]' 4     an exception, raised on the server"
    )
    parser.add_argument(
        "--unix", action="store_true", help="over its UNIX socket, in the folder WIRELAB_SOCKETS"
    )
    parser.add_argument("function", nargs="?", default="help", help="without it: what there is")
    parser.add_argument(
        "arguments", nargs="*", help="Python literals, or text; name=value for keywords"
    )


def command(options: "argparse.Namespace", address: Address) -> None:
    """Call one function and print what it returns."""
    from clients.cli.literals import literal

    args: list[object] = []
    kwargs: dict[str, object] = {}
    for argument in options.arguments:
        name, equals, value = argument.partition("=")
        if equals and name.isidentifier():
            if name in kwargs:
                raise ValueError(f"the argument {name!r} is given twice, the second time {value!r}")
            kwargs[name] = literal(value)
        else:
            args.append(literal(argument))
    try:
        where = socket_of(SERVICE) if options.unix else address
        with RPCProxy(where, authkey(), options.timeout) as proxy:
            result = proxy.call(options.function, *args, **kwargs)
    except Exception as error:
        if not getattr(error, "__notes__", ()):
            raise
        sys.exit(f"clients: {options.function} raised {type(error).__name__}: {error}")
    if options.function == "help":
        for signature, what in result.items():
            print(f"{signature:16} {what}")
    else:
        print(repr(result))
