"""UDP time, one datagram at a time: `socketserver.UDPServer`."""

import logging
from socketserver import BaseRequestHandler, UDPServer

from services import listeners, runtime
from services.udp_time.mixin import TimeMixIn
from services.udp_time.reply import RECV_SIZE, reply_to

log = logging.getLogger("udp-time")


# A TCP server of this model waits for a client that sends nothing. Here that cannot happen: a
# request is complete when it arrives. Compared with the bare loop, serve_forever() adds a poll()
# before each recvfrom(), and creates an object for each request.
def serve(address: runtime.Address) -> None:
    """Serve requests, one at a time."""
    with Server(address, Time) as server:
        log.info("listening on %s", listeners.text(server.server_address))
        server.serve_forever()


class Server(TimeMixIn, UDPServer):
    """The socket."""

    max_packet_size = RECV_SIZE  # the kernel discards the rest of a longer datagram


class Time(BaseRequestHandler):
    """A request and its reply."""

    def handle(self) -> None:
        """Send the reply to the source address of the request."""
        request, server = self.request
        if reply := reply_to(request):
            server.sendto(reply, self.client_address)


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
