"""UDP time, event-driven: wait until the socket is readable, then serve the requests in its buffer.

With a single socket this only adds a system call: in the bare loop `recvfrom` itself waits. It pays
off if one thread serves several sockets.
"""

import logging
import selectors
import socket
from contextlib import suppress

from services import listeners, runtime
from services.udp_sockets import udp_socket
from services.udp_time.reply import RECV_SIZE, reply_to

MAX_REQUESTS = 64  # of one socket in one iteration, so that it could not starve other sockets

log = logging.getLogger("udp-time")


def serve(address: runtime.Address) -> None:
    """Serve requests whenever the kernel says that the socket is readable."""
    with udp_socket(address) as server, selectors.DefaultSelector() as selector:
        server.setblocking(False)
        selector.register(server, selectors.EVENT_READ)
        log.info("listening on %s", listeners.text(server.getsockname()))
        while True:
            selector.select()
            with suppress(BlockingIOError):  # the socket's buffer is empty
                for _ in range(MAX_REQUESTS):
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
