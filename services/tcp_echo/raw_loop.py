"""TCP echo, a bare loop: accept a connection, echo until it ends, accept the next."""

import logging
import socket
import time

from services import listeners, runtime
from services.tcp_echo.transform import Transform, transform_from_settings

CHUNK = 64 * 1024  # bytes

log = logging.getLogger("tcp-echo")


# There is one thread, and it is always inside one of three calls: accept, recv or sendall. While
# it waits in recv for a client that sends nothing, or in sendall for a client that reads nothing,
# it accepts no other client; a client that vanished without a FIN holds it for ever. The kernel
# does not wait: it completes the handshake of every client that connects meanwhile, puts the
# connection into the accept queue, and what arrives on it into the connection's receive buffer. So
# the second client is connected and can send. It just gets no answer yet.
def serve(address: runtime.Address) -> None:
    """Serve connections, one at a time."""
    transform = transform_from_settings()
    family, where = listeners.resolve(address)
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        # Connections of an earlier server may still be in TIME_WAIT; listen all the same.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listeners.keep_urgent_data(listener)
        listener.bind(where)
        # The length of the accept queue; the kernel caps it at net.core.somaxconn. When the queue
        # is full the kernel drops further SYNs. A client repeats its SYN about a second later, and
        # then ever more rarely.
        listener.listen(1024)
        log.info("listening on %s", listeners.text(listener.getsockname()))
        while True:
            try:
                client, peer = listener.accept()
            except OSError as error:  # no descriptor, no memory, or an error of that connection
                log.warning("accept: %s", error)
                time.sleep(0.5)
                continue
            with client:
                log.info("connection from %s", listeners.text(peer))
                echo(client, peer, transform)


def echo(client: socket.socket, peer: runtime.Address, transform: Transform) -> None:
    """Echo until EOF (the client's FIN)."""
    try:
        while data := client.recv(CHUNK):
            client.sendall(transform(data))  # returns when the kernel has taken all of it
    except OSError as error:
        log.info("connection from %s closed: %r", listeners.text(peer), error)


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
