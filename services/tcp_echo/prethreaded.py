"""TCP echo, a fixed pool of threads: each accepts a connection and serves it to its end."""

import logging
import socket
from socketserver import BaseRequestHandler, TCPServer
from threading import Thread

from services import runtime
from services.tcp_echo.mixin import EchoMixIn
from services.tcp_echo.transform import transform_from_settings

CHUNK = 64 * 1024  # bytes
WORKERS = 16

log = logging.getLogger("tcp-echo")


# Every worker runs the loop of a server that serves one connection at a time, and all of them
# share one listener. A new connection wakes all idle workers; one gets it, and the others wait in
# accept() for the next. So the pool serves as many connections as it has workers, and one more
# has to wait, even when nothing happens on any of those. serve_forever() is not made to run
# several times on one object, and shutdown() would stop only some of the loops: the workers are
# daemon threads, which end with the process.
def serve(address: runtime.Address) -> None:
    """Serve connections, as many at once as there are workers."""
    with Server(address, Echo, bind_and_activate=False) as server:
        server.transform = transform_from_settings()
        # This is what allow_reuse_address = True does, by hand. Any option of a socket that has
        # to be set before bind() can be set here.
        server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.server_bind()
        server.server_activate()
        log.info("listening on %s:%d", *server.server_address)
        for _ in range(WORKERS - 1):
            Thread(target=server.serve_forever, daemon=True).start()
        server.serve_forever()


class Server(EchoMixIn, TCPServer):
    """The listener."""

    request_queue_size = 1024  # connections that can wait to be accepted; the default is 5


class Echo(BaseRequestHandler):
    """A connection, in one of the threads."""

    server: Server

    def handle(self) -> None:
        """Send back what comes, until the client's FIN."""
        log.info("connection from %s:%d", *self.client_address)
        while data := self.request.recv(CHUNK):
            self.request.sendall(self.server.transform(data))


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
