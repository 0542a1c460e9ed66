"""All connections of a server: how long each may take, and how much all may buffer together.

The policy of a server, whatever its driver: there are no sockets here, and the clock is the
caller's. `pop_closed` returns the connections that timed out, were evicted or have ended, and the
driver closes their sockets.
"""

import logging
import math
import time
from threading import Lock
from typing import Generic, TypeVar

from services import runtime
from services.connection.authkey import authkey
from services.connection.memory import keep_freed_memory
from services.connection.protocol import Answer, Clock, Limits, Protocol

Client = TypeVar("Client")  # what a driver has for a connection, such as its socket

TICK = 0.25  # seconds between two checks of the timeouts
MIN_MESSAGE, MAX_MESSAGE = 4096, 2**31 - 1  # bytes; the latter is all that a length can say

log = logging.getLogger("connection")


def limits_from_settings() -> Limits:
    """Return the limits that the environment sets."""
    default = Limits()
    return Limits(
        message_timeout=runtime.setting(
            "WIRELAB_SILENCE_TIMEOUT", f"{default.message_timeout:.0f}", runtime.positive
        ),
        max_message=runtime.setting("WIRELAB_MAX_MESSAGE", str(default.max_message), message_size),
    )


def message_size(text: str) -> int:
    """Parse the size of the largest message, in bytes."""
    if text.isascii() and text.isdigit() and MIN_MESSAGE <= int(text) <= MAX_MESSAGE:
        return int(text)
    raise ValueError(f"a number of bytes ({MIN_MESSAGE} to {MAX_MESSAGE})")


class Sessions(Generic[Client]):
    """The open connections of a server, by their descriptors.

    Its methods may be called from several threads, each of which drives the protocols of its own
    connections; the lock is for what is about all of them.
    """

    def __init__(
        self, answer: Answer, key: bytes, limits: Limits, clock: Clock = time.monotonic
    ) -> None:
        self.clock = clock
        self.buffered = 0  # bytes, for all connections together
        self._answer = answer
        self._key = key
        self._limits = limits
        self._open: dict[int, tuple[Client, Protocol]] = {}
        self._counted: dict[int, int] = {}  # what each buffered at its last update
        self._closed: set[int] = set()
        self._next_check = 0.0
        self._lock = Lock()

    @classmethod
    def from_settings(cls, answer: Answer) -> "Sessions[Client]":
        """Return the sessions of a server that the environment configures."""
        limits = limits_from_settings()
        keep_freed_memory(limits.max_message)
        return cls(answer, authkey(), limits)

    def open(self, descriptor: int, client: Client, peer: str) -> Protocol:
        """Add a connection, and return its protocol."""
        log.info("connection from %s", peer)
        protocol = Protocol(peer, self._key, self._answer, self._limits, self.clock)
        with self._lock:
            self._open[descriptor] = client, protocol
            self._counted[descriptor] = 0
        return protocol

    def __contains__(self, descriptor: int) -> bool:
        return descriptor in self._open

    def __getitem__(self, descriptor: int) -> tuple[Client, Protocol]:
        return self._open[descriptor]

    def update(self, descriptor: int) -> None:
        """Count what a connection buffers now, and note whether it is closed.

        If all connections together buffer too much, the largest buffers are evicted first, until
        the total fits.
        """
        _, protocol = self._open.get(descriptor, (None, None))
        if not protocol or (not protocol.closed and protocol.buffered == self._counted[descriptor]):
            return
        with self._lock:
            if descriptor not in self._open:  # another thread was first
                return
            self._count(descriptor, protocol.buffered)
            while self.buffered > self._limits.max_buffered:
                largest = max(self._counted, key=self._counted.__getitem__)
                self._close(largest, f"evicted, with {self._counted[largest]} bytes buffered")
            if protocol.over:
                self._closed.add(descriptor)

    def check_timeouts(self, now: float) -> bool:
        """Close the connections whose deadline is before `now`, unless that was just checked.

        Returns whether it was time to check: every TICK. The handshake has one deadline, set when
        the connection is opened. After it a client may be idle for ever, but a message that has
        begun, or an answer that the client does not read, has one too. That is set here, and not
        with each message, since most messages are complete before the next check.
        """
        if now < self._next_check:
            return False
        self._next_check = now + TICK
        with self._lock:
            for descriptor, (_, protocol) in self._open.items():
                if now > protocol.deadline:
                    due = "a message" if protocol.authenticated else "the handshake"
                    self._close(descriptor, f"{due} took too long")
                elif protocol.deadline == math.inf and protocol.buffered:
                    protocol.deadline = now + self._limits.message_timeout
                    # Its thread may just have sent the last byte, and then cleared the deadline.
                    if not protocol.buffered:
                        protocol.deadline = math.inf
        return True

    def pop_closed(self) -> list[Client]:
        """Remove the connections that are closed, and return them."""
        if not self._closed:
            return []
        with self._lock:
            closed, self._closed = self._closed, set()
            for descriptor in closed:
                self._count(descriptor, 0)
                del self._counted[descriptor]
            removed = [self._open.pop(descriptor) for descriptor in closed]
        for _, protocol in removed:
            log.info("connection from %s closed: %s", protocol.peer, protocol.closed)
        return [client for client, _ in removed]

    def _count(self, descriptor: int, buffered: int) -> None:
        self.buffered += buffered - self._counted[descriptor]
        self._counted[descriptor] = buffered

    def _close(self, descriptor: int, reason: str) -> None:
        self._open[descriptor][1].close(reason)
        self._count(descriptor, 0)
        self._closed.add(descriptor)
