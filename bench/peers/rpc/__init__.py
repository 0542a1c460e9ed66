"""RPC packages, each with its server and its client as an expert user would write them.

Each module has `serve(address)` and `connect(address)`, a context manager that lends the
functions of a server. Settings are those that are the fastest of a package here, and a comment
says where they are not its defaults.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

Records = list[dict[str, object]]


class Functions(NamedTuple):
    """A server's functions, looked up once, as for a program that calls them often."""

    add: Callable[[int, int], int]
    echo: Callable[[bytes], bytes]
    join: Callable[[Records, Records], Records]  # what + makes of two lists


def records(count: int) -> Records:
    """Return records as a table of users has them: 1,000 of them are a pickle of 75 KB.

    They have no types but those that XML-RPC and MessagePack have too, so all of them come back
    equal from every server.
    """
    return [
        {
            "id": 1000 + number,
            "name": f"user {number}",
            "address": f"user{number}@users.example.org",
            "balance": number / 7,
            "active": number % 3 > 0,
            "groups": ["staff", "admin", "guest"][: number % 4],
        }
        for number in range(count)
    ]


def add(x: Any, y: Any) -> Any:
    """Return x + y, of numbers or of lists."""
    return x + y


def echo(data: bytes) -> bytes:
    """Return `data`."""
    return data


def missing(x: Any, y: Any) -> Any:
    """Stand for `add` and `join` where a server only echoes."""
    raise NotImplementedError
