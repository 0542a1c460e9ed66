"""Conversations: the records of each connection of each proxy, decoded and put in order.

    records -> streams -> messages -> events of a conversation

An event is what a diagram draws as one arrow: a message, from its first byte to its last, whatever
pieces it came in; a connection that is opened, ended or reset. Its times are the relay's: when it
received the first byte from the sender, and when it passed the last one on to the receiver.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from services.wire import connection, http, text
from services.wire.record import Action, Record
from services.wire.record import Stream as Direction
from services.wire.stream import Message, Stream, bytes_of
from services.wire.visible import counted

MAX_EVENTS = 500  # of a conversation: the first half of them, and the latest
MAX_CONVERSATIONS = 1000
MAX_SIZE = 32 * 1024 * 1024  # characters of all conversations, and bytes that they buffer
MAX_ACTIONS = 10  # of an event
MAX_REQUESTS = 1000  # of a UDP client, of which the replies are recognised
SERVICES = ("tcp-echo", "udp-time", "rest", "kv", "object-echo", "rpc", "httpbin")

Kind = Literal["connect", "refused", "message", "fin", "reset", "gap"]


@dataclass(frozen=True, slots=True)
class Event:
    """One arrow. Times in seconds since the epoch, sizes in bytes.

    `departed` is when the relay received its first byte, `arrived` when the relay passed on the
    last, or None if it did not: then the whole event was lost.
    """

    kind: Kind
    stream: Direction
    summary: str
    departed: float
    arrived: float | None
    details: tuple[str, ...] = ()
    note: str = ""  # what it is to the events before it: a late reply, the same request again
    actions: tuple[Action, ...] = ()
    size: int = 0
    lost: int = 0  # of `size`: what was not passed on
    pieces: int = 1
    duplicate: bool = False


@dataclass(slots=True)
class Asked:
    """A request of a UDP client, by its ID."""

    at: float
    times: int = 1
    replies: int = 0


class Conversation:
    """One connection of a proxy: who spoke with whom, what was said, and how it ended."""

    def __init__(self, first: Record) -> None:
        self.proxy, self.connection, self.protocol = first.proxy, first.connection, first.protocol
        self.service = service_of(first.proxy)
        self.client, self.server = first.client, first.server
        self.started = self.latest = first.arrived
        self.closed = False
        self.left_out = 0  # events in the middle
        self._size = 0
        self._first: list[Event] = []
        self._last: deque[Event] = deque()
        self._ends: list[tuple[Direction, str]] = []
        self._directions = directions(self.service)
        self._names = Names()
        self._offsets: dict[tuple[Direction, int], None] = {}

    @property
    def events(self) -> list[Event]:
        """What has happened, and what has arrived of messages that are not complete yet.

        Where `left_out` is not 0, they are missing after the first MAX_EVENTS / 2.
        """
        found = sorted(self._first, key=departure) + sorted(self._last, key=departure)
        return found + [each for way in self._directions.values() for each in way.incomplete()]

    @property
    def size(self) -> int:
        """How much is kept of it: characters, and bytes that are buffered."""
        return self._size + sum(way.buffered for way in self._directions.values())

    @property
    def ending(self) -> str:
        """How it ended, as a sentence."""
        if self.protocol == "udp":
            return "UDP has no connection that would end."
        if not self._ends:
            return "Closed." if self.closed else "Still open."
        (stream, how), *others = self._ends
        who, other = SENDERS[stream], RECEIVERS[stream]
        if how == "refused":
            return "Refused: the relay could not connect to the server."
        if how == "reset":
            return f"The {who} reset the connection (RST)."
        if any(each == (OTHER[stream], "fin") for each in others):
            return f"The {who} closed first (FIN), then the {other}."
        if reset := [SENDERS[each] for each, kind in others if kind == "reset"]:
            return f"The {who} closed first (FIN); then the {reset[0]} reset the connection (RST)."
        return f"The {who} has closed its direction (FIN), the {other} has not."

    def add(self, record: Record) -> None:
        """Add the next record of this connection."""
        self.latest = max(self.latest, record.arrived, record.left or 0)
        if record.kind == "data" and self.protocol == "udp":
            self._note(self._datagram(record))
            return
        way = self._directions[record.stream]
        if record.kind == "data":
            for event in way.receive(record):
                self._note(event)
        elif record.kind == "open":
            if self.protocol == "tcp":
                self._note(simple("connect", record, "connects"))
        elif record.kind == "refused":
            self._end("downstream", "refused")
            self._note(simple("refused", record, "connection refused"))
        elif record.kind == "fin":
            for event in way.end():
                self._note(event)
            self._end(record.stream, "fin")
            self._note(simple("fin", record, "FIN: nothing more to send"))
        elif record.kind == "reset":
            self._flush()
            self._end(record.stream, "reset")
            self._note(simple("reset", record, "RST: the connection is reset"))
        else:
            self._flush()
            self.closed = True

    def _end(self, stream: Direction, how: str) -> None:
        if (stream, how) not in self._ends:
            self._ends.append((stream, how))

    def _flush(self) -> None:
        for way in self._directions.values():
            for event in way.end():
                self._note(event)

    def _datagram(self, record: Record) -> Event:
        upstream = record.stream == "upstream"
        named = text.request(record.data) if upstream else text.reply(record.data)
        if self.service != "udp-time":
            named = named._replace(name="", summary=bytes_of(record.data).summary)
        key = record.stream, record.offset
        again = key in self._offsets
        self._offsets[key] = None
        if len(self._offsets) > MAX_REQUESTS:
            del self._offsets[next(iter(self._offsets))]
        note = ""
        if self.service == "udp-time":
            note = (
                "the same datagram once more" if again
                else self._names.request(named.name, record.arrived) if upstream
                else self._names.reply(named.name, record.arrived)
            )  # fmt: skip
        return Event(
            "message", record.stream, named.summary, record.arrived, record.left, named.details,
            note, record.actions[:MAX_ACTIONS], len(record.data),
            lost=len(record.data) if record.left is None else 0,
            duplicate=again or any(action.type == "duplicate" for action in record.actions),
        )  # fmt: skip

    def _note(self, event: Event) -> None:
        self._size += weight(event)
        if len(self._first) < MAX_EVENTS // 2:
            self._first.append(event)
            return
        self._last.append(event)
        if len(self._last) > MAX_EVENTS // 2:
            self._size -= weight(self._last.popleft())
            self.left_out += 1


def departure(event: Event) -> float:
    """Return when an event began."""
    return event.departed


def weight(event: Event) -> int:
    """Return how many characters an event has, and some for the event itself."""
    return 500 + len(event.summary) + sum(map(len, event.details))


SENDERS = {"upstream": "client", "downstream": "server"}
RECEIVERS = {"upstream": "server", "downstream": "client"}
OTHER: dict[str, Direction] = {"upstream": "downstream", "downstream": "upstream"}


class Names:
    """The IDs of a UDP client's requests: which reply answers which, and what was asked again."""

    def __init__(self) -> None:
        self._asked: OrderedDict[str, Asked] = OrderedDict()
        self._latest = ""

    def request(self, name: str, now: float) -> str:
        """Note a request; return what it is to those before it, "" if it is the first."""
        before, self._latest = self._latest, name
        if not name:
            return ""
        if asked := self._asked.get(name):
            asked.times += 1
            return f"the same ID again, after {milliseconds(now - asked.at)}"
        self._asked[name] = Asked(now)
        if len(self._asked) > MAX_REQUESTS:
            self._asked.popitem(last=False)
        # Our client gives each attempt an ID of its own: PREFIX-1, PREFIX-2.
        same = before.rpartition("-")[0] and before.rpartition("-")[0] == name.rpartition("-")[0]
        if same and (asked := self._asked.get(before)) and not asked.replies:
            return f"no reply to the one before, after {milliseconds(now - asked.at)}"
        return ""

    def reply(self, name: str, now: float) -> str:
        """Note a reply, and return which request it answers."""
        if not name:
            return ""
        if not (asked := self._asked.get(name)):
            return "answers no request that was seen"
        asked.replies += 1
        after = milliseconds(now - asked.at)
        if asked.replies > 1:
            return f"duplicate: reply {asked.replies} to this ID, after {after}"
        if name != self._latest:
            return f"late, after {after}: the next request was sent before"
        return f"after {after}"


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


class Conversations:
    """The latest conversations, by the records that come in; the oldest are forgotten."""

    def __init__(self, most: int = MAX_CONVERSATIONS) -> None:
        self._most = most
        self._size = 0
        self._found: OrderedDict[tuple[str, int], Conversation] = OrderedDict()

    def __iter__(self) -> Iterator[Conversation]:
        return iter(list(self._found.values()))

    def __len__(self) -> int:
        return len(self._found)

    def add(self, record: Record) -> Conversation:
        """Add a record, and return the conversation that it belongs to."""
        key = record.proxy, record.connection
        found = self._found.get(key)
        if found is None or (found.closed and record.kind == "open"):  # a relay that was restarted
            self._forget(key)
            found = self._found[key] = Conversation(record)
        self._size -= found.size
        found.add(record)
        self._size += found.size
        while len(self._found) > 1 and (len(self._found) > self._most or self._size > MAX_SIZE):
            self._forget(next(iter(self._found)))
        return found

    def _forget(self, key: tuple[str, int]) -> None:
        if found := self._found.pop(key, None):
            self._size -= found.size


def conversations(records: Iterable[Record], most: int = MAX_CONVERSATIONS) -> Conversations:
    """Return the conversations of some records, in the order in which they began."""
    found = Conversations(most)
    for record in records:
        found.add(record)
    return found


def service_of(proxy: str) -> str:
    """Return the service of a proxy: that of `rpc-threaded` is rpc; "" if none is known."""
    found = [each for each in SERVICES if proxy == each or proxy.startswith(f"{each}-")]
    return found[0] if found else ""


def directions(service: str) -> dict[Direction, Way]:
    """Return both directions of a connection, with the decoders of the service."""
    if service in ("rest", "kv", "httpbin"):
        up, down = http.pair()
    elif service in ("object-echo", "rpc"):
        up, down = connection.pair(service)
    else:
        up, down = (Stream(text.decode, text.begins) for _ in range(2))
    return {"upstream": Way("upstream", up), "downstream": Way("downstream", down)}


def simple(kind: Kind, record: Record, summary: str) -> Event:
    """Return an event that carries no data."""
    actions = record.actions[:MAX_ACTIONS]
    arrived = None if kind == "refused" else record.left
    return Event(kind, record.stream, summary, record.arrived, arrived, actions=actions)


def milliseconds(seconds: float) -> str:
    """Return a time as people write it: 0.6 ms, 250 ms."""
    value = 1000 * seconds
    return f"{value:,.1f} ms" if abs(value) < 10 else f"{value:,.0f} ms"
