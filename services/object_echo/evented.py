"""Object echo, event-driven: one thread and one epoll(7), a TCP port and a UNIX socket.

The handshake of a connection is a few steps of the same loop. So a peer that falls silent in it
keeps nobody waiting, and is dropped when its time is up.
"""

import errno
import logging
import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from services import runtime
from services.connection import handshake
from services.connection.session import Session, keep_memory
from services.object_echo.echo import echo

CHUNK = 256 * 1024  # bytes
ACCEPTS = 64  # connections in one go: those that are there already have their turn in between
SWEEP_SECONDS = 0.25

Clients = dict[int, tuple[socket.socket, Session]]  # by descriptor

log = logging.getLogger("object-echo")


def serve(address: runtime.Address) -> None:
    """Accept connections and take a step of the conversation wherever one is possible."""
    key = handshake.authkey()
    unix_path = runtime.setting("WIRELAB_UNIX_SOCKET", "", str)
    keep_memory()
    clients: Clients = {}
    with ExitStack() as stack:
        epoll = stack.enter_context(select.epoll())
        tcp = stack.enter_context(socket.create_server(address, backlog=1024))
        listeners = {tcp.fileno(): tcp}
        log.info("listening on %s:%d", *tcp.getsockname()[:2])
        if unix_path:
            unix = stack.enter_context(unix_server(unix_path))
            listeners[unix.fileno()] = unix
            log.info("listening on %s", unix_path)
        for descriptor, listener in listeners.items():
            listener.setblocking(False)
            epoll.register(descriptor, select.EPOLLIN)
        next_sweep = 0.0
        while True:
            for descriptor, events in epoll.poll(SWEEP_SECONDS):
                if descriptor in clients:
                    converse(epoll, clients, descriptor, events)
                else:
                    accept(epoll, clients, listeners[descriptor], key)
            if (now := time.monotonic()) > next_sweep:
                sweep(clients, now)
                for descriptor in listeners:
                    epoll.modify(descriptor, select.EPOLLIN)
                next_sweep = now + SWEEP_SECONDS


@contextmanager
def unix_server(path: str) -> Iterator[socket.socket]:
    """Listen on a UNIX socket: a file, which outlives its socket unless it is removed."""
    if Path(path).is_socket():
        Path(path).unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        try:
            listener.bind(path)
        except OSError as error:
            raise runtime.SettingError(
                f"WIRELAB_UNIX_SOCKET has value {path!r}. Not where a socket can be: {error}"
            ) from None
        try:
            listener.listen(1024)
            yield listener
        finally:
            Path(path).unlink(missing_ok=True)


def accept(epoll: select.epoll, clients: Clients, listener: socket.socket, key: bytes) -> None:
    """Take new connections from the kernel's queue; our challenge is the first to be sent."""
    for _ in range(ACCEPTS):
        try:
            client, peer = listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            log.warning("accept: %s", error)
            if error.errno in (errno.EMFILE, errno.ENFILE):
                # The connection stays in the queue while all descriptors are in use, and epoll
                # would report it at once, over and over; the next sweep asks for it again.
                epoll.modify(listener, 0)
                return
            continue
        client.setblocking(False)
        if listener.family != socket.AF_UNIX:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        name = "{}:{}".format(*peer) if isinstance(peer, tuple) else "the UNIX socket"
        session = Session(name, key, echo)
        log.info("connection from %s", session.peer)
        epoll.register(client, select.EPOLLOUT)
        clients[client.fileno()] = client, session


def converse(epoll: select.epoll, clients: Clients, descriptor: int, events: int) -> None:
    """Receive if nothing waits to be sent, and send what the kernel takes."""
    client, session = clients[descriptor]
    try:
        if not session.unsent:
            session.receive(client.recv(CHUNK))
        if session.unsent:
            session.sent(client.send(session.unsent))
    except BlockingIOError:
        pass
    except OSError as error:
        session.ended = str(error)
    if session.ended:
        hang_up(clients, descriptor)
        return
    wanted = select.EPOLLOUT if session.unsent else select.EPOLLIN
    if events != wanted:
        epoll.modify(descriptor, wanted)


def sweep(clients: Clients, now: float) -> None:
    """Hang up on the peers whose time for the handshake, or for a message, is up."""
    for descriptor, (_, session) in list(clients.items()):
        session.check_deadline(now)
        if session.ended:
            hang_up(clients, descriptor)


def hang_up(clients: Clients, descriptor: int) -> None:
    """Close the connection; with that epoll forgets it."""
    client, session = clients.pop(descriptor)
    log.info("connection from %s ended: %s", session.peer, session.ended)
    client.close()


if __name__ == "__main__":
    runtime.main(serve, default_port=25000)
