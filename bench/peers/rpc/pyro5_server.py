"""Pyro5: an exposed object, and a thread for each connection."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import Pyro5.api
from Pyro5 import config

from bench.peers.rpc import Functions
from services import runtime

log = logging.getLogger("rpc")

# The default, serpent, writes Python literals: 1.7 times as slow, and bytes come back as text in a
# dict. A server answers in what it is asked in, and pyro5_serpent.py is a client with the default.
# PYRO_SERVERTYPE=multiplex is faster for 16 clients with small calls, and slower otherwise.
config.SERIALIZER = "msgpack"
config.SOCK_NODELAY = True


@Pyro5.api.expose
class Service:
    """What can be called."""

    def add(self, x: Any, y: Any) -> Any:
        """Return x + y, of numbers or of lists."""
        return x + y

    def echo(self, data: bytes) -> bytes:
        """Return `data`."""
        return data


def serve(address: runtime.Address) -> None:
    """Serve each connection in a thread of its own."""
    host, port = address
    with Pyro5.api.Daemon(host=host, port=port) as daemon:
        daemon.register(Service(), "service")
        log.info("listening on %s", daemon.locationStr)
        daemon.requestLoop()


@contextmanager
def connect(address: runtime.Address, serializer: str = config.SERIALIZER) -> Iterator[Functions]:
    """Lend the functions of the server at `address`."""
    with Pyro5.api.Proxy("PYRO:service@{}:{}".format(*address)) as proxy:
        proxy._pyroSerializer = serializer  # noqa: SLF001 - this is how it is set for a proxy
        yield Functions(proxy.add, proxy.echo, proxy.add)


if __name__ == "__main__":
    runtime.main(serve, default_port=17000)
