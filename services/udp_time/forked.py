"""UDP time, a process for each datagram: `socketserver.ForkingUDPServer`."""

import logging
from socketserver import BaseRequestHandler, ForkingUDPServer

from services import listeners, runtime
from services.udp_time.mixin import TimeMixIn
from services.udp_time.reply import RECV_SIZE, reply_to

log = logging.getLogger("udp-time")


# The parent only receives and forks. The child inherits the request and the socket, sends the
# reply, and exits. If it crashes, one reply is lost.
def serve(address: runtime.Address) -> None:
    """Serve up to `max_children` requests concurrently."""
    with Server(address, Time) as server:
        log.info("listening on %s", listeners.text(server.server_address))
        server.serve_forever()


class Server(TimeMixIn, ForkingUDPServer):
    """The socket, and the parent."""

    max_packet_size = RECV_SIZE  # the kernel discards the rest of a longer datagram
    # At this limit the parent blocks until a child exits. Meanwhile requests are queued in the
    # socket's receive buffer; the kernel drops those that do not fit.
    max_children = 40


class Time(BaseRequestHandler):
    """A request and its reply, in a process of its own."""

    def handle(self) -> None:
        """Send the reply to the source address of the request."""
        request, server = self.request
        if reply := reply_to(request):
            server.sendto(reply, self.client_address)


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
