"""All connections of a server: the time that each may take, and the memory that all may take.

The policy of a server without its sockets. The driver keeps each connection's protocol here, and
looks again at those that are returned: they have a response to send, or are closed.
"""

import time
from collections.abc import Iterator
from itertools import islice

from services.http.protocol import Clock, Protocol

MAX_BUFFERED = 8 * 1024 * 1024  # bytes, for all connections together
ENOUGH_FREED = MAX_BUFFERED * 3 // 4  # bytes, which eviction goes down to
FAIR_SHARE = 4 * 1024  # bytes, for which nobody is evicted
MAX_EXPIRED = 64  # connections at a time: the others are served in between


class Sessions:
    """The open connections of a server, by their descriptors."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self.buffered = 0  # bytes, for all of them together
        self.behind = False  # whether more connections have expired than were returned
        self._clock = clock
        self._protocols: dict[int, Protocol] = {}
        self._counted: dict[int, int] = {}  # the bytes of each when it was last counted

    def open(self, descriptor: int, protocol: Protocol) -> None:
        """Add a connection."""
        self._protocols[descriptor] = protocol
        self._counted[descriptor] = 0

    def close(self, descriptor: int) -> None:
        """Remove a connection."""
        del self._protocols[descriptor]
        self.buffered -= self._counted.pop(descriptor)

    def count(self, descriptor: int) -> None:
        """Count what is buffered for a connection now."""
        buffered = self._protocols[descriptor].buffered
        self.buffered += buffered - self._counted[descriptor]
        self._counted[descriptor] = buffered

    def evict(self) -> list[int]:
        """Free memory if too much is buffered for all; return the connections evicted.

        These are the ones that have taken most of their time, and not those that came last, which
        may be the only quick ones. One response stays, since it may be large all by itself.
        """
        if self.buffered <= MAX_BUFFERED:
            return []
        large = [each for each in self._counted if self._counted[each] > FAIR_SHARE]
        large.sort(key=lambda descriptor: self._protocols[descriptor].deadline)
        sending = (each for each in reversed(large) if self._protocols[each].data_to_send())
        spared = next(sending, None)
        evicted = []
        for descriptor in large:
            if self.buffered < ENOUGH_FREED:
                break
            protocol = self._protocols[descriptor]
            handled = protocol.request and not protocol.data_to_send()
            if descriptor != spared and not handled:
                protocol.evict()
                self.count(descriptor)
                evicted.append(descriptor)
        return evicted

    def check_timeouts(self) -> list[int]:
        """Expire connections whose deadline has passed, some at a time; return them."""
        expired = list(islice(self._expired(self._clock()), MAX_EXPIRED))
        for descriptor in expired:
            self._protocols[descriptor].expire()
        self.behind = len(expired) == MAX_EXPIRED
        return expired

    def _expired(self, now: float) -> Iterator[int]:
        for descriptor, protocol in self._protocols.items():
            if protocol.deadline < now:
                yield descriptor
