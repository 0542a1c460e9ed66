"""An event: what a diagram draws as one arrow, such as a message or the end of a stream."""

from dataclasses import dataclass
from typing import Literal

from services.wire.record import Action, Record, Stream

MAX_ACTIONS = 10  # of an event
SENDERS = {"upstream": "client", "downstream": "server"}
RECEIVERS = {"upstream": "server", "downstream": "client"}

Kind = Literal[
    "connect", "refused", "message", "fin", "reset",
    "close",  # by the relay: no arrow
    "gap",  # bytes that were not recorded: no arrow
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Event:
    """What has happened. Times in seconds since the epoch, sizes in bytes.

    `departed` is when the relay received its first byte, `arrived` when the relay passed on the
    last, or None if it did not: then the whole event was lost.
    """

    kind: Kind
    stream: Stream
    summary: str
    departed: float
    arrived: float | None
    details: tuple[str, ...] = ()
    note: str = ""  # what it is to the events before it: a late reply, the same request again
    actions: tuple[Action, ...] = ()
    size: int = 0
    lost: int = 0  # of `size`: what was not passed on
    pieces: int = 1
    name: str = ""  # of a datagram of udp-time: its ID
    offset: int = 0  # of a datagram: its number
    duplicate: bool = False

    @property
    def weight(self) -> int:
        """How much is kept of it: characters, and some for the rest."""
        return 500 + len(self.summary) + sum(map(len, self.details))


def simple(kind: Kind, record: Record, summary: str) -> Event:
    """Return an event that carries no data."""
    actions = record.actions[:MAX_ACTIONS]
    return Event(kind, record.stream, summary, record.arrived, record.left, actions=actions)


def departure(event: Event) -> float:
    """Return when an event began."""
    return event.departed
