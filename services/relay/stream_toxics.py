"""The toxics of TCP: they delay, cut and end a stream; its bytes stay complete and in order.

Whoever drops bytes of a stream (timeout, limit_data, reset_peer, half_close) ends it too: no
receiver gets a stream from whose middle something is missing. A lost segment (packet_loss) costs
what it costs in TCP, the time until it is sent again, in which all that follows waits.

A draw belongs to a position in the stream, so pieces are cut at those positions: at multiples of
BLOCK for a jitter, at multiples of SEGMENT for a loss, and near multiples of its average size for
a slicer.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import takewhile
from typing import ClassVar

from services.relay.toxics import MS, US, Attributes, Due, Effect, Piece
from services.wire.record import Kind

BLOCK = 512  # bytes that share one delay
SEGMENT = 1460  # bytes that are lost together: of an Ethernet frame, without options (RFC 9293)
RTO = 0.2  # seconds until a lost segment is sent again: Linux's minimum (tcp(7), RFC 6298)
MAX_LOSSES = 6  # of one segment


class Latency(Effect):
    """Delays by `latency` milliseconds, give or take `jitter` milliseconds for each block."""

    attributes: ClassVar[Attributes] = {"latency": 0, "jitter": 0}

    def receive(self, piece: Piece, now: float) -> Iterator[Due]:
        """Delay; the end of a stream travels as its bytes do."""
        for part in piece.split(multiples(piece, BLOCK)) if self["jitter"] else (piece,):
            draw = self.draw(part.offset // BLOCK) if self["jitter"] else None
            delay = max(0, self["latency"] + (2 * (draw or 0) - 1) * self["jitter"])
            yield now + delay * MS, self.acted(part, f"delayed by {delay:.0f} ms", draw)


class Bandwidth(Effect):
    """Passes `rate` KB (1,000 bytes) on in a second, and nothing at all if that is 0."""

    attributes: ClassVar[Attributes] = {"rate": 0}
    free = 0.0  # when what was received before has passed

    def begin(self, now: float) -> None:
        """Start with nothing before."""
        self.free = now

    def receive(self, piece: Piece, now: float) -> Iterator[Due]:
        """Delay by the time that the bytes take, in parts that take a tenth of a second."""
        bytes_per_second = 1000 * int(self["rate"])
        if not bytes_per_second:
            yield math.inf, self.acted(piece, "limited to 0 KB/s")
            return
        step = bytes_per_second // 10
        for part in piece.split(range(piece.offset + step, piece.offset + len(piece.data), step)):
            self.free = max(self.free, now) + len(part.data) / bytes_per_second
            yield self.free, self.acted(part, f"limited to {self['rate']} KB/s")


class PacketLoss(Effect):
    """Loses a `loss_rate` of the segments, each of which is then sent again, as TCP does.

    The time until then doubles with each loss of the same segment (RFC 6298, 5.5). Once it has
    arrived, what follows goes on, also the rest of its SEGMENT bytes where they come later.
    """

    attributes: ClassVar[Attributes] = {"loss_rate": 0.0}
    segment = -1  # the latest one that was lost or not

    def begin(self, now: float) -> None:  # noqa: ARG002
        """Decide anew: the rate may be another one."""
        self.segment = -1

    def receive(self, piece: Piece, now: float) -> Iterator[Due]:
        """Delay the first bytes of each segment that is lost; what follows waits behind them."""
        if piece.kind != "data":
            yield now, piece
            return
        for part in piece.split(multiples(piece, SEGMENT)):
            segment = part.offset // SEGMENT
            losses = self.losses(segment) if segment != self.segment else 0
            self.segment = segment
            if losses:
                wait = RTO * (2**losses - 1)
                what = f"lost, and sent again after {1000 * wait:.0f} ms"
                yield now + wait, self.acted(part, what, self.draw(segment * MAX_LOSSES))
            else:
                yield now, part

    def losses(self, segment: int) -> int:
        """Return how many times in a row a segment is lost."""
        first = segment * MAX_LOSSES
        draws = map(self.draw, range(first, first + MAX_LOSSES))
        return sum(1 for _ in takewhile(lambda draw: draw < self["loss_rate"], draws))


class Slicer(Effect):
    """Cuts the stream into parts of `average_size` bytes, give or take `size_variation`.

    After each of them there is a pause of `delay` microseconds.
    """

    attributes: ClassVar[Attributes] = {"average_size": 0, "size_variation": 0, "delay": 0}
    free = 0.0  # when the next part may pass

    def receive(self, piece: Piece, now: float) -> Iterator[Due]:
        """Cut."""
        cuts = dict(self.cuts(piece))
        for part in piece.split(cuts):
            due = max(now, self.free)
            self.free = due + self["delay"] * US
            if draw := cuts.get(part.offset):
                yield due, self.acted(part, f"cut at byte {part.offset}", draw)
            else:
                yield due, part

    def cuts(self, piece: Piece) -> Iterator[tuple[int, float]]:
        """Yield the positions in a piece where it is cut, each with its draw.

        Cut `n` is at most half of the variation away from `n` times the average size. So sizes vary
        as they should, and no position depends on those before it.
        """
        size = int(self["average_size"])
        variation = min(int(self["size_variation"]), size - 1)
        if size > 0:
            for number in range(max(1, piece.offset // size), piece.end // size + 2):
                draw = self.draw(number)
                position = number * size + round((draw - 0.5) * variation)
                if piece.offset <= position < piece.end:
                    yield position, draw


class SlowClose(Effect):
    """Delays the end of the stream by `delay` milliseconds."""

    attributes: ClassVar[Attributes] = {"delay": 0}

    def receive(self, piece: Piece, now: float) -> Iterator[Due]:
        """Delay the end."""
        if piece.kind == "data":
            yield now, piece
        else:
            what = f"end delayed by {self['delay']} ms"
            yield now + self["delay"] * MS, self.acted(piece, what)


class Timeout(Effect):
    """Drops everything, and closes the connection after `timeout` milliseconds without data.

    If that is 0, it stays open until the toxic is removed. It is closed then too, since a stream
    from whose middle bytes are missing is of no use.
    """

    attributes: ClassVar[Attributes] = {"timeout": 0}

    def begin(self, now: float) -> None:
        """Start the timer."""
        self.timer = now + self["timeout"] * MS if self["timeout"] else math.inf

    def receive(self, piece: Piece, now: float) -> Iterator[Due]:
        """Drop; the stream's end is that of the connection."""
        self.begin(now)
        if piece.kind == "data":
            yield now, self.acted(piece, "dropped", dropped=True)
        else:
            yield now, self.acted(closing(piece.offset, piece.arrived), "closed at the end")

    def expired(self, now: float) -> Iterator[Due]:
        """Close."""
        self.timer = math.inf
        yield now, self.acted(closing(), f"closed after {self['timeout']} ms")

    def end(self) -> Iterator[Piece]:
        """Close."""
        yield self.acted(closing(), "closed as the toxic is removed")


class ResetPeer(Effect):
    """Resets both sides `timeout` milliseconds after the first data, and drops what comes."""

    attributes: ClassVar[Attributes] = {"timeout": 0}
    begun = False

    def begin(self, now: float) -> None:
        """Start the timer anew, if there was data."""
        if self.begun:
            self.timer = now + self["timeout"] * MS

    def receive(self, piece: Piece, now: float) -> Iterator[Due]:
        """Drop, and start the timer if this is the first."""
        if not self.begun:
            self.begun = True
            self.begin(now)
        yield now, self.acted(piece, "dropped", dropped=True)

    def expired(self, now: float) -> Iterator[Due]:
        """Reset."""
        self.timer = math.inf
        yield now, self.acted(closing(kind="reset"), f"reset after {self['timeout']} ms")

    def end(self) -> Iterable[Piece]:
        """Reset now what it has dropped something of."""
        if self.begun:
            yield self.acted(closing(kind="reset"), "reset as the toxic is removed")


class LimitData(Effect):
    """Passes `bytes` bytes on, and closes the connection."""

    attributes: ClassVar[Attributes] = {"bytes": 0}
    start = -1  # where in the stream counting starts
    reached = False

    def receive(self, piece: Piece, now: float) -> Iterator[Due]:
        """Pass on what is within the limit."""
        if self.start < 0:
            self.start = piece.offset
        limit = max(self.start + int(self["bytes"]), piece.offset)
        if not self.reached and (piece.kind != "data" or piece.end < limit):
            yield now, piece
            return
        for part in piece.split([limit]):
            if part.offset < limit and not self.reached:
                yield now, part
            if part.end >= limit and not self.reached:
                self.reached = True
                yield now, self.ending(limit, piece.arrived)
            if part.offset >= limit and part.data:
                yield now, self.beyond(part)

    def ending(self, limit: int, arrived: float) -> Piece:
        """Return what has to be done at the limit."""
        return self.acted(closing(limit, arrived), f"closed after {self['bytes']} bytes")

    def beyond(self, piece: Piece) -> Piece:
        """Drop what is beyond the limit; how much of it there was before the close is chance."""
        return replace(piece, dropped=True)


class HalfClose(LimitData):
    """Passes `bytes` bytes on, and ends the stream (FIN); the other stream goes on.

    What the sender sends after that is dropped, and its own end is too late.
    """

    def ending(self, limit: int, arrived: float) -> Piece:
        """End the stream."""
        what = f"ended after {self['bytes']} bytes"
        return self.acted(Piece("fin", limit, b"", arrived), what)

    def beyond(self, piece: Piece) -> Piece:
        """Drop what is beyond the limit."""
        return self.acted(piece, "dropped after the end", dropped=True)

    def end(self) -> Iterable[Piece]:
        """Close, as what comes from now on could not be passed on."""
        if self.reached:
            yield self.acted(closing(), "closed as the toxic is removed")


class FailFirst(Effect):
    """Resets the first `connections` connections at once: Proxy.failure() does so."""

    attributes: ClassVar[Attributes] = {"connections": 1}


STREAM_TOXICS: dict[str, type[Effect]] = {
    "latency": Latency,
    "bandwidth": Bandwidth,
    "slow_close": SlowClose,
    "timeout": Timeout,
    "reset_peer": ResetPeer,
    "slicer": Slicer,
    "limit_data": LimitData,
    "packet_loss": PacketLoss,
    "half_close": HalfClose,
    "fail_first": FailFirst,
}


def multiples(piece: Piece, size: int) -> range:
    """Return the multiples of `size` after the start of a piece, up to its end."""
    return range((piece.offset // size + 1) * size, piece.end, size)


def closing(offset: int = -1, arrived: float = 0.0, kind: Kind = "close") -> Piece:
    """Return an end of the connection; without an offset and a time, the driver knows them."""
    return Piece(kind, offset, b"", arrived)
