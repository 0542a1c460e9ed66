"""Pyro5's client as it comes, with the serializer that needs nothing else installed.

serpent writes Python literals, in Python, and reads them with `ast.literal_eval`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import serpent

from bench.peers.rpc import Functions, pyro5_server
from services import runtime


@contextmanager
def connect(address: runtime.Address) -> Iterator[Functions]:
    """Lend the functions of the server at `address`."""
    with pyro5_server.connect(address, "serpent") as functions:
        echo: Any = functions.echo  # bytes come back as text in a dict
        yield functions._replace(echo=lambda data: bytes(serpent.tobytes(echo(data))))
