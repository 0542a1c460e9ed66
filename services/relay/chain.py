"""The toxics of one stream of one connection, one after the other, and what waits in each.

A protocol without I/O: `receive` what has arrived, take `ready` what is due by now, and come again
at the `deadline`. In a stage, a toxic gives each piece the time at which it is due, and the next
stage receives it as of that time, so delays add up exactly, whenever the caller comes.
"""

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from heapq import heappop, heappush

from services.relay.toxics import Effect, Piece, Toxic


class Stage:
    """A toxic's effect, and the pieces that wait for their time.

    In a TCP stream they stay in order, whatever their delays are.
    """

    def __init__(self, effect: Effect, chance: float, *, ordered: bool, now: float) -> None:
        self.effect = effect
        self.chance = chance  # the draw for the toxicity
        self.ordered = ordered
        self.count = 0
        self._size = 0  # bytes that wait in `waiting`
        self.last = 0.0
        self.waiting: list[tuple[float, int, Piece]] = []
        self.begun = self.acts
        if self.begun:
            effect.begin(now)

    @property
    def acts(self) -> bool:
        """Whether the toxic acts on this connection."""
        return self.chance < self.effect.toxic.toxicity

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return self._size + self.effect.size

    @property
    def deadline(self) -> float:
        """When a piece is due, or the effect's timer."""
        return min(self.waiting[0][0] if self.waiting else math.inf, self.effect.timer)

    def receive(self, piece: Piece, now: float) -> None:
        """Let the toxic act; what was dropped before just passes through."""
        untouched = piece.dropped or not self.acts
        self.keep([(now, piece)] if untouched else self.effect.receive(piece, now))

    def keep(self, pieces: Iterable[tuple[float, Piece]]) -> None:
        """Let pieces wait until they are due."""
        for due, piece in pieces:
            if self.ordered:
                self.last = due = max(due, self.last)  # noqa: PLW2901
            self.count += 1
            self._size += piece.size
            heappush(self.waiting, (due, self.count, piece))

    def take(self, now: float) -> tuple[float, Piece] | None:
        """Return the next piece that is due, with its time, or None."""
        if self.effect.timer <= now:
            self.keep(self.effect.expired(self.effect.timer))
        if not self.waiting or self.waiting[0][0] > now:
            return None
        due, _, piece = heappop(self.waiting)
        self._size -= piece.size
        return due, piece

    def empty(self) -> list[Piece]:
        """Return all that waits, in the order in which it arrived here, and keep nothing."""
        pieces = [piece for _, _, piece in sorted(self.waiting, key=lambda each: each[1])]
        self.waiting, self._size, self.last = [], 0, 0.0
        return [*pieces, *self.effect.release()]

    def release(self) -> list[Piece]:
        """Return all that waits, to go on at once."""
        return [self.released(piece) for piece in self.empty()]

    def released(self, piece: Piece) -> Piece:
        """Return a piece whose action says that it did not last as long as it was meant to."""
        name = self.effect.toxic.name
        actions = (
            replace(action, what=f"{action.what}, but released") if action.toxic == name else action
            for action in piece.actions
        )
        return piece if piece.dropped else replace(piece, actions=tuple(actions))


class Chain:
    """The stages of a stream."""

    def __init__(self, *, ordered: bool) -> None:
        self.ordered = ordered
        self.stages: list[Stage] = []
        self._ready: deque[Piece] = deque()

    @property
    def size(self) -> int:
        """Bytes that wait in it."""
        ready = sum(piece.size for piece in self._ready)
        return ready + sum(stage.size for stage in self.stages)

    @property
    def deadline(self) -> float:
        """When `ready` has something next; infinity if that is not known."""
        return min((stage.deadline for stage in self.stages), default=math.inf)

    def add(self, effect: Effect, chance: float, now: float) -> None:
        """Add a toxic at the end."""
        self.stages.append(Stage(effect, chance, ordered=self.ordered, now=now))

    def change(self, toxic: Toxic, now: float) -> None:
        """Act on an attribute that has changed: what waits is released, as Toxiproxy does."""
        for number, stage in enumerate(self.stages):
            if stage.effect.toxic is toxic:
                self._push(number + 1, stage.release(), now)
                stage.effect.timer = math.inf
                if stage.acts:
                    stage.effect.begin(now)
                elif stage.begun:  # with another toxicity
                    self._push(number + 1, stage.effect.end(), now)
                stage.begun = stage.acts

    def remove(self, toxic: Toxic, now: float) -> None:
        """Remove a toxic; what waits in it goes on at once."""
        for number, stage in enumerate(self.stages):
            if stage.effect.toxic is toxic:
                self._push(number + 1, stage.release(), now)
                if stage.acts:
                    self._push(number + 1, stage.effect.end(), now)
                del self.stages[number]
                break

    def receive(self, piece: Piece, now: float) -> None:
        """Let a piece into the first stage."""
        self._push(0, [piece], now)

    def ready(self, now: float) -> deque[Piece]:
        """Return the pieces that have passed all stages, for the caller to take."""
        for number, stage in enumerate(self.stages):
            while taken := stage.take(now):
                due, piece = taken
                self._push(number + 1, [piece], due)
        return self._ready

    def abandon(self) -> list[Piece]:
        """Return all that has arrived and will not leave any more, and keep nothing."""
        left = [*self._ready, *(piece for stage in self.stages[::-1] for piece in stage.empty())]
        self.stages = []
        self._ready.clear()
        return left

    def _push(self, number: int, pieces: Iterable[Piece], now: float) -> None:
        if number < len(self.stages):
            for piece in pieces:
                self.stages[number].receive(piece, now)
        else:
            self._ready.extend(pieces)
