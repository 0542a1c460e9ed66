"""TCP echo, a process for each connection: `socketserver.ForkingTCPServer`."""

import logging
import sys
from socketserver import BaseRequestHandler, ForkingTCPServer
from typing import Any

from services import runtime
from services.tcp_echo.transform import transform

CHUNK = 64 * 1024  # bytes

log = logging.getLogger("tcp-echo")


# The parent only accepts, forks, and closes its own descriptor of the connection; the child has
# another one, and a copy of all that the parent knew at that moment. So the children share
# nothing, use all cores, and one that crashes takes one connection with it.
def serve(address: runtime.Address) -> None:
    """Serve connections, up to `max_children` at once."""
    with Server(address, Echo) as server:
        log.info("listening on %s:%d", *server.server_address)
        server.serve_forever()


class Server(ForkingTCPServer):
    """The listener, and the parent."""

    allow_reuse_address = True  # connections of the server before may be in TIME_WAIT
    request_queue_size = 1024  # who is not served yet waits there, where the default is for 5
    # With so many children the parent waits until one of them ends, and accepts nobody. The
    # default is 40.
    max_children = 256

    def handle_error(self, _request: Any, _peer: Any) -> None:
        """Log what ended a connection before its time; the inherited method prints a traceback."""
        log.info("connection broken off: %r", sys.exception())


class Echo(BaseRequestHandler):
    """A connection, in a process of its own."""

    def handle(self) -> None:
        """Send back what comes, until the client's FIN."""
        log.info("connection from %s:%d", *self.client_address)
        while data := self.request.recv(CHUNK):
            self.request.sendall(transform(data))


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
