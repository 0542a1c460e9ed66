"""The time that each connection of a server may take, and the memory that all may take together.

What is large begins only while there is room for it: the body of a request, of which the head says
how long it is, and a response. Otherwise it waits, in the kernel or with the client, until others
are done. So whoever reads and writes gets everything, however many there are. Meanwhile only those
are evicted who make no progress.
"""

import math
from collections.abc import Callable
from itertools import islice

from services.http.protocol import SMALL, Protocol
from services.http.request import HTTPError
from services.progress import Progress

MAX_BUFFERED = 8 * 1024 * 1024  # bytes, for all connections together: then nothing large begins
MAX_BODIES = MAX_BUFFERED // 2  # bytes at which no body begins: its response needs room, too
MAX_WAITING = 1000  # connections, of which a head and SMALL bytes of a body are kept
# What is small begins all the same, and a response may turn out larger than what was reserved. So
# there is a second limit, at which connections are evicted, whatever they do.
MAX_EXCEEDED = 32 * 1024 * 1024
ENOUGH_FREED = MAX_EXCEEDED * 3 // 4  # bytes, which eviction goes down to
STALLED = 1.0  # seconds in which a client should receive or send SMALL bytes, while others wait
MAX_EXPIRED = 64  # at a time: closing many must not delay the others
TOO_MUCH = HTTPError("Too much is buffered for all clients together.", "503 Service Unavailable")
TOO_LATE = HTTPError("The client took too long.", "408 Request Timeout")


class Sessions(dict[int, Protocol]):
    """The open connections of a server, by their descriptors."""

    def __init__(self) -> None:
        super().__init__()
        self.buffered = 0  # bytes, for all of them together but those that wait
        self.granted = 0  # bytes, to threads whose responses have not come yet
        self.others_wait = False  # for room: a thread does
        self._waiting: dict[int, None] = {}  # for room, in this order
        self._progress: Progress[tuple[int, Protocol]] = Progress(STALLED, SMALL)

    def count(self, descriptor: int) -> None:
        """Count what is buffered for a connection now: nothing, once it is closed."""
        protocol = self[descriptor]
        self.buffered -= protocol.counted
        protocol.counted = 0 if protocol.needs else protocol.buffered
        self.buffered += protocol.counted
        if protocol.needs:
            self._waiting.setdefault(descriptor)
        elif self._waiting:
            self._waiting.pop(descriptor, None)

    def has_room(self, size: int) -> bool:
        """Whether a response of `size` bytes may begin, and any one if half of the room is free."""
        return self.buffered + self.granted + min(size, MAX_BUFFERED // 2) <= MAX_BUFFERED

    def has_room_for(self, descriptor: int, size: int) -> bool:
        """Whether a response of `size` bytes may begin: those that wait go first."""
        return self[descriptor].has_room(size) or (not self._waiting and self.has_room(size))

    def first_waiting(self) -> int | None:
        """Return the connection that waits for the longest, if there is room for it now."""
        for first in self._waiting:
            size = self[first].needs
            fits = self[first].postponed or self.buffered + size <= MAX_BODIES
            return first if fits and self.has_room(size) else None
        return None

    def evict(self) -> list[int]:
        """Free memory if too much is buffered for all; return the connections evicted.

        The oldest first, since new ones may be quick; one response stays, which may just be large.
        """
        if len(self._waiting) > MAX_WAITING:
            last = next(reversed(self._waiting))
            self._abort(last, TOO_MUCH)
            return [last]
        if self.buffered <= MAX_EXCEEDED:
            return []
        large = [each for each in self if self[each].counted > SMALL]
        large.sort(key=lambda each: self[each].deadline)  # none (inf) if a request is being handled
        spared = [each for each in large if self[each].data_to_send()][-1:]
        evicted = []
        for each in large:
            if self.buffered < ENOUGH_FREED or self[each].deadline == math.inf:
                break
            if each not in spared:
                self._abort(each, TOO_MUCH)
                evicted.append(each)
        return evicted

    def evict_stalled(self, now: float, in_kernel: Callable[[int], int]) -> list[int]:
        """Evict those who make no progress if others wait for room; return them.

        `in_kernel` says how many bytes that were sent to a client have not arrived there yet.
        """
        moved = {
            (each, protocol): protocol.moved - in_kernel(each)
            for each, protocol in (self.items() if self._waiting or self.others_wait else ())
            if protocol.counted > SMALL and not protocol.needs and protocol.deadline < math.inf
        }
        stalled = [each for each, _ in self._progress.stalled(moved, now)][:MAX_EXPIRED]
        for each in stalled:
            self._abort(each, TOO_MUCH)
        return stalled

    def check_timeouts(self, now: float) -> list[int]:
        """Abort connections whose deadline has passed, some at a time; return them."""
        expired = list(islice((each for each in self if self[each].deadline < now), MAX_EXPIRED))
        for each in expired:
            self._abort(each, TOO_MUCH if self[each].needs else TOO_LATE)
        return expired

    def _abort(self, descriptor: int, error: HTTPError) -> None:
        self[descriptor].abort(error)
        self.count(descriptor)
