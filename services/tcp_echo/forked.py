"""TCP echo, a process for each connection: `socketserver.ForkingTCPServer`."""

import logging
from socketserver import BaseRequestHandler, ForkingTCPServer

from services import runtime
from services.tcp_echo.mixin import EchoMixIn
from services.tcp_echo.transform import transform_from_settings

CHUNK = 64 * 1024  # bytes

log = logging.getLogger("tcp-echo")


# The parent only accepts and forks, and then closes its descriptor of the connection. The child
# has a descriptor of its own, and a copy of all that the parent had in memory at that moment. So
# children share nothing, use all cores, and one that crashes ends one connection. They also have
# a copy of the listener, which keeps the port no longer than the parent does: when the parent
# ends, by whatever signal, the kernel ends them too (services/runtime.py).
def serve(address: runtime.Address) -> None:
    """Serve connections, up to `max_children` at once."""
    with Server(address, Echo) as server:
        server.transform = transform_from_settings()
        log.info("listening on %s:%d", *server.server_address)
        server.serve_forever()


class Server(EchoMixIn, ForkingTCPServer):
    """The listener, and the parent."""

    allow_reuse_address = True  # connections of an earlier server may still be in TIME_WAIT
    request_queue_size = 1024  # connections that can wait to be accepted; the default is 5
    max_children = 256  # with so many the parent accepts nobody until one ends; the default is 40


class Echo(BaseRequestHandler):
    """A connection, in a process of its own."""

    server: Server

    def handle(self) -> None:
        """Send back what comes, until the client's FIN."""
        log.info("connection from %s:%d", *self.client_address)
        while data := self.request.recv(CHUNK):
            self.request.sendall(self.server.transform(data))


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
