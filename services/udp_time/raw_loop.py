"""UDP time, a bare loop: receive a datagram, answer it, receive the next.

There are no connections, so no client can make another one wait: one thread serves all of them,
each for as long as one `recvfrom` and one `sendto` take.
"""

import logging
import socket

from services import runtime
from services.udp_time.reply import MAX_SIZE, reply

log = logging.getLogger("udp-time")


def serve(address: runtime.Address, inherited: socket.socket | None = None) -> None:
    """Answer datagrams, one after the other; `inherited` is a socket that is bound already."""
    with inherited or socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        if not inherited:
            server.bind(address)
        log.info("listening on %s:%d", *server.getsockname())
        while True:
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
