"""TCP echo, event-driven: one thread serves every connection, whenever the kernel says it is ready.

epoll(7) names the descriptors on which something can be done without waiting. So a step of the
echo never blocks, and thousands of silent connections cost their memory and nothing else.
"""

import errno
import logging
import select
import socket
import time

from services import runtime
from services.tcp_echo.transform import transform

CHUNK = 64 * 1024  # bytes; also all that the server ever holds for one connection
SEND_BUFFER = 64 * 1024  # bytes that the kernel holds for one
ACCEPTS = 64  # connections in one go: those that are there already have their turn in between
RETRY_SECONDS = 0.5
VANISHED_SECONDS = runtime.setting("WIRELAB_VANISHED_SECONDS", "60", runtime.positive)

log = logging.getLogger("tcp-echo")


def serve(address: runtime.Address) -> None:
    """Accept connections and take a step of the echo wherever the kernel says one is possible."""
    clients: dict[int, socket.socket] = {}
    unsent: dict[int, bytes] = {}  # only of clients that read more slowly than they send
    with socket.create_server(address, backlog=1024) as listener, select.epoll() as epoll:
        set_options(listener)
        epoll.register(listener, select.EPOLLIN)
        log.info("listening on %s:%d", *listener.getsockname()[:2])
        paused = 0.0
        while True:
            for descriptor, events in epoll.poll(RETRY_SECONDS if paused else None):
                if not (client := clients.get(descriptor)):
                    paused = accept(listener, epoll, clients)
                    continue
                # A client is read from only while nothing is kept for it. So one that sends and
                # never reads costs one chunk here, the rest waits in its own send buffer; and
                # when its FIN is seen, all that it sent before has gone back.
                try:
                    if not (data := unsent.pop(descriptor, b"") or transform(client.recv(CHUNK))):
                        clients.pop(descriptor).close()
                        continue
                    try:
                        rest = data[client.send(data) :]
                    except BlockingIOError:
                        rest = data
                    if rest:
                        unsent[descriptor] = rest
                        epoll.modify(descriptor, select.EPOLLOUT)
                    elif events != select.EPOLLIN:
                        epoll.modify(descriptor, select.EPOLLIN)
                except BlockingIOError:
                    pass  # nothing to receive after all
                except OSError as error:
                    log.info("connection broken off: %s", error)
                    clients.pop(descriptor).close()
            if paused and time.monotonic() > paused:
                epoll.modify(listener, select.EPOLLIN)
                paused = 0.0


def set_options(listener: socket.socket) -> None:
    """Set what each connection inherits from its listener, and that accepting does not wait."""
    listener.setblocking(False)
    # Nagle's algorithm would hold back a short answer until the one before is acknowledged.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # The kernel would let the buffer of a peer that reads nothing grow to 4 MiB: tcp(7), tcp_wmem.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    # A peer that vanishes (no power, no network) sends no FIN. The kernel asks after one that is
    # silent, and gives up on one that acknowledges nothing (tcp(7)).
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, max(1, VANISHED_SECONDS // 2))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, VANISHED_SECONDS // 6))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, VANISHED_SECONDS * 1000)


def accept(
    listener: socket.socket, epoll: select.epoll, clients: dict[int, socket.socket]
) -> float:
    """Take new connections from the kernel's queue; return until when to take no more, or 0."""
    for _ in range(ACCEPTS):
        try:
            client, peer = listener.accept()
        except BlockingIOError:
            break
        except OSError as error:
            log.warning("accept: %s", error)
            if error.errno in (errno.EMFILE, errno.ENFILE):
                # The connection stays in the queue while all descriptors are in use, and epoll
                # would report it at once, over and over.
                epoll.modify(listener, 0)
                return time.monotonic() + RETRY_SECONDS
            continue
        log.info("connection from %s:%d", *peer[:2])
        client.setblocking(False)
        epoll.register(client, select.EPOLLIN)
        clients[client.fileno()] = client
    return 0.0


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
