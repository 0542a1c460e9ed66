"""TCP echo, a thread for each connection: `socketserver.ThreadingTCPServer`."""

import logging
import sys
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any

from services import runtime
from services.tcp_echo.transform import transform

CHUNK = 64 * 1024  # bytes

log = logging.getLogger("tcp-echo")


# The main thread only accepts. Each connection has a thread, which may wait in recv or sendall as
# long as it likes: the kernel runs the others. Nothing bounds their number but what the machine
# has, or is allowed to give; a client for whom there is no thread is hung up on.
def serve(address: runtime.Address) -> None:
    """Serve connections, all at once."""
    with Server(address, Echo) as server:
        log.info("listening on %s:%d", *server.server_address)
        server.serve_forever()


class Server(ThreadingTCPServer):
    """The listener."""

    allow_reuse_address = True  # connections of the server before may be in TIME_WAIT
    request_queue_size = 1024  # who is not served yet waits there, where the default is for 5
    # Nobody can tell a thread in recv to stop. The end of the process does not wait for those
    # that are daemons; for others it would, and server_close() before it, as long as a client
    # stays connected.
    daemon_threads = True

    def handle_error(self, _request: Any, _peer: Any) -> None:
        """Log what ended a connection before its time; the inherited method prints a traceback."""
        log.info("connection broken off: %r", sys.exception())


class Echo(BaseRequestHandler):
    """A connection, in a thread of its own."""

    def handle(self) -> None:
        """Send back what comes, until the client's FIN."""
        log.info("connection from %s:%d", *self.client_address)
        while data := self.request.recv(CHUNK):
            self.request.sendall(transform(data))


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
