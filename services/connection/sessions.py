"""All connections of a server: how long each may take, and how much all may buffer together.

The policy of a server, whatever its driver: there are no sockets here, and the clock is the
caller's. `pop_closed` returns the connections that timed out, were evicted or have ended, and the
driver closes their sockets.

A large message begins only while there is room for it and its answer. Otherwise it waits, in the
kernel or with the client, until others are done. So whoever reads and writes gets everything,
however many there are. Meanwhile only those are evicted who make no progress.
When it is complete, it waits for its turn (`turns`), and is answered in steps: between two of them
others are served.
"""

import logging
import math
import time
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

from services import runtime
from services.connection.authkey import authkey
from services.connection.protocol import SMALL, Answer, Clock, Limits, Protocol
from services.connection.turns import Turns
from services.memory import keep_freed_memory, share_freed_memory
from services.progress import Progress

Client = TypeVar("Client")  # what a driver has for a connection, such as its socket

TICK = 0.25  # seconds between two checks of the timeouts
STALLED = 2.0  # seconds in which a client should receive or send ENOUGH bytes, while others wait
ENOUGH = 4096
MAX_WAITING = 1000  # connections, of each of which SMALL bytes of a message are kept
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
        self.buffered = 0  # bytes, for all connections together but those that wait for room
        self.turns: list[tuple[int, int]] = []  # whose message to go on with: descriptor, no event
        self._answer = answer
        self._key = key
        self._limits = limits
        self._open: dict[int, tuple[Client, Protocol]] = {}
        self._wake: dict[int, Callable[[], object]] = {}
        self._counted: dict[int, int] = {}  # what each buffered at its last update
        self._large: dict[int, int] = {}  # the same of those with more than SMALL
        self._begun = 0  # bytes, the sum of these
        self._waiting: dict[int, None] = {}  # for room, in this order
        self._turns = Turns()
        self._progress: Progress[tuple[int, Protocol]] = Progress(STALLED, ENOUGH)
        self._closed: set[int] = set()
        self._next_check = 0.0
        self._lock = Lock()

    @classmethod
    def from_settings(cls, answer: Answer) -> "Sessions[Client]":
        """Return the sessions of a server that the environment configures."""
        limits = limits_from_settings()
        keep_freed_memory(limits.max_message)
        share_freed_memory()
        return cls(answer, authkey(), limits)

    def open(
        self,
        descriptor: int,
        client: Client,
        peer: str,
        wake: Callable[[], object] = lambda: None,
    ) -> Protocol:
        """Add a connection, and return its protocol.

        `wake` is called when a message that has waited for room, or for its turn, may go on, or the
        connection is closed, even where its driver does not wait for that.
        """
        log.info("connection from %s", peer)
        protocol = Protocol(peer, self._key, self._answer, self._limits, self.clock)
        with self._lock:
            self._open[descriptor] = client, protocol
            self._wake[descriptor] = wake
            self._counted[descriptor] = 0
        return protocol

    def __contains__(self, descriptor: int) -> bool:
        return descriptor in self._open

    def __getitem__(self, descriptor: int) -> tuple[Client, Protocol]:
        return self._open[descriptor]

    def update(self, descriptor: int) -> None:
        """Count what a connection buffers now, and note whether it waits for room or is closed.

        Those that wait go on in their order, as soon as there is room for the first. If all
        connections together buffer too much all the same, the largest buffers are evicted first,
        until the total fits.
        """
        _, protocol = self._open.get(descriptor, (None, None))
        if not protocol or (
            protocol.buffered == self._counted[descriptor]
            and not protocol.needs
            and not protocol.closed
            and descriptor not in self._turns.begun
        ):
            return
        with self._lock:
            if descriptor not in self._open:  # another thread was first
                return
            self._wait(descriptor, protocol)
            self._count(descriptor, protocol.buffered)
            self._admit()
            if len(self._waiting) > MAX_WAITING:
                self._close(next(reversed(self._waiting)), f"more than {MAX_WAITING} wait for room")
            while self.buffered > self._limits.max_exceeded:
                largest = max(self._counted, key=self._counted.__getitem__)
                self._close(largest, f"evicted, with {self._counted[largest]} bytes buffered")
            if protocol.over:
                self._closed.add(descriptor)

    def check_timeouts(self, now: float, in_kernel: Callable[[int], int] = lambda _: 0) -> bool:
        """Close the connections whose deadline is before `now`, unless that was just checked.

        Returns whether it was time to check: every TICK. The handshake has one deadline, set when
        the connection is opened. After it a client may be idle for ever, but a message that has
        begun, or an answer that the client does not read, has one too. That is set here, and not
        with each message, since most messages are complete before the next check.

        While messages wait for room, those that have some and make no progress are evicted.
        `in_kernel` says how many bytes that were sent to a client have not arrived there yet.
        """
        if now < self._next_check:
            return False
        self._next_check = now + TICK
        with self._lock:
            for descriptor, (_, protocol) in self._open.items():
                if now > protocol.deadline:
                    due = "a message" if protocol.authenticated else "the handshake"
                    waited = " to get room" if protocol.needs else ""
                    self._close(descriptor, f"{due} took too long{waited}")
                elif protocol.deadline == math.inf and is_up_to_the_client(protocol):
                    protocol.deadline = now + self._limits.message_timeout
                    # Its thread may just have sent the last byte, and then cleared the deadline.
                    if not is_up_to_the_client(protocol):
                        protocol.deadline = math.inf
            self._evict_stalled(now, in_kernel)
            self._admit()
        return True

    def pop_closed(self) -> list[Client]:
        """Remove the connections that are closed, and return them."""
        if not self._closed:
            return []
        with self._lock:
            closed, self._closed = self._closed, set()
            for descriptor in closed:
                self._leave(descriptor)
                del self._counted[descriptor], self._wake[descriptor]
            self._admit()
            removed = [self._open.pop(descriptor) for descriptor in closed]
        for _, protocol in removed:
            log.info("connection from %s closed: %s", protocol.peer, protocol.closed)
        return [client for client, _ in removed]

    def _count(self, descriptor: int, buffered: int) -> None:
        if descriptor in self._waiting:
            buffered = 0  # or those that wait, if they are many, would keep each other waiting
        self.buffered += buffered - self._counted[descriptor]
        self._counted[descriptor] = buffered
        self._begun -= self._large.pop(descriptor, 0)
        if buffered > SMALL:
            self._large[descriptor] = buffered
            self._begun += buffered

    def _wait(self, descriptor: int, protocol: Protocol) -> None:
        """Note for what a connection waits, if it does: for room, or for its turn."""
        if protocol.answering:
            if not protocol.turn:
                self._turns.wait(descriptor, protocol.answering)
            return
        self._turns.end(descriptor)
        if not protocol.needs:
            self._waiting.pop(descriptor, None)
        elif not self._waiting and self._has_room(protocol.needs):
            protocol.reserve()
        else:
            self._waiting.setdefault(descriptor)

    def _has_room(self, size: int) -> bool:
        # The largest message and its answer need all of the room; half of it is enough to begin.
        room = self._limits.max_buffered
        return self._begun + min(size, room // 2) <= room

    def _admit(self) -> None:
        for descriptor in self._turns.begin():
            self._open[descriptor][1].begin()
            self._wake[descriptor]()
        self.turns = [(descriptor, 0) for descriptor in self._turns.begun]
        while self._waiting:
            first = next(iter(self._waiting))
            _, protocol = self._open[first]
            if not self._has_room(protocol.needs):
                return
            del self._waiting[first]
            protocol.reserve()
            self._count(first, protocol.buffered)
            self._wake[first]()

    def _evict_stalled(self, now: float, in_kernel: Callable[[int], int]) -> None:
        moved = {
            (descriptor, protocol): protocol.moved - in_kernel(descriptor)
            for descriptor in (self._large if self._waiting else ())
            if is_up_to_the_client(protocol := self._open[descriptor][1])
        }
        for descriptor, _ in self._progress.stalled(moved, now):
            self._close(descriptor, f"evicted: no progress in {STALLED:.0f} s, and others wait")

    def _close(self, descriptor: int, reason: str) -> None:
        self._open[descriptor][1].close(reason)
        self._leave(descriptor)
        self._closed.add(descriptor)
        self._wake[descriptor]()

    def _leave(self, descriptor: int) -> None:
        self._waiting.pop(descriptor, None)
        self._turns.end(descriptor)
        self._count(descriptor, 0)


def is_up_to_the_client(protocol: Protocol) -> bool:
    """Whether something is buffered that waits for the client, and not for us to answer it."""
    return bool(protocol.buffered) and not protocol.answering
