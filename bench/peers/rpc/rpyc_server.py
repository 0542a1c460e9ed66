"""RPyC: a service with exposed methods, and a thread for each connection."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import rpyc
from rpyc.core.channel import Channel
from rpyc.core.stream import SocketStream
from rpyc.utils.classic import obtain
from rpyc.utils.server import ThreadedServer

from bench.peers.rpc import Functions, Records
from services import runtime

log = logging.getLogger("rpc")

# Not compressed, as all from 3,000 bytes on would be, and in one piece, not 64,000 bytes at a time:
# otherwise a megabyte of random bytes takes 8 times and 1.3 times as long.
Channel.COMPRESSION_THRESHOLD = 2**31
SocketStream.MAX_IO_CHUNK = 2**21
# Lists and dicts travel by reference, and each look into one is a request. `obtain` copies it by a
# single one: its owner pickles it, and has to allow that.
CONFIG = {"allow_pickle": True}


class Service(rpyc.Service):  # type: ignore[misc]
    """What can be called. Numbers and bytes travel by value, as all does that cannot change."""

    def exposed_add(self, x: int, y: int) -> int:
        """Return x + y."""
        return x + y

    def exposed_echo(self, data: bytes) -> bytes:
        """Return `data`."""
        return data

    def exposed_join(self, x: Records, y: Records) -> Records:
        """Return copies of two lists, in one."""
        return list(obtain(x) + obtain(y))


def serve(address: runtime.Address) -> None:
    """Serve each connection in a thread of its own."""
    host, port = address
    server = ThreadedServer(Service(), hostname=host, port=port, protocol_config=CONFIG)
    server.listener.listen(server.backlog)  # so does start(), which then does not return
    log.info("listening on %s:%d", server.host, server.port)
    server.start()


@contextmanager
def connect(address: runtime.Address) -> Iterator[Functions]:
    """Lend the functions of the server at `address`."""
    # A socket without a timeout sends the megabyte in one piece, and recv(2) without a poll(2).
    stream = SocketStream.connect(*address, timeout=None)
    with rpyc.connect_stream(stream, config=CONFIG) as connection:
        # References to the functions: to look one up in `connection.root` is a request as well.
        add, echo, join = connection.root.add, connection.root.echo, connection.root.join
        yield Functions(add, echo, lambda x, y: obtain(join(x, y)))


if __name__ == "__main__":
    runtime.main(serve, default_port=17000)
