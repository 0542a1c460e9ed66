"""UDP time, a bare loop: receive a request, send the reply, receive the next request.

There are no connections, and a request is complete when it arrives. So the thread waits for no
particular client, only in `recvfrom` for a request of any client, and it can serve all of them.
"""

import logging
import socket

from services import listeners, runtime
from services.udp_sockets import udp_socket
from services.udp_time.reply import RECV_SIZE, reply_to

log = logging.getLogger("udp-time")


def serve(address: runtime.Address, inherited: socket.socket | None = None) -> None:
    """Serve requests, one at a time; `inherited` is a socket that is bound already."""
    with inherited or udp_socket(address) as server:
        log.info("listening on %s", listeners.text(server.getsockname()))
        while True:
            serve_request(server)


def serve_request(server: socket.socket) -> None:
    """Receive one request, and send the reply to its source address."""
    request, peer = server.recvfrom(RECV_SIZE)  # the kernel discards the rest of a longer datagram
    try:
        if reply := reply_to(request):
            server.sendto(reply, peer)
    except OSError as error:  # the source address may be forged: a broadcast address, for example
        log.warning("no reply to %s: %r", listeners.text(peer), error)


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
