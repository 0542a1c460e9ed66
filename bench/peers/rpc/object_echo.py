"""Our own client of object-echo."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from bench.peers.rpc import Functions, missing
from clients import connections
from clients.addresses import Address
from services.connection.authkey import authkey


@contextmanager
def connect(address: tuple[str, int]) -> Iterator[Functions]:
    """Lend `echo`; this server has no other function."""
    with connections.connect(Address(*address), authkey(), timeout=30) as stream:
        yield Functions(missing, partial(connections.exchange, stream), missing)
