"""object-echo and rpc with Python's own `multiprocessing.connection.Client`, and nothing else.

python connection.py HOST:PORT-OF-OBJECT-ECHO HOST:PORT-OF-RPC KEYFILE
"""

from __future__ import annotations  # a Connection[...] is for type checkers only

import json
import pickle
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection
from pathlib import Path
from typing import Any
from uuid import UUID

echo_address, rpc_address = (
    (host, int(port)) for host, port in (a.split(":") for a in sys.argv[1:3])
)
key = Path(sys.argv[3]).read_bytes().strip()


def check(name: str, expected: object, function: Callable[[], object]) -> None:
    """Make a check, and print whether the function returns what is expected."""
    try:
        got = function()
        ok = got == expected
        detail = "" if ok else f"{got!r} instead of {expected!r}"
    except Exception as error:  # noqa: BLE001 - whatever it is, the check has failed
        ok, detail = False, f"{type(error).__name__}: {error}"
    print(json.dumps({"check": name, "ok": ok, "detail": detail}), flush=True)


def connect(address: tuple[str, int]) -> Connection[Any, Any]:
    """Return a connection whose handshake is done."""
    return Client(address, authkey=key)


def echoed(*values: object) -> list[object]:
    """Return what comes back for each of these objects, sent on one connection."""
    with connect(echo_address) as connection:
        answers = []
        for value in values:
            connection.send(value)
            answers.append(connection.recv())
        return answers


def check_echo(name: str, *values: object) -> None:
    """Check that each of these objects comes back equal."""
    check(name, list(values), lambda: echoed(*values))


def wrong_key() -> str:
    """Return what a client with another key gets."""
    try:
        Client(echo_address, authkey=b"another key")
    except AuthenticationError as error:
        return str(error)
    return "connected"


def protocols() -> list[object]:
    """Return what comes back for pickles of each protocol."""
    with connect(echo_address) as connection:
        answers = []
        for protocol in (2, 3, 4, 5):
            connection.send_bytes(pickle.dumps(["spam", protocol], protocol))
            answers.append(connection.recv())
        return answers


def recursive() -> bool:
    """Return whether a list that contains itself still does when it comes back."""
    value: list[object] = []
    value.append(value)
    [answer] = echoed(value)
    return isinstance(answer, list) and answer[0] is answer


def called(function: str, *args: object, **kwargs: object) -> Any:
    """Return the answer to a call: (True, result), or (False, class, arguments, traceback)."""
    with connect(rpc_address) as connection:
        connection.send((function, args, kwargs))
        return connection.recv()


class RPCProxy:
    """The client of the recipe, which pickles what `send` pickles again."""

    def __init__(self, connection: Connection[Any, Any]) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def do_rpc(*args: object, **kwargs: object) -> Any:
            self._connection.send(pickle.dumps((name, args, kwargs)))
            result = pickle.loads(self._connection.recv())
            if isinstance(result, Exception):
                raise result
            return result

        return do_rpc


def proxied() -> list[object]:
    """Return what calls by way of the recipe's client come to."""
    with connect(rpc_address) as connection:
        proxy = RPCProxy(connection)
        answers = [proxy.add(2, 3), proxy.add(x="a", y="b")]
        try:
            answers.append(proxy.sub([1, 2], 14))
        except TypeError as error:
            answers.append(str(error))
        return answers


NO_MINUS = "unsupported operand type(s) for -: 'list' and 'int'"

check("handshake", ["spam"], lambda: echoed("spam"))
check("wrong key", "digest sent was rejected", wrong_key)

check_echo("int", 0, 2**31, -(2**63), 10**100)
check_echo("double", -0.1, 1.0, 1e300, 1 + 2j)
check_echo("boolean and None", True, False, None)
check_echo("text", "Zoë 漢字 🐍", "a\r\nb\rc\n", "")
check_echo("bytes", b"\x00\xff", bytearray(b"spam"))
check_echo("list, tuple, dict, set", [1, (2, [])], {"a": {1, 2}, (1,): frozenset("x")})
check_echo("dates", datetime(1998, 7, 17, 14, 8, 55, tzinfo=UTC), timedelta(1, 2, 3))
check_echo("Decimal and UUID", Decimal("1.50"), UUID(int=42))
check("a list in itself", True, recursive)
check("pickle protocols", [["spam", protocol] for protocol in (2, 3, 4, 5)], protocols)
check_echo("8 MiB", b"x" * 8 * 1024 * 1024)
check_echo("1,000 objects on a connection", *range(1000))
check(
    "what is refused",
    [{"error": "builtins.range is not plain data"}, "spam"],
    lambda: echoed(range(3), "spam"),
)

check("call", (True, 5), lambda: called("add", 2, 3))
check("keyword arguments", (True, -1), lambda: called("sub", y=3, x=2))
check("help", True, lambda: "add(x, y)" in called("help")[1])
check("exception", (False, "TypeError", (NO_MINUS,)), lambda: called("sub", [1, 2], 14)[:3])
check("unknown function", False, lambda: called("spam")[0])
check("RPCProxy of the recipe", [5, "ab", NO_MINUS], proxied)
