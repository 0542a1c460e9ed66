"""TCP echo, a thread for each connection: `socketserver.ThreadingTCPServer`."""

import logging
from socketserver import BaseRequestHandler, ThreadingTCPServer

from services import runtime
from services.tcp_echo.mixin import EchoMixIn
from services.tcp_echo.transform import transform_from_settings

CHUNK = 64 * 1024  # bytes

log = logging.getLogger("tcp-echo")


# The main thread only accepts. Each connection has a thread of its own, which can wait in recv or
# sendall for as long as it has to, while the kernel runs the others. Nothing limits their number
# but memory, descriptors, and how many threads the system allows. A client for which no thread
# can be started is disconnected.
def serve(address: runtime.Address) -> None:
    """Serve connections, all at once."""
    with Server(address, Echo) as server:
        server.transform = transform_from_settings()
        log.info("listening on %s:%d", *server.server_address)
        server.serve_forever()


class Server(EchoMixIn, ThreadingTCPServer):
    """The listener."""

    allow_reuse_address = True  # connections of an earlier server may still be in TIME_WAIT
    request_queue_size = 1024  # connections that can wait to be accepted; the default is 5
    daemon_threads = True  # they end with the process, which would otherwise wait for each client


class Echo(BaseRequestHandler):
    """A connection, in a thread of its own."""

    server: Server

    def handle(self) -> None:
        """Send back what comes, until the client's FIN."""
        log.info("connection from %s:%d", *self.client_address)
        while data := self.request.recv(CHUNK):
            self.request.sendall(self.server.transform(data))


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
