"""Pieces of a stream, put together again: records in, messages with their times and fates out."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.wire.event import MAX_ACTIONS, Event, simple
from services.wire.record import Action, Record
from services.wire.record import Stream as Direction
from services.wire.stream import Message, Stream
from services.wire.visible import counted


@dataclass(frozen=True, slots=True)
class Span:
    """Consecutive pieces of a stream, without their bytes; `end` is the position after them."""

    end: int
    departed: float
    arrived: float | None
    lost: int
    pieces: int
    actions: tuple[Action, ...]


def span(record: Record) -> Span:
    """Return the span of one record."""
    lost = 0 if record.left is not None else len(record.data)
    end = record.offset + len(record.data)
    return Span(end, record.arrived, record.left, lost, 1, record.actions[:MAX_ACTIONS])


def joined(spans: Sequence[Span]) -> Span:
    """Return several spans as one."""
    if len(spans) == 1:
        return spans[0]
    arrived = [each.arrived for each in spans if each.arrived is not None]
    actions = dict.fromkeys(action for each in spans for action in each.actions)
    return Span(
        spans[-1].end,
        spans[0].departed,
        max(arrived) if arrived else None,
        sum(each.lost for each in spans),
        sum(each.pieces for each in spans),
        tuple(actions)[:MAX_ACTIONS],
    )


class Way:
    """One direction of a TCP connection: records in, events out."""

    def __init__(self, direction: Direction, stream: Stream) -> None:
        self._direction, self._stream = direction, stream
        self._position = 0  # in the stream, of the first byte that is in no message yet
        self._received = 0  # in the stream, of the next byte
        self._spans: deque[Span] = deque()  # of what is in no message yet

    @property
    def buffered(self) -> int:
        """How many bytes are kept."""
        return self._stream.buffered

    def receive(self, record: Record) -> Iterator[Event]:
        """Add a piece of the stream."""
        missing = record.offset - self._received
        if missing:
            yield from map(self._event, self._stream.skip())
            if missing > 0:
                yield simple("gap", record, f"{counted(missing, 'byte')} not recorded")
            self._position = record.offset
            self._spans.clear()
        if not record.data:
            return
        if len(self._spans) > 1:  # all of them belong to the message that is incomplete
            self._spans = deque([joined(self._spans)])
        self._received = record.offset + len(record.data)
        self._spans.append(span(record))
        yield from map(self._event, self._stream.receive_data(record.data))

    def end(self) -> Iterator[Event]:
        """Yield what the end of the stream makes complete."""
        yield from map(self._event, self._stream.end())

    def incomplete(self) -> Iterator[Event]:
        """Yield the message that is incomplete so far, if there is one."""
        if message := self._stream.pending:
            yield self._made(message, joined(self._spans))

    def _event(self, message: Message) -> Event:
        end = self._position + message.size
        spans = []
        while self._spans:
            spans.append(self._spans[0])
            if spans[-1].end > end:  # it has the beginning of the next message too
                break
            self._spans.popleft()
        self._position = end
        return self._made(message, joined(spans))

    def _made(self, message: Message, pieces: Span) -> Event:
        lost = min(pieces.lost, message.size)
        return Event(
            "message", self._direction, message.summary, pieces.departed, pieces.arrived,
            message.details,
            f"{lost:,} of {counted(message.size, 'byte')} not passed on"
            if lost and pieces.arrived is not None else "",
            pieces.actions, message.size, lost, pieces.pieces,
        )  # fmt: skip
