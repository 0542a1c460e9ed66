"""TCP echo, event-driven: one thread serves every connection, whenever it is ready."""

import logging
import select
import socket

from services import runtime
from services.listeners import AcceptBackoff, limit_buffer, tcp_listener
from services.tcp_echo.transform import Transform, transform_from_settings

CHUNK = 64 * 1024  # bytes buffered for a connection, at most: as many here as in the kernel
BATCH = 64  # connections to accept at a time; those that are open are served in between

log = logging.getLogger("tcp-echo")


# epoll(7) returns what can be read or written without waiting, so no other call blocks. A client
# is read from only while nothing is buffered for it: one that sends and never reads costs one
# chunk here, and the rest of what it sends waits in its own send buffer. Its FIN is read last, when
# everything that it sent before has gone back.
def serve(address: runtime.Address, inherited: socket.socket | None = None) -> None:
    """Accept connections, and echo on those that are ready; `inherited` is an open listener."""
    transform = transform_from_settings()
    clients: dict[int, socket.socket] = {}
    outgoing: dict[int, bytes] = {}  # of clients that read more slowly than they send
    with inherited or tcp_listener(address) as listener, select.epoll() as epoll:
        listener.setblocking(False)
        limit_buffer(listener, CHUNK)
        epoll.register(listener, select.EPOLLIN)
        backoff = AcceptBackoff(epoll, listener)
        log.info("listening on %s:%d", *listener.getsockname()[:2])
        while True:
            for descriptor, events in epoll.poll(backoff.timeout):
                if not (client := clients.get(descriptor)):
                    try:
                        accept(listener, epoll, clients)
                    except OSError as error:  # mostly BlockingIOError: none waits any more
                        backoff.failed(error)
                elif (rest := echo(client, outgoing.pop(descriptor, b""), transform)) is None:
                    clients.pop(descriptor).close()
                elif rest or events & select.EPOLLOUT:
                    outgoing[descriptor] = rest
                    epoll.modify(descriptor, select.EPOLLOUT if rest else select.EPOLLIN)
            backoff.resume()


def accept(listener: socket.socket, epoll: select.epoll, clients: dict[int, socket.socket]) -> None:
    """Accept a batch of the connections that wait; raises OSError where there are fewer."""
    for _ in range(BATCH):
        client, peer = listener.accept()
        log.info("connection from %s:%d", *peer[:2])
        client.setblocking(False)
        epoll.register(client, select.EPOLLIN)
        clients[client.fileno()] = client


def echo(client: socket.socket, data: bytes, transform: Transform) -> bytes | None:
    """Send `data`, or else what can be received; return what is left, None at the end."""
    try:
        if data := data or transform(client.recv(CHUNK)):
            return data[client.send(data) :]
    except BlockingIOError:
        return data
    except OSError as error:
        log.info("connection closed: %r", error)
    return None


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
