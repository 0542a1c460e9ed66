"""Our own client; it works with every variant of our server."""

from collections.abc import Iterator
from contextlib import contextmanager

from bench.peers.rpc import Functions
from clients.addresses import Address
from clients.rpc import RPCProxy
from services.connection.authkey import authkey


@contextmanager
def connect(address: tuple[str, int]) -> Iterator[Functions]:
    """Lend the functions of the server at `address`."""
    with RPCProxy(Address(*address), authkey(), timeout=30) as proxy:
        yield Functions(proxy.add, proxy.echo, proxy.add)
