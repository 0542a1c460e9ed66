"""zerorpc: MessagePack over ZeroMQ, and a greenlet for each call."""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager

import zerorpc

from bench.peers.rpc import Functions, add, echo
from services import runtime

log = logging.getLogger("rpc")

HEARTBEAT = None  # the default is one each 5 s, by a greenlet more for each call: a quarter slower


def serve(address: runtime.Address) -> None:
    """Serve all connections in one thread."""
    with closing(zerorpc.Server({"add": add, "echo": echo}, heartbeat=HEARTBEAT)) as server:
        (binding,) = server.bind("tcp://{}:{}".format(*address))
        log.info("listening on %s", binding.addr.removeprefix("tcp://"))
        server.run()


@contextmanager
def connect(address: runtime.Address) -> Iterator[Functions]:
    """Lend the functions of the server at `address`."""
    endpoint = "tcp://{}:{}".format(*address)
    with closing(zerorpc.Client(endpoint, heartbeat=HEARTBEAT)) as client:
        yield Functions(client.add, client.echo, client.add)


if __name__ == "__main__":
    runtime.main(serve, default_port=17000)
