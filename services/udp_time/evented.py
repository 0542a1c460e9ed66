"""UDP time, event-driven: wait until there are datagrams, then answer all that have come.

For one socket this only adds a call: the bare loop waits in `recvfrom` itself. It pays where one
thread also has other sockets to look after.
"""

import logging
import selectors
import socket

from services import runtime
from services.udp_time.reply import LONGEST, reply

BATCH = 64  # datagrams in one go: other sockets would have their turn in between

log = logging.getLogger("udp-time")


def serve(address: runtime.Address) -> None:
    """Answer datagrams whenever the kernel says that some are there."""
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
            answer(server)


def answer(server: socket.socket) -> None:
    """Answer the datagrams that have come."""
    for _ in range(BATCH):
        try:
            request, peer = server.recvfrom(LONGEST)  # of a longer one the kernel drops the rest
        except BlockingIOError:
            return
        try:
            if response := reply(request):
                server.sendto(response, peer)
        except OSError as error:
            # A forged source address (a broadcast one, say) fails here; others must not suffer.
            log.warning("no answer to %s:%d: %s", *peer, error)


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
