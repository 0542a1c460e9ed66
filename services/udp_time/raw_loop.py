"""UDP time, a bare loop: receive a datagram, answer it, receive the next.

There is no connection and so nothing to wait for between two clients: one thread that never
blocks on a peer serves all of them, each as long as one `recvfrom` and one `sendto` take.
"""

import logging
import socket

from services import runtime
from services.udp_time.reply import LONGEST, reply

log = logging.getLogger("udp-time")


def serve(address: runtime.Address) -> None:
    """Answer datagrams, one after the other."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(address)
        log.info("listening on %s:%d", *server.getsockname())
        while True:
            answer(server)


def answer(server: socket.socket) -> None:
    """Receive one datagram and send the time back to where it came from."""
    request, peer = server.recvfrom(LONGEST)  # of a longer one the kernel drops the rest
    try:
        if response := reply(request):
            server.sendto(response, peer)
    except OSError as error:
        # A forged source address (a broadcast one, say) fails here; others must not suffer.
        log.warning("no answer to %s:%d: %s", *peer, error)


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
