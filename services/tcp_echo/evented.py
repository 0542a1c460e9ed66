"""TCP echo, event-driven: one thread serves every connection, whenever it is ready."""

import logging
import select
import socket

from services import listeners, runtime
from services.tcp_echo import accept_backoff, vanished
from services.tcp_echo.transform import Transform, transform_from_settings

CHUNK = 64 * 1024  # bytes: limits what is pending for a connection, here and in the kernel
log = logging.getLogger("tcp-echo")


# No socket here blocks (O_NONBLOCK), and epoll(7) says which ones to try. A client is received from
# only while nothing is pending for it: if it sends and never reads, its data stays in the kernel's
# buffers, and then on its side. recv() returns b"" (FIN) only after all earlier data was echoed.
def serve(address: runtime.Address, inherited: socket.socket | None = None) -> None:
    """Accept connections, and echo on those that are ready; `inherited` is an open listener."""
    transform = transform_from_settings()
    clients: dict[int, socket.socket] = {}  # by descriptor
    pending: dict[int, bytes] = {}  # by descriptor: received, but not yet sent; no empty ones
    watch = vanished.Watch()
    listener = inherited or listeners.tcp_listener(address, may_pause=True, buffers=CHUNK)
    with listener, select.epoll() as epoll:
        backoff = accept_backoff.AcceptBackoff(listener, epoll)  # which registers it
        log.info("listening on %s", listeners.text(listener.getsockname()))
        while True:
            for fd, events in epoll.poll(backoff.timeout() or watch.interval):
                if fd == listener.fileno():
                    with backoff:  # until the queue is empty; pauses without descriptors or memory
                        accept(listener, epoll, clients)
                elif (rest := echo_step(clients[fd], pending.pop(fd, b""), transform)) is None:
                    epoll.unregister(fd)
                    if vanished.finish(clients[fd]):  # otherwise the watch closes it
                        clients.pop(fd).close()
                elif rest:
                    pending[fd] = rest
                    epoll.modify(fd, select.EPOLLOUT)
                elif events & select.EPOLLOUT:  # nothing is pending any more: receive again
                    epoll.modify(fd, select.EPOLLIN)
            for fd in watch.over(clients):
                pending.pop(fd, None)
                clients.pop(fd).close()


def accept(listener: socket.socket, epoll: select.epoll, clients: dict[int, socket.socket]) -> None:
    """Accept up to MAX_ACCEPTS connections; raises BlockingIOError once the queue is empty."""
    for _ in range(listeners.MAX_ACCEPTS):
        client, peer = listener.accept()
        log.info("connection %d from %s", client.fileno(), listeners.text(peer))
        client.setblocking(False)
        epoll.register(client, select.EPOLLIN)
        clients[client.fileno()] = client


def echo_step(client: socket.socket, pending: bytes, transform: Transform) -> bytes | None:
    """Send `pending`, or if empty, receive first; return what is then pending, None at the end."""
    try:
        pending = pending or transform(client.recv(CHUNK))
        return pending[client.send(pending) :] if pending else None
    except BlockingIOError:
        return pending
    except OSError as error:
        log.info("connection %d closed: %r", client.fileno(), error)
        return None


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
