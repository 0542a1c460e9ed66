"""Listening sockets: their options, the UNIX socket, and what to do when accept fails."""

import errno
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, cast

from services import addresses, runtime

BACKLOG = 1024  # length of the accept queue (the kernel caps it at net.core.somaxconn)
# In one iteration, so that a burst of connects cannot starve open connections. asyncio takes the
# `backlog` of start_server() and create_server() for this number, and for the length of the accept
# queue too: so servers pass MAX_ACCEPTS, and then call listen() again with BACKLOG.
MAX_ACCEPTS = 64
# accept(2) fails with one of these while the process has no descriptor for another connection, or
# the kernel no memory. The connection stays in the accept queue, so epoll would report the listener
# as readable again at once, over and over, if it were not paused.
NO_CAPACITY = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
RETRY_SECONDS = 0.5  # between such a failure and the next accept
NOT_SENT = 128 * 1024  # bytes that the kernel has not sent yet: with more, it takes no further ones
TCP_RTO_MAX_MS = 44  # linux/tcp.h: milliseconds between two attempts to send, at most
MAX_RTO = 120  # seconds: the largest value of that option, and its default
MAX_VANISHED_TIMEOUT = 65_535  # seconds: half of it is TCP_KEEPIDLE, which is at most 32767

log = logging.getLogger("listeners")


def resolve(address: runtime.Address) -> tuple[socket.AddressFamily, runtime.Address]:
    """Return the family of an address, and what bind() takes; raises SettingError for no address.

    A name with addresses of both families, such as localhost, stands for the IPv4 one: the other
    would exclude clients with a socket of AF_INET. On `::` both families are served, unless
    net.ipv6.bindv6only is set (ipv6(7)).
    """
    host, port = address[:2]
    if len(tuple(address)) == 4:  # it is what this function, or getsockname(), has returned
        return socket.AF_INET6, address
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise runtime.SettingError(
            f"WIRELAB_HOST has value {host!r}. Not an address, nor a name that has one: {reason}"
        ) from None
    family, *_, where = min(found, key=lambda each: each[0])  # AF_INET is 2, and AF_INET6 is 10
    return family, cast("runtime.Address", where)


def tcp_listener(
    address: runtime.Address,
    *,
    shared: bool = False,
    may_pause: bool = False,
    buffers: int = 0,
    not_sent: int = 0,
) -> socket.socket:
    """Listen on a TCP port; raises OSError. Accepted connections inherit the socket options.

    If it is `shared`, other processes of the same user may listen on this port (SO_REUSEPORT).
    If a client `may_pause`, the kernel closes connections on which data is to be sent neither to a
    client that reads nothing nor to one that has vanished: see tcp_echo/vanished.py.
    `buffers` is for limit_buffers(), and `not_sent` is TCP_NOTSENT_LOWAT (tcp(7)): 0 leaves the
    kernel's default.
    """
    family, where = resolve(address)
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Connections of an earlier server may still be in TIME_WAIT; listen all the same.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # All options before listen(): the kernel completes handshakes from then on, and those
        # connections would not inherit what is set later.
        set_options(listener, may_pause=may_pause)
        if buffers:
            limit_buffers(listener, buffers)
        if not_sent:
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, not_sent)
        listener.bind(where)
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def tcp_group(address: runtime.Address, count: int, **options: Any) -> list[socket.socket]:
    """Listen on a TCP port with `count` sockets, among which the kernel distributes connections.

    The `options` are those of tcp_listener().
    """
    listen: Callable[..., socket.socket] = partial(tcp_listener, **options)
    if count == 1:
        return [listen(address)]
    # A server that listens there with SO_REUSEPORT already would get a part of our connections.
    # Without that option bind() fails then.
    tcp_listener(address).close()
    first = listen(address, shared=True)
    bound = first.getsockname()  # port 0 has become a number
    return [first, *(listen(bound, shared=True) for _ in range(count - 1))]


def keep_urgent_data(listener: socket.socket) -> None:
    """Have a byte that was sent with MSG_OOB received like all others, in its place.

    By default it would not come out of recv() at all. TCP's urgent data was never meant to be out
    of band, and not to deliver it so is what RFC 6093, 4 asks of programs.
    """
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)


def set_options(listener: socket.socket, *, may_pause: bool) -> None:
    """Make connections lose no byte, send small messages at once, and detect vanished peers."""
    keep_urgent_data(listener)
    # Nagle's algorithm would hold back a small message until the previous one is acknowledged.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # A peer that vanishes (no power, no network) sends no FIN. The kernel probes a connection that
    # is idle, and closes it if no probe is acknowledged (tcp(7)).
    timeout = vanished_timeout()
    interval = max(1, timeout // 6)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, max(1, timeout // 2))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, interval)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    if not may_pause:
        # The same for one on which data is to be sent; but also if the peer acknowledges everything
        # and just reads nothing for that long.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, timeout * 1000)
        return
    # Otherwise the kernel asks a peer that has been pausing for long every two minutes only.
    with suppress(OSError):  # before Linux 6.15
        listener.setsockopt(socket.IPPROTO_TCP, TCP_RTO_MAX_MS, 1000 * min(interval, MAX_RTO))


def vanished_timeout() -> int:
    """Return `WIRELAB_VANISHED_TIMEOUT`: seconds after which a vanished peer is dropped."""
    return runtime.setting("WIRELAB_VANISHED_TIMEOUT", "60", _vanished_timeout)


def _vanished_timeout(text: str) -> int:
    """Parse a number of seconds that TCP_KEEPIDLE and TCP_USER_TIMEOUT can be derived from."""
    if (seconds := runtime.positive(text)) <= MAX_VANISHED_TIMEOUT:
        return seconds
    raise ValueError(f"a whole number up to {MAX_VANISHED_TIMEOUT}")


def limit_buffers(listener: socket.socket, size: int) -> None:
    """Limit the kernel's send buffer and receive buffer of each connection to `size` bytes each.

    The receive buffer fills up if the server stops receiving because the peer does not read. By
    default it begins with 64 KiB, and grows to 6 MiB while the server receives much at a time
    (tcp(7), tcp_rmem).
    """
    limit_send_buffer(listener, size)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


def limit_send_buffer(listener: socket.socket, size: int) -> None:
    """Limit the kernel's send buffer of each connection to `size` bytes of data.

    Linux doubles the number, as its own bookkeeping is counted too (socket(7)). Without a limit
    the buffer of a connection whose peer reads slowly grows to 4 MiB (tcp(7), tcp_wmem).
    """
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)


def tcp_and_unix(address: runtime.Address) -> list[socket.socket]:
    """Listen on a TCP port, and on a UNIX socket if one is set; log the addresses.

    For servers with a memory budget: bytes that the peer does not read stay in the server, which
    counts them, rather than in the kernel, which does not.
    """
    return tcp_and_unix_group(address, 1)[0]


# A connection to the shared UNIX socket wakes every process that waits for one, and all but the
# first find the queue empty ("thundering herd"). EPOLLEXCLUSIVE (epoll_ctl(2)) would wake only one:
# but always the same one, for as long as that is idle. Of 100 clients that came one by one, the
# first of eight processes then got 77, and six got none. So they all wake up: a few microseconds
# each, once for a connection and not for a request, and which one is first is left to chance.
def tcp_and_unix_group(address: runtime.Address, count: int) -> list[list[socket.socket]]:
    """Do the same for `count` processes; return what each of them has to accept from.

    Each gets a TCP listener of its own. The UNIX socket is one that all share: the kernel
    distributes connections among several sockets for TCP only.
    """
    group = tcp_group(address, count, not_sent=NOT_SENT)
    shared = unix_listeners()
    for listener in (group[0], *shared):
        log.info("listening on %s", text(listener.getsockname()))
    return [[own, *shared] for own in group]


def unix_listeners() -> list[socket.socket]:
    """Listen on the UNIX socket at the path `WIRELAB_UNIX_SOCKET`, if that is set.

    Closing a socket does not remove its file, so this happens when the server stops. Raises
    SettingError if no socket can be created at that path.
    """
    if not (path := runtime.setting("WIRELAB_UNIX_SOCKET", "", str)):
        return []
    listener = socket.socket(socket.AF_UNIX)
    try:
        if Path(path).is_socket() and was_left(path):
            Path(path).unlink()
        listener.bind(path)
    except OSError as error:
        listener.close()
        raise runtime.SettingError(
            f"WIRELAB_UNIX_SOCKET has value {path!r}. Not a path for a socket: {error}"
        ) from None
    runtime.at_exit.callback(Path(path).unlink, missing_ok=True)
    listener.listen(BACKLOG)
    return [listener]


def was_left(path: str) -> bool:
    """Whether nobody listens on the UNIX socket at `path`, as after a server was killed."""
    with socket.socket(socket.AF_UNIX) as client:
        client.setblocking(False)  # the accept queue may be full
        return client.connect_ex(path) == errno.ECONNREFUSED


def accept_failed(error: OSError) -> bool:
    """Log why accept failed; return whether that was for lack of descriptors or memory.

    A BlockingIOError is not logged: it says that the accept queue is empty.
    """
    if not isinstance(error, BlockingIOError):
        log.warning("accept: %s", error)
    return error.errno in NO_CAPACITY


def text(address: object) -> str:
    """Return the address of a socket for log messages; the client of a UNIX socket has none.

    None is what uvloop has for a client that has reset its connection before it was accepted.
    """
    if isinstance(address, tuple):
        return addresses.join(*address[:2])
    return "an unknown address" if address is None else str(address or "the UNIX socket")
