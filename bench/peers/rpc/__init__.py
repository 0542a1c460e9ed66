"""RPC packages, each with its server and its client as an expert user would write them.

Each module has `serve(address)` and `connect(address)`, a context manager that lends the
functions of a server. Settings are those that are the fastest of a package here, and a comment
says where they are not its defaults.
"""

from collections.abc import Callable
from typing import NamedTuple


class Functions(NamedTuple):
    """A server's functions, looked up once, as for a program that calls them often."""

    add: Callable[[int, int], int]
    echo: Callable[[bytes], bytes]


def add(x: int, y: int) -> int:
    """Return x + y."""
    return x + y


def echo(data: bytes) -> bytes:
    """Return `data`."""
    return data


def missing(x: int, y: int) -> int:
    """Stand for `add` where a server only echoes."""
    raise NotImplementedError
