"""RPC, event-driven: one thread and one epoll(7), a TCP port and a UNIX socket.

The handshake of a connection is a few steps of the same loop. So a peer that falls silent in it
keeps nobody waiting, and is dropped when its time is up. A function that takes long does keep
everybody waiting: what is registered here has to be quick.
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
from services.connection.session import MOST_HELD, Session, keep_memory
from services.rpc.calls import answer

CHUNK = 256 * 1024  # bytes
UNSENT = 128 * 1024  # bytes that the kernel keeps for a peer which it cannot send on yet
ACCEPTS = 64  # connections in one go: those that are there already have their turn in between
SWEEP_SECONDS = 0.25
VANISHED_SECONDS = runtime.setting("WIRELAB_VANISHED_SECONDS", "60", runtime.positive)

Clients = dict[int, tuple[socket.socket, Session]]  # by descriptor

log = logging.getLogger("rpc")


def serve(address: runtime.Address) -> None:
    """Accept connections and take a step of the conversation wherever one is possible."""
    key = handshake.authkey()
    unix_path = runtime.setting("WIRELAB_UNIX_SOCKET", "", str)
    keep_memory()
    clients: Clients = {}
    held = 0  # bytes, for all of them together
    with ExitStack() as stack:
        epoll = stack.enter_context(select.epoll())
        tcp = stack.enter_context(socket.create_server(address, backlog=1024))
        set_options(tcp)
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
                    held += converse(epoll, clients, descriptor, events)
                    if held > MOST_HELD:
                        held = make_room(clients)
                elif descriptor in listeners:  # and not a client that had to make room just now
                    accept(epoll, clients, listeners[descriptor], key)
            if (now := time.monotonic()) > next_sweep:
                held = sweep(clients, now)
                for descriptor in listeners:
                    epoll.modify(descriptor, select.EPOLLIN)
                next_sweep = now + SWEEP_SECONDS


def set_options(listener: socket.socket) -> None:
    """Set what each connection inherits from its listener."""
    # Nagle's algorithm would hold back a short answer until the one before is acknowledged.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # What a peer does not read waits here, where it is counted, rather than in the kernel.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
    # A peer that vanishes (no power, no network) sends no FIN. The kernel asks after one that is
    # silent, and gives up on one that acknowledges nothing (tcp(7)).
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, max(1, VANISHED_SECONDS // 2))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, VANISHED_SECONDS // 6))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, VANISHED_SECONDS * 1000)


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
        name = "{}:{}".format(*peer) if isinstance(peer, tuple) else "the UNIX socket"
        session = Session(name, key, answer)
        log.info("connection from %s", session.peer)
        epoll.register(client, select.EPOLLOUT)
        clients[client.fileno()] = client, session


def converse(epoll: select.epoll, clients: Clients, descriptor: int, events: int) -> int:
    """Receive if nothing waits to be answered or sent, and send what the kernel takes.

    Returns by how many bytes what is held for the client has grown.
    """
    client, session = clients[descriptor]
    before = session.held
    try:
        if session.more and not session.unsent:
            session.go_on()  # others have had their turn
        elif not session.unsent:
            session.receive(client.recv(CHUNK))
        if session.unsent:
            session.sent(client.send(session.unsent))
    except BlockingIOError:
        pass
    except OSError as error:
        session.ended = str(error)
    if session.ended:
        hang_up(clients, descriptor)
        return -before
    wanted = select.EPOLLOUT if session.unsent or session.more else select.EPOLLIN
    if events != wanted:
        epoll.modify(descriptor, wanted)
    return session.held - before


def make_room(clients: Clients) -> int:
    """Hang up on whoever holds the most, until there is room for all; return what they hold."""
    held = {descriptor: session.held for descriptor, (_, session) in clients.items()}
    while sum(held.values()) > MOST_HELD:
        most = max(held, key=held.__getitem__)
        clients[most][1].ended = f"it held {held.pop(most)} bytes, and there is no room for all"
        hang_up(clients, most)
    return sum(held.values())


def sweep(clients: Clients, now: float) -> int:
    """Hang up on the peers whose time for the handshake, or for a message, is up.

    Returns how many bytes are held for the others.
    """
    held = 0
    for descriptor, (_, session) in list(clients.items()):
        session.check_deadline(now)
        if session.ended:
            hang_up(clients, descriptor)
        else:
            held += session.held
    return held


def hang_up(clients: Clients, descriptor: int) -> None:
    """Close the connection; with that epoll forgets it."""
    client, session = clients.pop(descriptor)
    log.info("connection from %s ended: %s", session.peer, session.ended)
    client.close()


if __name__ == "__main__":
    runtime.main(serve, default_port=17000)
