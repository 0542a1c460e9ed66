"""UDP time, event-driven: wait until there are datagrams, then answer those that have come.

With a single socket this only adds a call, as the bare loop waits in `recvfrom` itself. It is
worth it where one thread has several sockets to serve.
"""

import logging
import selectors
import socket
from contextlib import suppress

from services import runtime
from services.udp_time.reply import MAX_SIZE, reply

BATCH = 64  # datagrams to answer at a time; other sockets would be served in between

log = logging.getLogger("udp-time")


def serve(address: runtime.Address) -> None:
    """Answer datagrams whenever the kernel says that there are some."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server,
        selectors.DefaultSelector() as selector,
    ):
        server.bind(address)
        server.setblocking(False)
        selector.register(server, selectors.EVENT_READ)
        log.info("listening on %s:%d", *server.getsockname())
        while True:
            selector.select()
            with suppress(BlockingIOError):  # there is no more to receive
                for _ in range(BATCH):
                    answer(server)


def answer(server: socket.socket) -> None:
    """Receive one datagram, and send the time back to where it came from."""
    request, peer = server.recvfrom(MAX_SIZE)  # the kernel drops the rest of a longer one
    try:
        if response := reply(request):
            server.sendto(response, peer)
    except OSError as error:  # the source may be forged: a broadcast address, for instance
        log.warning("no answer to %s:%d: %r", *peer, error)


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
