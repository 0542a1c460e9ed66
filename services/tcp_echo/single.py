"""TCP echo, one at a time: `socketserver.TCPServer`, whose only thread is in the handler."""

import logging
import sys
from socketserver import BaseRequestHandler, TCPServer
from typing import Any

from services import runtime
from services.tcp_echo.transform import transform

CHUNK = 64 * 1024  # bytes

log = logging.getLogger("tcp-echo")


# serve_forever() does what a bare loop does: it waits until there is a connection in the
# listener's queue, accepts it and calls handle() by itself. The next one is accepted when that
# has returned.
def serve(address: runtime.Address) -> None:
    """Serve connections, one after the other."""
    with Server(address, Echo) as server:
        log.info("listening on %s:%d", *server.server_address)
        server.serve_forever()


class Server(TCPServer):
    """The listener."""

    allow_reuse_address = True  # connections of the server before may be in TIME_WAIT
    request_queue_size = 1024  # who is not served yet waits there, where the default is for 5

    def handle_error(self, _request: Any, _peer: Any) -> None:
        """Log what ended a connection before its time; the inherited method prints a traceback."""
        log.info("connection broken off: %r", sys.exception())


class Echo(BaseRequestHandler):
    """A connection."""

    def handle(self) -> None:
        """Send back what comes, until the client's FIN."""
        log.info("connection from %s:%d", *self.client_address)
        while data := self.request.recv(CHUNK):
            self.request.sendall(transform(data))


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
