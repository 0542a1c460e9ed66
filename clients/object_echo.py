"""Object echo: objects over `multiprocessing.connection`, by TCP or by a UNIX socket."""

import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from clients.addresses import Address
from clients.checks import Check, expect
from clients.connections import connect, exchange, socket_of
from services.connection.authkey import authkey

if TYPE_CHECKING:
    import argparse

    from clients.client import Ask

SERVICE = "object-echo"


def echo(where: Address | str, value: object, timeout: float = 5.0) -> Any:
    """Send `value` to an address, or a UNIX socket's path, and return what comes back.

    Raises ValueError where the server refuses it; its answer is then `{"error": text}`.
    """
    with connect(where, authkey(), timeout) as connection:
        answer = exchange(connection, value)
    match answer:
        case {"error": str(text)} if answer != value:
            raise ValueError(f"refused by the server: {text}")
    return answer


@contextmanager
def conversation(where: Address | str, timeout: float) -> "Iterator[Ask]":
    """Connect and authenticate; lend a function that has a small object with a word echoed."""
    with connect(where, authkey(), timeout) as connection:

        def ask(word: str) -> None:
            value = {"word": word, "list": [1, (2.5, None)], "bytes": b"\0"}
            expect("the echo", exchange(connection, value), value)

        yield ask


def health(address: Address, timeout: float) -> None:
    """Have an object echoed."""
    expect("the echo", echo(address, ["healthy", 42], timeout), ["healthy", 42])


def check_objects(address: Address) -> None:
    """Hold the server to every kind of plain data, one after the other on one connection."""
    shared = (1, "one")
    zone = timezone(timedelta(hours=5, minutes=30))
    values: list[object] = [
        "hello",
        42,
        [1, 2, 3, 4, 5],
        {"nested": {"deep": [(), {1, 2}, frozenset({shared}), None]}, "again": [shared, shared]},
        -(2**100),
        0.1,
        b"\0\xff",
        True,
        {UUID(int=42): [datetime(2012, 8, 15, 1, 30, tzinfo=zone), date(2012, 8, 15)]},
        [Decimal("1.20"), 1 + 2j, bytearray(b"\0\xff"), OrderedDict(b=1, a=2)],
    ]
    with connect(address, authkey(), 5) as connection:
        for value in values:
            expect("the echo", exchange(connection, value), value)


def check_large(address: Address) -> None:
    """Hold the server to a message that takes many TCP segments, and is one object."""
    value = os.urandom(4 * 1024 * 1024)
    expect("4 MiB are the same", echo(address, value) == value, True)


def check_unix(_address: Address) -> None:
    """Hold the server to the same over its UNIX socket."""
    expect("the echo", echo(socket_of(SERVICE), {"over": "UNIX"}), {"over": "UNIX"})


CHECKS = (
    Check("objects of every kind come back equal", check_objects),
    Check("4 MiB arrive as one object", check_large),
    Check("the same over the UNIX socket", check_unix, by_address=False),
)


def configure(parser: "argparse.ArgumentParser") -> None:
    """Describe the subcommand's arguments."""
    from clients.cli.literals import VALUES, literal

    parser.epilog = (
        f"{VALUES}\n\n"
        "try:\n"
        "  clients object-echo \"{'a': [1, (2, None)]}\"\n"
        "  clients object-echo \"[datetime.date(2012, 8, 15), Decimal('1.20')]\"\n"
        "  clients object-echo --unix hello"
    )
    parser.add_argument("value", type=literal, help="a Python literal, or text")
    parser.add_argument(
        "--unix", action="store_true", help="over its UNIX socket, in the folder WIRELAB_SOCKETS"
    )


def command(options: "argparse.Namespace", address: Address) -> None:
    """Send one object and print what comes back."""
    where = socket_of(SERVICE) if options.unix else address
    print(repr(echo(where, options.value, options.timeout)))
