"""Which connections are over, although nothing says so: above all, those of clients that vanished.

A client without power or network sends no FIN. One that only pauses may do that for as long as it
likes: its window closes, and the kernel probes it now and then, to find out when it opens. As long
as the probes are acknowledged, the connection stays (RFC 9293, 3.8.6.1). So what counts is not how
long a client has taken nothing, but how long it has acknowledged nothing.

The kernel has no option for just that. Keepalive is for connections on which nothing is to be sent.
TCP_USER_TIMEOUT is for the others, but Linux counts it from the first probe of a closed window on,
although all of them are acknowledged (tcp_probe_timer in net/ipv4/tcp_timer.c). Without it Linux
gives up after 15 attempts, which takes 15 minutes or more (tcp(7), tcp_retries2).

But Linux counts the attempts that were not answered, and knows when the last acknowledgement came
(tcp(7), TCP_INFO; linux/tcp.h). So we look there, a few times within the timeout, and close the
connections of clients that have vanished.
"""

import socket
import struct
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Protocol, TypeVar

from services import listeners

# Of struct tcp_info: state, retransmits, probes, milliseconds since the last ACK, bytes not sent
INFO = struct.Struct("=BxBB52xI84xI")
CLOSED = 7  # a state: TCP_CLOSE of linux/tcp_states.h
LINGER = struct.pack("ii", 1, 0)  # close() sends RST, and discards what is not sent (socket(7))

Key = TypeVar("Key")


class Connection(Protocol):
    """A socket, or what asyncio and uvloop have in its place."""

    def getsockopt(self, level: int, optname: int, buflen: int, /) -> bytes:
        """Return an option."""

    def setsockopt(self, level: int, optname: int, value: bytes, /) -> None:
        """Set an option."""


def unsent(connection: Connection) -> bool:
    """Whether something is not sent yet, FIN included: the client's window is closed.

    To close the connection would leave that to the kernel, which gives up after a few minutes.
    """
    *_, not_sent = INFO.unpack(
        connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, INFO.size)
    )
    return bool(not_sent)


def finish(client: socket.socket) -> bool:
    """Send FIN after all that is not sent yet; return whether it can be closed already."""
    with suppress(OSError):  # it has been reset
        client.shutdown(socket.SHUT_WR)
    return not unsent(client)


class Watch:
    """Looks at the open connections of a server every `interval` seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._timeout = listeners.vanished_timeout()
        self.interval = self._timeout / 6
        self._next_look = 0.0
        # When something had been sent again, and not acknowledged, for the first time.
        self._since: dict[object, float] = {}

    def over(self, connections: Mapping[Key, Connection]) -> list[Key]:
        """Return which ones are to be closed, unless the last look was less than `interval` ago.

        Of these the client has vanished; or both sides have sent FIN, and all is acknowledged.
        """
        now = self._clock()
        if now < self._next_look:
            return []
        self._next_look = now + self.interval
        before, self._since = self._since, {}
        over = []
        for key, connection in connections.items():
            info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, INFO.size)
            state, retransmits, probes, since_ack, _ = INFO.unpack(info)
            acknowledged = now - since_ack / 1000
            if retransmits:  # the last ACK may be old, if the connection was idle until just now
                self._since[key] = max(acknowledged, before.get(key, now))
            elif probes > 1:  # the answer to one may be on its way
                self._since[key] = acknowledged
            if state == CLOSED or now - self._since.get(key, now) >= self._timeout:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
                over.append(key)
        return over
