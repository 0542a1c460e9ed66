"""UDP time, a process for each datagram: `socketserver.ForkingUDPServer`."""

import logging
from socketserver import BaseRequestHandler, ForkingUDPServer

from services import runtime
from services.udp_time.mixin import TimeMixIn
from services.udp_time.reply import MAX_SIZE, reply

log = logging.getLogger("udp-time")


# The parent only receives and forks. The child has a copy of the datagram and of the socket,
# answers, and ends; if it crashes, one answer is lost.
def serve(address: runtime.Address) -> None:
    """Answer datagrams, up to `max_children` at once."""
    with Server(address, Answer) as server:
        log.info("listening on %s:%d", *server.server_address)
        server.serve_forever()


class Server(TimeMixIn, ForkingUDPServer):
    """The socket, and the parent."""

    max_packet_size = MAX_SIZE  # the kernel drops the rest of a longer datagram
    # With so many the parent waits until one ends, which is soon. Meanwhile datagrams wait in the
    # socket's buffer, and what does not fit there is lost.
    max_children = 40


class Answer(BaseRequestHandler):
    """A datagram and its answer, in a process of its own."""

    def handle(self) -> None:
        """Send the time back to where the datagram came from."""
        request, server = self.request
        if response := reply(request):
            server.sendto(response, self.client_address)


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
