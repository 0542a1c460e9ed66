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
UNSENT = 128 * 1024  # bytes that the kernel buffers for a client which it cannot send yet

log = logging.getLogger("listeners")


def tcp_listener(address: runtime.Address, *, shared: bool = False) -> socket.socket:
    """Listen on a TCP port; raises OSError. Accepted connections inherit what is set here.

    Where it is `shared`, others of this user may listen on the same port (SO_REUSEPORT).
    """
    listener = socket.create_server(address, backlog=BACKLOG, reuse_port=shared)
    set_options(listener)
    return listener


def tcp_group(address: runtime.Address, count: int) -> list[socket.socket]:
    """Listen on a TCP port with `count` sockets, which share the connections."""
    tcp_listener(address).close()  # raises if another server has the port, and would share it too
    first = tcp_listener(address, shared=True)
    where = first.getsockname()[:2]  # port 0 has become a number
    return [first, *(tcp_listener(where, shared=True) for _ in range(count - 1))]


def udp_group(address: runtime.Address, count: int) -> list[socket.socket]:
    """Bind `count` UDP sockets to a port, which share the datagrams."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as alone:
        alone.bind(address)  # raises if another server has the port, and would share it too
    group = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
    for server in group:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server.bind(address if server is group[0] else group[0].getsockname())
    return group


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


def tcp_and_unix(address: runtime.Address) -> list[socket.socket]:
    """Listen on a TCP port, and on a UNIX socket where one is set, as those do who count bytes.

    What a client does not read waits in the server, where it is counted, rather than in the kernel.
    """
    tcp = tcp_listener(address)
    tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
    listening = [tcp, *unix_listeners()]
    for listener in listening:
        log.info("listening on %s", text(listener.getsockname()))
    return listening


def unix_listeners() -> list[socket.socket]:
    """Listen on the UNIX socket that `WIRELAB_UNIX_SOCKET` names: on none if it is not set.

    Its file outlives the socket, and is removed when the server stops. Raises SettingError where
    there cannot be one.
    """
    if not (path := runtime.setting("WIRELAB_UNIX_SOCKET", "", str)):
        return []
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
    return [listener]


def accept_failed(error: OSError) -> bool:
    """Log why accept failed; return whether that was for lack of descriptors or memory.

    An empty queue is no failure: BlockingIOError is not logged.
    """
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
        if accept_failed(error):
            self._epoll.modify(self._listener, 0)
            self.timeout = RETRY_SECONDS
            self._until = time.monotonic() + RETRY_SECONDS

    def resume(self) -> None:
        """End the pause, if there is one and it has lasted long enough."""
        if self.timeout and time.monotonic() >= self._until:
            self._epoll.modify(self._listener, select.EPOLLIN)
            self.timeout = None
