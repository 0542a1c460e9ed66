"""The time that each connection of a server may take, and the memory that all may take together."""

import math
from itertools import islice

from services.http.protocol import Protocol
from services.http.request import HTTPError

MAX_BUFFERED = 8 * 1024 * 1024  # bytes, for all connections together
ENOUGH_FREED = MAX_BUFFERED * 3 // 4  # bytes, which eviction goes down to
FAIR_SHARE = 4 * 1024  # bytes: a connection with no more is never evicted
MAX_EXPIRED = 64  # at a time: closing many must not delay the others
TOO_MUCH = HTTPError("Too much is buffered for all clients together.", "503 Service Unavailable")
TOO_LATE = HTTPError("The client took too long.", "408 Request Timeout")


class Sessions(dict[int, Protocol]):
    """The open connections of a server, by their descriptors."""

    buffered = 0  # bytes, for all of them together

    def count(self, descriptor: int) -> None:
        """Count what is buffered for a connection now: nothing, once it is closed."""
        protocol = self[descriptor]
        self.buffered -= protocol.counted
        protocol.counted = protocol.buffered
        self.buffered += protocol.counted

    def evict(self) -> list[int]:
        """Free memory if too much is buffered for all; return the connections evicted.

        The oldest first, since new ones may be quick; one response stays, which may just be large.
        """
        if self.buffered <= MAX_BUFFERED:
            return []
        large = [each for each in self if self[each].counted > FAIR_SHARE]
        large.sort(key=lambda each: self[each].deadline)  # none (inf) if a request is being handled
        spared = [each for each in large if self[each].data_to_send()][-1:]
        evicted = []
        for each in large:
            if self.buffered < ENOUGH_FREED or self[each].deadline == math.inf:
                break
            if each not in spared:
                self[each].abort(TOO_MUCH)
                self.count(each)
                evicted.append(each)
        return evicted

    def check_timeouts(self, now: float) -> list[int]:
        """Abort connections whose deadline has passed, some at a time; return them."""
        expired = list(islice((each for each in self if self[each].deadline < now), MAX_EXPIRED))
        for each in expired:
            self[each].abort(TOO_LATE)
            self.count(each)
        return expired
