"""TCP echo, a thread for each connection: `socketserver.ThreadingTCPServer`."""

import logging
from socketserver import BaseRequestHandler, ThreadingTCPServer

from services import listeners, runtime
from services.tcp_echo.mixin import EchoMixIn
from services.tcp_echo.transform import transform_from_settings

CHUNK = 64 * 1024  # bytes

log = logging.getLogger("tcp-echo")


# The main thread only accepts. Each connection has a thread of its own, which can wait in recv or
# sendall for as long as it has to, while the kernel runs the other threads. The number of threads
# is limited only by memory, by descriptors, and by how many threads the system allows. If no thread
# can be started for a connection, the server closes it.
def serve(address: runtime.Address) -> None:
    """Serve connections concurrently."""
    with Server(address, Echo) as server:
        server.transform = transform_from_settings()
        log.info("listening on %s", listeners.text(server.server_address))
        server.serve_forever()


class Server(EchoMixIn, ThreadingTCPServer):
    """The listener."""

    allow_reuse_address = True  # connections of an earlier server may still be in TIME_WAIT
    request_queue_size = 1024  # length of the accept queue; the default is 5
    daemon_threads = True  # otherwise server_close() would wait until each client has left


class Echo(BaseRequestHandler):
    """A connection, in a thread of its own."""

    server: Server

    def handle(self) -> None:
        """Echo until EOF (the client's FIN)."""
        log.info("connection from %s", listeners.text(self.client_address))
        while data := self.request.recv(CHUNK):
            self.request.sendall(self.server.transform(data))


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
