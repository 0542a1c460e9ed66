"""UDP time, a thread for each datagram: `socketserver.ThreadingUDPServer`."""

import logging
from socketserver import BaseRequestHandler, ThreadingUDPServer

from services import runtime
from services.udp_time.mixin import TimeMixIn
from services.udp_time.reply import MAX_SIZE, reply

log = logging.getLogger("udp-time")


# The main thread only receives. A thread costs more than the answer that it gives. It is worth it
# where an answer has to wait for something (a disk, another server), as the next datagrams need
# not wait too. A later datagram may then be answered first, so the client needs IDs.
def serve(address: runtime.Address) -> None:
    """Answer datagrams, all at once."""
    with Server(address, Answer) as server:
        log.info("listening on %s:%d", *server.server_address)
        server.serve_forever()


class Server(TimeMixIn, ThreadingUDPServer):
    """The socket."""

    max_packet_size = MAX_SIZE  # the kernel drops the rest of a longer datagram
    daemon_threads = True  # they end with the process; a datagram may get lost anyway


class Answer(BaseRequestHandler):
    """A datagram and its answer, in a thread of its own; all threads send on the one socket."""

    def handle(self) -> None:
        """Send the time back to where the datagram came from."""
        request, server = self.request
        if response := reply(request):
            server.sendto(response, self.client_address)


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
