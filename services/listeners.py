"""Listening sockets: their options, the UNIX socket, and what it means when accept fails."""

import errno
import logging
import select
import socket
import time
from pathlib import Path

from services import runtime

BACKLOG = 1024  # connections that the kernel keeps while none is accepted
# accept(2) fails so while there is no descriptor, or no memory, for one more connection. That
# stays in the queue, and epoll reports it again at once, over and over: see AcceptBackoff.
NO_CAPACITY = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
RETRY_SECONDS = 0.5  # after which to try again

log = logging.getLogger("listeners")


def tcp_listener(address: runtime.Address) -> socket.socket:
    """Listen on a TCP port; raises OSError. Accepted connections inherit what is set here."""
    listener = socket.create_server(address, backlog=BACKLOG)
    set_options(listener)
    return listener


def set_options(listener: socket.socket) -> None:
    """Set what a connection needs that is to be answered at once, and may break without a FIN."""
    # Nagle's algorithm would hold back a short answer until the one before is acknowledged.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # A peer that vanishes (no power, no network) sends no FIN. The kernel probes one that is
    # silent, and gives up on one that acknowledges nothing (tcp(7)).
    timeout = runtime.setting("WIRELAB_VANISHED_TIMEOUT", "60", runtime.positive)  # seconds
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, max(1, timeout // 2))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, timeout // 6))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, timeout * 1000)


def limit_buffer(listener: socket.socket, size: int) -> None:
    """Have the kernel buffer about `size` bytes for a connection whose peer reads nothing.

    By itself it lets that buffer grow to 4 MiB: tcp(7), tcp_wmem.
    """
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)


def unix_listener() -> socket.socket | None:
    """Listen on the UNIX socket that `WIRELAB_UNIX_SOCKET` names, if it names one.

    Its file outlives the socket, and is removed when the server stops. Raises SettingError where
    there cannot be one.
    """
    if not (path := runtime.setting("WIRELAB_UNIX_SOCKET", "", str)):
        return None
    listener = socket.socket(socket.AF_UNIX)
    try:
        if Path(path).is_socket():  # of a server that was killed
            Path(path).unlink()
        listener.bind(path)
    except OSError as error:
        listener.close()
        raise runtime.SettingError(
            f"WIRELAB_UNIX_SOCKET has value {path!r}. Not where a socket can be: {error}"
        ) from None
    runtime.at_exit.callback(Path(path).unlink, missing_ok=True)
    listener.listen(BACKLOG)
    return listener


def no_capacity(error: OSError) -> bool:
    """Return whether accept failed for lack of capacity; log the error, unless no one waited."""
    if not isinstance(error, BlockingIOError):
        log.warning("accept: %s", error)
    return error.errno in NO_CAPACITY


def text(address: object) -> str:
    """Return the address of a socket as logs have it; a client's UNIX socket has none."""
    if isinstance(address, tuple):
        return "{}:{}".format(*address)
    return str(address or "the UNIX socket")


class AcceptBackoff:
    """Has epoll ignore a listener for RETRY_SECONDS when accept fails for lack of capacity."""

    def __init__(self, epoll: select.epoll, listener: socket.socket) -> None:
        self.timeout: float | None = None  # for epoll.poll(): seconds during a pause
        self._epoll = epoll
        self._listener = listener
        self._until = 0.0

    def failed(self, error: OSError) -> None:
        """Pause if `error`, which accept has raised, means that there is no capacity."""
        if no_capacity(error):
            self._epoll.modify(self._listener, 0)
            self.timeout = RETRY_SECONDS
            self._until = time.monotonic() + RETRY_SECONDS

    def resume(self) -> None:
        """End the pause, if there is one and it has lasted long enough."""
        if self.timeout and time.monotonic() >= self._until:
            self._epoll.modify(self._listener, select.EPOLLIN)
            self.timeout = None
