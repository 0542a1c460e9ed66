"""UDP time, a process for each datagram: `socketserver.ForkingUDPServer`."""

import logging
import sys
from socketserver import BaseRequestHandler, ForkingUDPServer
from typing import Any

from services import runtime
from services.udp_time.reply import LONGEST, reply

log = logging.getLogger("udp-time")


# The parent only receives and forks; the child has a copy of the datagram and of the socket,
# answers and ends. So it may crash, and takes one answer with it.
def serve(address: runtime.Address) -> None:
    """Answer datagrams, up to `max_children` at once."""
    with Server(address, Answer) as server:
        log.info("listening on %s:%d", *server.server_address)
        server.serve_forever()


class Server(ForkingUDPServer):
    """The socket. SO_REUSEADDR stays off: with it, two servers could have one port (socket(7))."""

    max_packet_size = LONGEST  # of a longer one the kernel drops the rest
    # With so many children the parent waits until one of them ends, which is soon. Datagrams that
    # come meanwhile wait in the socket's buffer; what does not fit there is lost.
    max_children = 40

    def handle_error(self, _request: Any, client_address: Any) -> None:
        """Log why there is no answer; the inherited method prints a traceback."""
        log.warning("no answer to %s:%d: %r", *client_address, sys.exception())


class Answer(BaseRequestHandler):
    """A datagram and its answer, in a process of its own."""

    def handle(self) -> None:
        """Send the time back to where the datagram came from."""
        request, server = self.request
        if response := reply(request):
            server.sendto(response, self.client_address)


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
