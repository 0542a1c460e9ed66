"""TCP echo, one at a time, through files: `StreamRequestHandler`, with a timeout for silence."""

import logging
import sys
from socketserver import StreamRequestHandler, TCPServer
from typing import Any

from services import runtime
from services.tcp_echo.transform import transform

CHUNK = 64 * 1024  # bytes

log = logging.getLogger("tcp-echo")


# One connection holds up all others here too, but not for ever: whoever says nothing for the
# timeout, or takes nothing, is cut off.
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


class Echo(StreamRequestHandler):
    """A connection: `rfile` to read from, `wfile` to write to."""

    timeout = 5  # seconds for each read, and for each write as a whole; the default is None
    rbufsize = CHUNK  # what rfile reads ahead at most; -1, the default, is 8 KiB
    wbufsize = 0  # wfile keeps nothing back, so there is nothing to flush
    # Nagle's algorithm would hold back a short answer until the one before is acknowledged.
    disable_nagle_algorithm = True

    def handle(self) -> None:
        """Send back what comes, until the client's FIN.

        `read1` returns what one recv brings; `read` and the lines of `for line in rfile` would
        wait for more, which a client may only send when it has its answer.
        """
        log.info("connection from %s:%d", *self.client_address)
        while data := self.rfile.read1(CHUNK):
            self.wfile.write(transform(data))


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
