"""The toxics of UDP, in the words of netem (tc-netem(8)): each datagram meets its fate by itself.

Draws `2 * n` and `2 * n + 1` of a toxic belong to datagram `n` of its stream.
"""

import math
from collections.abc import Iterator
from typing import ClassVar

from services.relay.toxics import MS, Attributes, Due, Effect, Piece

MAX_QUEUE = 1.0  # seconds that a datagram waits for bandwidth at most: there is no room for more


class PacketLoss(Effect):
    """Loses a `loss_rate` of the datagrams.

    With a `correlation`, losses come in runs: that is how much the fate of a datagram depends on
    that of the one before. The rate stays what it is, which is not so in netem.
    """

    attributes: ClassVar[Attributes] = {"loss_rate": 0.0, "correlation": 0.0}
    lost: bool | None = None  # whether the last datagram was

    def receive(self, piece: Piece, now: float) -> Iterator[Due]:
        """Drop, or not."""
        rate = self["loss_rate"]
        if self.lost is not None:
            rate += self["correlation"] * (self.lost - rate)
        draw = self.draw(2 * piece.offset)
        self.lost = draw < rate
        yield now, self.acted(piece, "dropped", draw, dropped=True) if self.lost else piece


class Duplicate(Effect):
    """Sends a `duplicate_rate` of the datagrams twice; no second toxic does so again."""

    attributes: ClassVar[Attributes] = {"duplicate_rate": 0.0}

    def receive(self, piece: Piece, now: float) -> Iterator[Due]:
        """Duplicate, or not."""
        draw = self.draw(2 * piece.offset)
        again = any(action.type == self.toxic.type for action in piece.actions)
        if draw < self["duplicate_rate"] and not again:
            yield now, self.acted(piece, "duplicated", draw)
            yield now, self.acted(piece, "the duplicate", draw)
        else:
            yield now, piece


class Corrupt(Effect):
    """Flips one bit of a `corrupt_rate` of the datagrams; the checksum is right all the same."""

    attributes: ClassVar[Attributes] = {"corrupt_rate": 0.0}

    def receive(self, piece: Piece, now: float) -> Iterator[Due]:
        """Corrupt, or not."""
        draw = self.draw(2 * piece.offset)
        if piece.data and draw < self["corrupt_rate"]:
            bit = int(self.draw(2 * piece.offset + 1) * 8 * len(piece.data))
            piece = self.acted(piece, f"bit {bit} flipped", draw)
            data = bytearray(piece.data)
            data[bit // 8] ^= 0x80 >> bit % 8
            piece.data = bytes(data)
        yield now, piece


class Latency(Effect):
    """Delays by `latency` milliseconds, give or take `jitter`: one may overtake another."""

    attributes: ClassVar[Attributes] = {"latency": 0, "jitter": 0}

    def receive(self, piece: Piece, now: float) -> Iterator[Due]:
        """Delay."""
        draw = self.draw(2 * piece.offset) if self["jitter"] else None
        delay = max(0, self["latency"] + (2 * (draw or 0.5) - 1) * self["jitter"])
        yield now + delay * MS, self.acted(piece, f"delayed by {delay:.0f} ms", draw)


class Reorder(Effect):
    """Holds a `reorder_rate` of the datagrams back until the `gap` next ones have overtaken them.

    If those do not come within `delay` milliseconds, it is only late.
    """

    attributes: ClassVar[Attributes] = {"reorder_rate": 0.0, "gap": 1, "delay": 100}
    held: tuple[tuple[float, int, Piece], ...] = ()  # until when, for how many, and what

    def receive(self, piece: Piece, now: float) -> Iterator[Due]:
        """Hold back, or pass and free those that have been overtaken often enough."""
        draw = self.draw(2 * piece.offset)
        if draw < self["reorder_rate"]:
            held = self.acted(piece, f"held back for {self['gap']} to overtake", draw)
            self.held += ((now + self["delay"] * MS, int(self["gap"]), held),)
        else:
            yield now, piece
            self.held = tuple((until, gap - 1, piece) for until, gap, piece in self.held)
        yield from self.expired(now)

    def expired(self, now: float) -> Iterator[Due]:
        """Free those that nothing overtakes in time."""
        for until, gap, piece in self.held:
            if until <= now or gap < 1:
                yield now, piece
        self.held = tuple(each for each in self.held if each[0] > now and each[1] > 0)
        self._note()

    def release(self) -> Iterator[Piece]:
        """Free all."""
        for _, _, piece in self.held:
            yield piece
        self.held = ()
        self._note()

    def _note(self) -> None:
        self.timer = min((until for until, _, _ in self.held), default=math.inf)
        self.size = sum(piece.size for _, _, piece in self.held)


class Bandwidth(Effect):
    """Passes `rate` KB (1,000 bytes) on in a second, and drops what would wait for too long."""

    attributes: ClassVar[Attributes] = {"rate": 0}
    free = 0.0  # when what was received before has passed

    def receive(self, piece: Piece, now: float) -> Iterator[Due]:
        """Delay by the time that the bytes take, or drop."""
        rate = self["rate"]
        free = max(self.free, now) + len(piece.data) / (1000 * rate) if rate else math.inf
        if free > now + MAX_QUEUE:
            what = f"dropped as the queue for {rate} KB/s is full"
            yield now, self.acted(piece, what, dropped=True)
        else:
            self.free = free
            yield free, self.acted(piece, f"limited to {rate} KB/s")


class Blackhole(Effect):
    """Drops everything."""

    def receive(self, piece: Piece, now: float) -> Iterator[Due]:
        """Drop."""
        yield now, self.acted(piece, "dropped", dropped=True)


DATAGRAM_TOXICS: dict[str, type[Effect]] = {
    "packet_loss": PacketLoss,
    "duplicate": Duplicate,
    "reorder": Reorder,
    "corrupt": Corrupt,
    "latency": Latency,
    "bandwidth": Bandwidth,
    "blackhole": Blackhole,
}
