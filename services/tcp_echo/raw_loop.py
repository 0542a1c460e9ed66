"""TCP echo, a bare loop: accept a connection, echo until it ends, accept the next."""

import logging
import socket

from services import runtime
from services.tcp_echo.transform import transform

CHUNK = 64 * 1024  # bytes

log = logging.getLogger("tcp-echo")


# There is one thread, and it is always inside one of three calls: accept, recv or sendall. While
# it waits in recv for a client that says nothing, or in sendall for one that does not read, it is
# not in accept. The kernel goes on without it: it completes the handshakes of the clients that
# come meanwhile and keeps them, and what they send, in the listener's queue. So the second client
# does connect; what it waits for is an answer.
def serve(address: runtime.Address) -> None:
    """Serve connections, one after the other."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        # Connections of a server that ran here before may be in TIME_WAIT; listen nonetheless.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        # Whoever is not served yet waits in the queue. When it is full the kernel drops the SYN
        # of the next client, which tries again after 1 second, then 2, then 4.
        listener.listen(1024)
        log.info("listening on %s:%d", *listener.getsockname())
        while True:
            client, peer = listener.accept()
            with client:
                log.info("connection from %s:%d", *peer)
                echo(client)


def echo(client: socket.socket) -> None:
    """Send back what comes, until the client's FIN; sendall returns when the kernel has it all."""
    try:
        while data := client.recv(CHUNK):
            client.sendall(transform(data))
    except OSError as error:
        log.info("connection broken off: %s", error)


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
