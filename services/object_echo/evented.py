"""Object echo, event-driven: one thread and one selector, a TCP port and a UNIX socket.

The handshake of a connection is a few steps of the same loop. So a peer that falls silent in it
keeps nobody waiting, and is dropped when its time is up.
"""

import errno
import logging
import selectors
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from services import runtime
from services.connection import handshake
from services.connection.session import Session
from services.object_echo.echo import echo

CHUNK = 256 * 1024  # bytes
SWEEP_SECONDS = 0.25

log = logging.getLogger("object-echo")


def serve(address: runtime.Address) -> None:
    """Accept connections and take a step of the conversation wherever one is possible."""
    key = handshake.authkey()
    unix_path = runtime.setting("WIRELAB_UNIX_SOCKET", "", str)
    with ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        listeners = [stack.enter_context(socket.create_server(address, backlog=1024))]
        log.info("listening on %s:%d", *listeners[0].getsockname()[:2])
        if unix_path:
            listeners.append(stack.enter_context(unix_server(unix_path)))
            log.info("listening on %s", unix_path)
        for listener in listeners:
            listener.setblocking(False)
            selector.register(listener, selectors.EVENT_READ)
        next_sweep = 0.0
        while True:
            for ready, _ in selector.select(SWEEP_SECONDS):
                if ready.fileobj in listeners:
                    accept(selector, ready, key)
                else:
                    converse(selector, ready)
            if (now := time.monotonic()) > next_sweep:
                sweep(selector, now)
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


def accept(selector: selectors.BaseSelector, ready: selectors.SelectorKey, key: bytes) -> None:
    """Take the next connection from the kernel's queue; our challenge is the first to be sent."""
    listener: socket.socket = ready.fileobj  # type: ignore[assignment]
    try:
        client, peer = listener.accept()
    except OSError as error:
        log.warning("accept: %s", error)
        if error.errno in (errno.EMFILE, errno.ENFILE):
            # While all descriptors are in use the connection stays in the queue, and the selector
            # would report it again at once, over and over.
            time.sleep(0.1)
        return
    client.setblocking(False)
    if listener.family != socket.AF_UNIX:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    session = Session("{}:{}".format(*peer) if peer else "the UNIX socket", key, echo)
    log.info("connection from %s", session.peer)
    selector.register(client, selectors.EVENT_WRITE, session)


def converse(selector: selectors.BaseSelector, ready: selectors.SelectorKey) -> None:
    """Receive if nothing waits to be sent, and send what the kernel takes."""
    client: socket.socket = ready.fileobj  # type: ignore[assignment]
    session: Session = ready.data
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
        hang_up(selector, client, session)
        return
    events = selectors.EVENT_WRITE if session.unsent else selectors.EVENT_READ
    if events != ready.events:
        selector.modify(client, events, session)


def sweep(selector: selectors.BaseSelector, now: float) -> None:
    """Hang up on the peers whose time for the handshake, or for a message, is up."""
    for ready in list(selector.get_map().values()):
        if ready.data:
            ready.data.check_deadline(now)
            if ready.data.ended:
                hang_up(selector, ready.fileobj, ready.data)  # type: ignore[arg-type]


def hang_up(selector: selectors.BaseSelector, client: socket.socket, session: Session) -> None:
    """Close the connection."""
    log.info("connection from %s ended: %s", session.peer, session.ended)
    selector.unregister(client)
    client.close()


if __name__ == "__main__":
    runtime.main(serve, default_port=25000)
