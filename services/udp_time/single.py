"""UDP time, one datagram at a time: `socketserver.UDPServer`."""

import logging
from socketserver import BaseRequestHandler, UDPServer

from services import runtime
from services.udp_time.mixin import TimeMixIn
from services.udp_time.reply import MAX_SIZE, reply

log = logging.getLogger("udp-time")


# What delays a TCP server of this model, a client that sends nothing, cannot happen here: a
# datagram arrives whole, and nothing follows it. To the bare loop serve_forever() adds a poll()
# before each receive, and an object for each datagram.
def serve(address: runtime.Address) -> None:
    """Answer datagrams, one after the other."""
    with Server(address, Answer) as server:
        log.info("listening on %s:%d", *server.server_address)
        server.serve_forever()


class Server(TimeMixIn, UDPServer):
    """The socket."""

    max_packet_size = MAX_SIZE  # the kernel drops the rest of a longer datagram


class Answer(BaseRequestHandler):
    """A datagram and its answer."""

    def handle(self) -> None:
        """Send the time back to where the datagram came from."""
        request, server = self.request
        if response := reply(request):
            server.sendto(response, self.client_address)


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
