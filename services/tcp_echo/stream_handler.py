"""TCP echo, one connection at a time, read and written as files: `StreamRequestHandler`."""

import logging
from socketserver import StreamRequestHandler, TCPServer

from services import runtime
from services.tcp_echo.mixin import EchoMixIn
from services.tcp_echo.transform import transform_from_settings

CHUNK = 64 * 1024  # bytes

log = logging.getLogger("tcp-echo")


# Here too one connection delays all others, but not for ever: a client that sends nothing for the
# length of the timeout, or reads nothing, is disconnected.
def serve(address: runtime.Address) -> None:
    """Serve connections, one after the other."""
    with Server(address, Echo) as server:
        server.transform = transform_from_settings()
        log.info("listening on %s:%d", *server.server_address)
        server.serve_forever()


class Server(EchoMixIn, TCPServer):
    """The listener."""

    allow_reuse_address = True  # connections of an earlier server may still be in TIME_WAIT
    request_queue_size = 1024  # connections that can wait to be accepted; the default is 5


class Echo(StreamRequestHandler):
    """A connection: `rfile` to read from, `wfile` to write to."""

    server: Server
    timeout = 5  # seconds for each read, and for each write as a whole; the default is None
    rbufsize = CHUNK  # how much rfile reads ahead; -1, the default, is 8 KiB
    wbufsize = 0  # wfile buffers nothing, so there is nothing to flush
    # Nagle's algorithm would delay a short answer until the previous one is acknowledged.
    disable_nagle_algorithm = True

    def handle(self) -> None:
        """Send back what comes, until the client's FIN."""
        log.info("connection from %s:%d", *self.client_address)
        # read1() returns what one recv brings. read(), and `for line in rfile`, would wait for
        # more, which a client may send only after it has its answer.
        while data := self.rfile.read1(CHUNK):
            self.wfile.write(self.server.transform(data))


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
