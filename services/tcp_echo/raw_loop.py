"""TCP echo, a bare loop: accept a connection, echo until it ends, accept the next."""

import logging
import socket

from services import runtime
from services.tcp_echo.transform import Transform, transform_from_settings

CHUNK = 64 * 1024  # bytes

log = logging.getLogger("tcp-echo")


# There is one thread, and it is always inside one of three calls: accept, recv or sendall. While
# it waits in recv for a client that sends nothing, or in sendall for one that reads nothing, it
# accepts no other. The kernel does not wait: it completes the handshake of every client that
# connects meanwhile, and keeps the connection and what arrives on it in the listener's queue. So
# the second client is connected, and can send; what it has to wait for is the answer.
def serve(address: runtime.Address) -> None:
    """Serve connections, one after the other."""
    transform = transform_from_settings()
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        # Connections of an earlier server may still be in TIME_WAIT; listen all the same.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        # So many connections wait in the queue. When it is full the kernel drops the SYN of the
        # next client, which sends it again after 1 second, then 2, then 4.
        listener.listen(1024)
        log.info("listening on %s:%d", *listener.getsockname())
        while True:
            client, peer = listener.accept()
            with client:
                log.info("connection from %s:%d", *peer)
                echo(client, transform)


def echo(client: socket.socket, transform: Transform) -> None:
    """Send back what comes, until the client's FIN."""
    try:
        while data := client.recv(CHUNK):
            client.sendall(transform(data))  # returns when the kernel has taken all of it
    except OSError as error:
        log.info("connection closed: %r", error)


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
