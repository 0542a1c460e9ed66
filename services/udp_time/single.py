"""UDP time, one at a time: `socketserver.UDPServer` answers each datagram in its only thread."""

import logging
import sys
from socketserver import BaseRequestHandler, UDPServer
from typing import Any

from services import runtime
from services.udp_time.reply import LONGEST, reply

log = logging.getLogger("udp-time")


# What holds up a TCP server of this model, a client that says nothing, does not exist here: a
# datagram is whole when it comes, and nothing follows it. To the bare loop serve_forever() adds a
# poll() before each receive, and an object for each datagram.
def serve(address: runtime.Address) -> None:
    """Answer datagrams, one after the other."""
    with Server(address, Answer) as server:
        log.info("listening on %s:%d", *server.server_address)
        server.serve_forever()


class Server(UDPServer):
    """The socket. SO_REUSEADDR stays off: with it, two servers could have one port (socket(7))."""

    max_packet_size = LONGEST  # of a longer one the kernel drops the rest

    def handle_error(self, _request: Any, client_address: Any) -> None:
        """Log why there is no answer; the inherited method prints a traceback."""
        log.warning("no answer to %s:%d: %r", *client_address, sys.exception())


class Answer(BaseRequestHandler):
    """A datagram and its answer."""

    def handle(self) -> None:
        """Send the time back to where the datagram came from."""
        request, server = self.request
        if response := reply(request):
            server.sendto(response, self.client_address)


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
