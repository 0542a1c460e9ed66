"""TCP echo, a fixed pool of threads: each accepts a connection and serves it to its end."""

import logging
import socket
from socketserver import BaseRequestHandler, TCPServer
from threading import Thread

from services import listeners, runtime
from services.tcp_echo.mixin import EchoMixIn
from services.tcp_echo.transform import transform_from_settings

CHUNK = 64 * 1024  # bytes
WORKERS = 16

log = logging.getLogger("tcp-echo")


# Every worker runs the loop of a server that serves one connection at a time, and all workers share
# one listener. The loop waits in select(), and then calls accept(), which blocks. A new connection
# wakes all idle workers from select(); one worker gets the connection, and the others wait in
# accept() for the next. So the pool serves 16 connections, and connection 17 waits, even if the
# other 16 are idle. serve_forever() is not made to run several times on one object: shutdown()
# would stop only some of the loops. So we never call shutdown(); the workers are daemon threads,
# which end with the process.
def serve(address: runtime.Address) -> None:
    """Serve as many connections concurrently as there are workers."""
    with Server(address, Echo, bind_and_activate=False) as server:
        server.transform = transform_from_settings()
        # This is what allow_reuse_address = True does, by hand. Any socket option that has to be
        # set before bind() can be set here.
        server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.server_bind()
        server.server_activate()
        log.info("listening on %s", listeners.text(server.server_address))
        for _ in range(WORKERS - 1):
            Thread(target=server.serve_forever, daemon=True).start()
        server.serve_forever()


class Server(EchoMixIn, TCPServer):
    """The listener."""

    request_queue_size = 1024  # length of the accept queue; the default is 5


class Echo(BaseRequestHandler):
    """A connection, in one of the workers."""

    server: Server

    def handle(self) -> None:
        """Echo until EOF (the client's FIN)."""
        log.info("connection from %s", listeners.text(self.client_address))
        while data := self.request.recv(CHUNK):
            self.request.sendall(self.server.transform(data))


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
