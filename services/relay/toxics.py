"""What a toxic is: how it is configured, and what its effect on one stream of a connection is.

There is no I/O and no clock here: pieces of a stream go in with the time, and come out with the
time at which they are due. What is left to chance is drawn from a sequence that depends on nothing
but the seed, the proxy, the connection's number, the stream and the toxic, and of which element
`n` belongs to datagram `n`, or to a position in a TCP stream. So the same seed and the same traffic
give the same faults, however the bytes were divided when they arrived.
"""

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

from services.wire.record import Action, Kind, Stream

MS, US = 1e-3, 1e-6  # seconds
PIECE = 128  # bytes that a piece counts for beside its data: there are empty datagrams
Due = tuple[float, "Piece"]  # when a piece is due, in seconds of the caller's clock
Draws = Callable[[int], float]
Attributes = Mapping[str, float]


@dataclass(slots=True)
class Piece:
    """A piece of a TCP stream or a datagram, or an end of the connection, on its way.

    `offset`, `arrived` and `actions` are those of a Record. What is `dropped` still travels: the
    end of its way is the journal.
    """

    kind: Kind
    offset: int
    data: bytes
    arrived: float
    actions: tuple[Action, ...] = ()
    dropped: bool = False

    @property
    def end(self) -> int:
        """Where in a TCP stream the next piece starts."""
        return self.offset + len(self.data)

    @property
    def size(self) -> int:
        """How many bytes it counts for where it waits."""
        return PIECE + len(self.data)

    def split(self, positions: Iterable[int]) -> Iterator["Piece"]:
        """Yield the parts of a piece, cut where in the stream `positions` say, in rising order."""
        start = self.offset
        for position in positions:
            if start < position < self.end:
                yield self._part(start, position)
                start = position
        yield self._part(start, self.end)

    def _part(self, start: int, end: int) -> "Piece":
        data = self.data[start - self.offset : end - self.offset]
        return replace(self, offset=start, data=data)


@dataclass(eq=False)
class Toxic:
    """A toxic of a proxy, as the API has it. Without a `seed` of its own it has the proxy's."""

    name: str
    type: str
    stream: Stream
    toxicity: float
    attributes: dict[str, float]
    seed: int | None = None
    first: int = field(default=0, compare=False)  # connections that the proxy had before


def draws(seed: int, *names: object) -> Draws:
    """Return a sequence of numbers from 0 up to 1, without 1: uniform, and the same each time.

    It is a function of the index rather than a generator with a state: which numbers have been
    asked for before makes no difference.
    """
    start = hashlib.blake2b(repr((seed, *names)).encode(), digest_size=8)

    def draw(index: int) -> float:
        state = start.copy()
        state.update(b"%d" % index)
        return (int.from_bytes(state.digest(), "big") >> 11) / 2**53  # the bits that a float has

    return draw


class Effect:
    """What a toxic does to one stream of one connection.

    `attributes` are those of its type with their defaults: an int is a whole number from 0 up, and
    a float a share from 0 to 1. `timer` is when `expired` is to be called, and `size` counts the
    bytes of what it holds back.
    """

    attributes: ClassVar[Attributes] = {}
    timer = math.inf
    size = 0

    def __init__(self, toxic: Toxic, seed: int, draw: Draws) -> None:
        self.toxic = toxic
        self.seed = seed
        self.draw = draw

    def __getitem__(self, attribute: str) -> float:
        """Return the value of an attribute, which may have changed since the last time."""
        return self.toxic.attributes[attribute]

    def begin(self, now: float) -> None:
        """Start, or start anew as an attribute has changed."""

    def receive(self, piece: Piece, now: float) -> Iterable[Due]:
        """Return what is to become of a piece, and when."""
        return [(now, piece)]

    def expired(self, now: float) -> Iterable[Due]:  # noqa: ARG002
        """Return what is to happen now that `timer` has passed."""
        return ()

    def release(self) -> Iterable[Piece]:
        """Return the pieces that it holds back, as it will not do so any more."""
        return ()

    def end(self) -> Iterable[Piece]:
        """Return what has to follow as the toxic is removed."""
        return ()

    def acted(
        self, piece: Piece, what: str, draw: float | None = None, *, dropped: bool = False
    ) -> Piece:
        """Return a piece with what was done to it."""
        action = Action(self.toxic.name, self.toxic.type, self.seed, draw, what)
        return replace(piece, actions=(*piece.actions, action), dropped=piece.dropped or dropped)
