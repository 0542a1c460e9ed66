"""TCP echo, a process for each connection: `socketserver.ForkingTCPServer`."""

import logging
from socketserver import BaseRequestHandler, ForkingTCPServer

from services import listeners, runtime
from services.tcp_echo.mixin import EchoMixIn
from services.tcp_echo.transform import transform_from_settings

CHUNK = 64 * 1024  # bytes

log = logging.getLogger("tcp-echo")


# The parent only accepts and forks, and then closes its descriptor of the connection. The child
# inherits a descriptor of the connection, and a copy of the parent's memory. So children run on all
# cores, change no memory of each other, and a child that crashes ends one connection. Each child
# also inherits the listener. Children are ended with the parent (services/runtime.py), so none
# keeps the port.
#
# After fork() in a process with several threads, the child has only the thread that forked, and a
# lock that another thread held is never released; Python 3.12 and later has a DeprecationWarning
# for that. It is safe here: the only other thread waits in sigwait(), and holds no lock.
def serve(address: runtime.Address) -> None:
    """Serve up to `max_children` connections concurrently."""
    with Server(address, Echo) as server:
        server.transform = transform_from_settings()
        log.info("listening on %s", listeners.text(server.server_address))
        server.serve_forever()


class Server(EchoMixIn, ForkingTCPServer):
    """The listener, and the parent."""

    allow_reuse_address = True  # connections of an earlier server may still be in TIME_WAIT
    request_queue_size = 1024  # length of the accept queue; the default is 5
    max_children = 256  # at this limit the parent blocks until a child exits; the default is 40


class Echo(BaseRequestHandler):
    """A connection, in a process of its own."""

    server: Server

    def handle(self) -> None:
        """Echo until EOF (the client's FIN)."""
        log.info("connection from %s", listeners.text(self.client_address))
        while data := self.request.recv(CHUNK):
            self.request.sendall(self.server.transform(data))


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
