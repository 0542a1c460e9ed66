"""TCP echo, one connection at a time: `socketserver.TCPServer`."""

import logging
from socketserver import BaseRequestHandler, TCPServer

from services import listeners, runtime
from services.tcp_echo.mixin import EchoMixIn
from services.tcp_echo.transform import transform_from_settings

CHUNK = 64 * 1024  # bytes

log = logging.getLogger("tcp-echo")


# serve_forever() is the loop of raw_loop.py: it waits for a connection, accepts it and calls
# handle(), all in one thread. It accepts the next connection when handle() has returned.
def serve(address: runtime.Address) -> None:
    """Serve connections, one at a time."""
    with Server(address, Echo) as server:
        server.transform = transform_from_settings()
        log.info("listening on %s", listeners.text(server.server_address))
        server.serve_forever()


class Server(EchoMixIn, TCPServer):
    """The listener."""

    allow_reuse_address = True  # connections of an earlier server may still be in TIME_WAIT
    request_queue_size = 1024  # length of the accept queue; the default is 5


class Echo(BaseRequestHandler):
    """A connection."""

    server: Server

    def handle(self) -> None:
        """Echo until EOF (the client's FIN)."""
        log.info("connection from %s", listeners.text(self.client_address))
        while data := self.request.recv(CHUNK):
            self.request.sendall(self.server.transform(data))


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
