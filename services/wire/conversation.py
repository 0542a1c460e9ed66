"""Conversations: the records of each connection of each proxy, decoded and put in order.

    records -> streams -> messages -> events of a conversation

What has to be known of a message is what it says, when it was sent and when it arrived, in how many
pieces, and what was done to them. The times are the relay's.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator

from services.wire import connection, datagrams, http, text
from services.wire.event import RECEIVERS, SENDERS, Event, departure, simple
from services.wire.pieces import Way
from services.wire.record import Record
from services.wire.record import Stream as Direction
from services.wire.stream import Stream

MAX_EVENTS = 500  # of a conversation: the first half of them, and the latest
MAX_CONVERSATIONS = 1000
MAX_SIZE = 32 * 1024 * 1024  # characters of all conversations, and bytes that they buffer
ENDS = ("refused", "reset")  # with which a connection may also begin
SERVICES = ("tcp-echo", "udp-time", "rest", "kv", "object-echo", "rpc", "httpbin")


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
        self._ends: list[Event] = []  # at most one of each kind and direction
        self._directions = directions(self.service)

    @property
    def events(self) -> list[Event]:
        """What has happened, and what has arrived of messages that are not complete yet.

        Where `left_out` is not 0, they are missing after the first MAX_EVENTS / 2.
        """
        found = sorted(self._first, key=departure) + sorted(self._last, key=departure)
        if self.protocol == "udp":
            return list(datagrams.paired(found, complete=not self.left_out))
        return found + [each for way in self._directions.values() for each in way.incomplete()]

    @property
    def count(self) -> int:
        """How many events are complete, those that are left out too."""
        return len(self._first) + self.left_out + len(self._last)

    @property
    def size(self) -> int:
        """How much is kept of it: characters, and bytes that are buffered."""
        return self._size + sum(way.buffered for way in self._directions.values())

    @property
    def ending(self) -> str:
        """How it ended, as a sentence."""
        if self.protocol == "udp":
            return "UDP has no connection that would end."
        ends = sorted(self._ends, key=departure)
        cut = next((each for each in ends if each.kind != "fin"), None)
        fins = [each for each in ends if each.kind == "fin"]
        first = f"The {SENDERS[fins[0].stream]} closed first (FIN)" if fins else ""
        if cut:
            who = "relay" if cut.actions or cut.kind == "close" else SENDERS[cut.stream]
            last = {
                "refused": "The connection was refused: the relay could not reach the server.",
                "reset": f"The {who} reset the connection (RST).",
                "close": "The relay closed the connection.",
            }[cut.kind]
            return f"{first}. {last}" if first else last
        if len(fins) > 1:
            return f"{first}, then the {SENDERS[fins[1].stream]}."
        if fins:
            way = fins[0].stream
            return f"The {SENDERS[way]} has sent its FIN, the {RECEIVERS[way]} has not."
        return "Closed." if self.closed else "Still open."

    def add(self, record: Record) -> None:
        """Add the next record of this connection."""
        self.latest = max(self.latest, record.arrived, record.left or 0)
        if self.protocol == "udp":
            self._add_of_udp(record)
            return
        way = self._directions[record.stream]
        match record.kind:
            case "data":
                self._note(*way.receive(record))
            case "open":
                self._note(simple("connect", record, "connects"))
            case "refused":
                self._end(simple("refused", record, "connects"))
            case "fin":
                self._note(*way.end())
                self._end(simple("fin", record, "FIN: nothing more to send"))
            case "reset":
                self._flush()
                self._end(simple("reset", record, "RST: the connection is reset"))
            case "close":
                self._flush()
                if record.actions:
                    self._end(simple("close", record, "the relay closes"))
        self.closed = self.closed or record.kind in ("refused", "reset", "close")

    def _add_of_udp(self, record: Record) -> None:
        if record.kind == "data":
            self._note(datagrams.event(record, self.service))
        elif record.kind == "refused":
            self._note(simple("refused", record, "the server cannot be reached"))
        self.closed = record.kind == "close"

    def _end(self, event: Event) -> None:
        self._note(event)
        if all((each.kind, each.stream) != (event.kind, event.stream) for each in self._ends):
            self._ends.append(event)

    def _flush(self) -> None:
        for way in self._directions.values():
            self._note(*way.end())

    def _note(self, *events: Event) -> None:
        for event in events:
            self._size += event.weight
            if len(self._first) < MAX_EVENTS // 2:
                self._first.append(event)
                continue
            self._last.append(event)
            if len(self._last) > MAX_EVENTS // 2:
                self._size -= self._last.popleft().weight
                self.left_out += 1


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
        # A relay that was restarted counts from 1 again.
        if found is None or record.kind == "open" or (found.closed and record.kind in ENDS):
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
