"""TCP echo, a fixed pool of threads: each accepts a connection and serves it to its end."""

import logging
import socket
import sys
from socketserver import BaseRequestHandler, TCPServer
from threading import Thread
from typing import Any

from services import runtime
from services.tcp_echo.transform import transform

CHUNK = 64 * 1024  # bytes
WORKERS = 16

log = logging.getLogger("tcp-echo")


# Every worker runs the loop of a server that serves one at a time, all of them on one listener.
# A new connection wakes all that are idle; one gets it, the others stay in accept() for the next
# ones. So the pool serves as many connections as it has workers, and the next one waits, however
# idle those connections are. serve_forever() was not written to run several times on one object,
# and shutdown() would stop only some: the workers are daemons, and end with the process.
def serve(address: runtime.Address) -> None:
    """Serve connections, as many at once as there are workers."""
    with Server(address, Echo, bind_and_activate=False) as server:
        # What allow_reuse_address = True has server_bind() do, by hand: any option of a socket
        # that must be set before bind() can be set here.
        server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.server_bind()
        server.server_activate()
        log.info("listening on %s:%d", *server.server_address)
        for _ in range(WORKERS - 1):
            Thread(target=server.serve_forever, daemon=True).start()
        server.serve_forever()


class Server(TCPServer):
    """The listener."""

    request_queue_size = 1024  # who is not served yet waits there, where the default is for 5

    def handle_error(self, _request: Any, _peer: Any) -> None:
        """Log what ended a connection before its time; the inherited method prints a traceback."""
        log.info("connection broken off: %r", sys.exception())


class Echo(BaseRequestHandler):
    """A connection, in one of the threads."""

    def handle(self) -> None:
        """Send back what comes, until the client's FIN."""
        log.info("connection from %s:%d", *self.client_address)
        while data := self.request.recv(CHUNK):
            self.request.sendall(transform(data))


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
