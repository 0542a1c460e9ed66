"""UDP time, a thread for each datagram: `socketserver.ThreadingUDPServer`."""

import logging
import sys
from socketserver import BaseRequestHandler, ThreadingUDPServer
from typing import Any

from services import runtime
from services.udp_time.reply import LONGEST, reply

log = logging.getLogger("udp-time")


# The main thread only receives. A thread costs more than the answer that it gives, and pays where
# an answer has to wait for something (a disk, another server): those after it need not wait too.
# Then a later datagram may be answered before an earlier one, so the client needs its IDs.
def serve(address: runtime.Address) -> None:
    """Answer datagrams, all at once."""
    with Server(address, Answer) as server:
        log.info("listening on %s:%d", *server.server_address)
        server.serve_forever()


class Server(ThreadingUDPServer):
    """The socket. SO_REUSEADDR stays off: with it, two servers could have one port (socket(7))."""

    max_packet_size = LONGEST  # of a longer one the kernel drops the rest
    daemon_threads = True  # the end of the process waits for none; a datagram may get lost anyway

    def handle_error(self, _request: Any, client_address: Any) -> None:
        """Log why there is no answer; the inherited method prints a traceback."""
        log.warning("no answer to %s:%d: %r", *client_address, sys.exception())


class Answer(BaseRequestHandler):
    """A datagram and its answer, in a thread of its own; all threads send by the one socket."""

    def handle(self) -> None:
        """Send the time back to where the datagram came from."""
        request, server = self.request
        if response := reply(request):
            server.sendto(response, self.client_address)


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
