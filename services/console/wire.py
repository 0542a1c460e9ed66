"""The wire: the relay's journal as conversations, their bytes, and files for Wireshark.

What is kept is bounded, and so is what one look into the journal reads: who sends very much has
older conversations forgotten, and no page wait.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from threading import Lock
from weakref import WeakKeyDictionary, WeakValueDictionary

from markupsafe import Markup

from clients.addresses import RELAY, address
from clients.relay import Relay, RelayError
from services.console.events import Element
from services.console.rendering import render
from services.console.view import View
from services.wire import pcapng
from services.wire.conversation import Conversation, Conversations
from services.wire.diagram import diagram
from services.wire.ladder import ladder
from services.wire.record import Record
from services.wire.svg import svg
from services.wire.visible import hexdump, line

EVERY = 0.2  # seconds from one look into the journal to the next
CHECK_EVERY = 5.0  # seconds without a record after which the relay may have started again
PATIENCE = 5.0  # seconds that the relay may take
LATEST = 1000  # records that the first look goes back
MAX_READ = 2000  # records that one look reads
MAX_CONVERSATIONS = 500
MAX_PROXIES = 100  # whose messages are counted
SHOWN = 25  # conversations in the list
MAX_SUMMARY = 100  # columns
MAX_ARROWS = 60  # of a diagram
MAX_DUMPED = 16 * 1024  # bytes of a conversation that are shown
MAX_FILE = 4 * 1024 * 1024  # bytes of data in a file for Wireshark: the latest
MAX_RECORDS = 10_000  # in such a file
RATE_SECONDS = 5.0  # over which messages are counted
COLUMNS = 100  # of a ladder
HANDSHAKE = ("CHALLENGE:", "digest:", "WELCOME:")  # what says nothing of what is asked then
RECORDED = "wirelab_relay_journal_records_total"

Wanted = Callable[[Record], bool]


class NoRelay(Exception):
    """The relay cannot be asked, or refuses; the message says why."""


@contextmanager
def answering() -> Iterator[None]:
    """Raise NoRelay for whatever may go wrong with a request to the relay."""
    try:
        yield
    except (OSError, RelayError, ValueError, TypeError, KeyError) as error:
        raise NoRelay(line(f"{error or type(error).__name__}", MAX_SUMMARY)) from None


@dataclass(frozen=True)
class Row:
    """A conversation as the list has it; `faults` are the events to which a toxic did something."""

    proxy: str
    connection: int
    time: float
    summary: str
    events: int
    faults: int
    closed: bool


@dataclass(frozen=True)
class Picture:
    """A conversation as it is drawn: the same for the eye, and as text."""

    proxy: str
    connection: int
    title: str
    svg: Markup
    ladder: str


@dataclass(frozen=True)
class Piece:
    """What passed at once, in hexadecimal and ASCII."""

    stream: str
    offset: int
    size: int
    dropped: bool
    dump: str


class Wire:
    """What has passed through the relay lately."""

    every = EVERY

    def __init__(self) -> None:
        self.problem = ""
        self._relay = Relay(address(RELAY), PATIENCE)
        self._lock = Lock()  # the journal is read in another thread than pages are made in
        self._found = Conversations(MAX_CONVERSATIONS)
        self._known: WeakValueDictionary[tuple[str, int], Conversation] = WeakValueDictionary()
        self._firsts: WeakKeyDictionary[Conversation, int] = WeakKeyDictionary()
        self._active: WeakKeyDictionary[Conversation, float] = WeakKeyDictionary()
        self._rows: WeakKeyDictionary[Conversation, Row] = WeakKeyDictionary()
        self._next = 0  # the number of the record to read next; 0 before the first look
        self._checked = 0.0  # when it was known that it is of this journal
        self._version = 0
        self._messages: dict[str, int] = {}  # from clients, by their proxies
        self._counted: deque[tuple[float, dict[str, int]]] = deque()

    def poll(self) -> None:
        """Read what is new in the journal."""
        try:
            with answering():
                self._read()
            problem = ""
        except NoRelay as error:
            problem, self._checked = str(error), 0.0
        if problem != self.problem:
            self.problem = problem
            self._version += 1
        now = time.monotonic()
        self._counted.append((now, dict(self._messages)))
        while now - self._counted[0][0] > RATE_SECONDS + 2 * EVERY:
            self._counted.popleft()

    def _read(self) -> None:
        """Add records; what a relay that has started again has written begins with number 1."""
        self._next = self._next or max(1, self._recorded() - LATEST)
        now, before = time.monotonic(), self._next
        # Closed here, or a connection would stay open until the garbage is collected.
        with closing(self._relay.journal(self._next)) as journal:
            for record in islice(journal, MAX_READ):
                self._add(record)
        if self._next != before:
            self._checked = now
        elif now - self._checked > CHECK_EVERY:
            if (recorded := self._recorded()) + 1 < self._next:
                self._next = max(1, recorded - LATEST)
            self._checked = now

    def _recorded(self) -> int:
        return int(self._relay.metrics()[RECORDED])

    def _add(self, record: Record) -> None:
        key = record.proxy, record.connection
        with self._lock:
            before = self._known.get(key)
            count = before.count if before else 0
            found = self._found.add(record)
            if found is not before:
                self._known[key], self._firsts[found] = found, record.number
                count = 0
            self._rows.pop(found, None)
            if record.kind != "close":  # of UDP, it only comes when nothing else does
                self._active[found] = record.arrived
            if record.stream == "upstream" and record.kind == "data":
                self._count(record.proxy, found.count - count)
            self._next = record.number + 1
            self._version += 1

    def _count(self, proxy: str, messages: int) -> None:
        if proxy in self._messages or len(self._messages) < MAX_PROXIES:
            self._messages[proxy] = self._messages.get(proxy, 0) + messages

    def rate(self, proxy: str) -> float:
        """Return how many messages a second clients have sent through a proxy lately."""
        if len(self._counted) < 2:
            return 0.0
        (began, before), (ended, after) = self._counted[0], self._counted[-1]
        return (after.get(proxy, 0) - before.get(proxy, 0)) / max(ended - began, EVERY)

    def rows(self, service: str = "") -> list[Row]:
        """Return the latest conversations, of all services or of one, the newest first."""
        with self._lock:
            found = [each for each in self._found if service in ("", each.proxy, each.service)]
            found.sort(key=lambda each: self._active.get(each, each.started), reverse=True)
            return [self._row(each) for each in found[:SHOWN]]

    def _row(self, conversation: Conversation) -> Row:
        if row := self._rows.get(conversation):
            return row
        events = conversation.events
        messages = [each for each in events if each.kind == "message"]
        asked = (each for each in messages if each.stream == "upstream")
        telling = (each for each in asked if not each.summary.startswith(HANDSHAKE))
        first = next(telling, next(iter(messages), None))
        said = (first or events[0]).summary if events else ""
        row = self._rows[conversation] = Row(
            conversation.proxy,
            conversation.connection,
            conversation.started,
            line(said, MAX_SUMMARY),
            conversation.left_out + len(events),
            sum(bool(each.actions) for each in events),
            conversation.closed,
        )
        return row

    def picture(self, proxy: str, connection: int) -> Picture | None:
        """Return the picture of a conversation; None if it is not known, or not any more."""
        with self._lock:
            found = self._known.get((proxy, connection))
            return drawn(found) if found else None

    def dump(self, proxy: str, connection: int) -> tuple[list[Piece], int]:
        """Return the bytes of a conversation, and how many more there are; raises NoRelay."""
        pieces: list[Piece] = []
        room, more = MAX_DUMPED, 0
        for record in self._records(of(proxy, connection), self._first(proxy, connection)):
            if record.kind != "data":
                continue
            shown = record.data[:room]
            room -= len(shown)
            more += len(record.data) - len(shown)
            if shown or not record.data:
                dump = "\n".join(hexdump(shown, MAX_DUMPED))
                size, dropped = len(record.data), record.left is None
                pieces.append(Piece(record.stream, record.offset, size, dropped, dump))
        return pieces, more

    def file(self, wanted: Wanted, proxy: str = "", connection: int = 0) -> bytes:
        """Return the latest records that are wanted, for Wireshark; raises NoRelay."""
        kept: deque[Record] = deque()
        size = 0
        for record in self._records(wanted, self._first(proxy, connection)):
            kept.append(record)
            size += len(record.data)
            while size > MAX_FILE or len(kept) > MAX_RECORDS:
                size -= len(kept.popleft().data)
        return pcapng.encode(kept)

    def _first(self, proxy: str, connection: int) -> int:
        """Return the number of the record with which a conversation began; 0 for all of them."""
        found = self._known.get((proxy, connection))
        return self._firsts.get(found, 0) if found else 0

    def _records(self, wanted: Wanted, number: int) -> Iterator[Record]:
        with answering():
            yield from filter(wanted, self._relay.journal(number))

    def elements(self, view: View) -> Iterator[Element]:
        """Yield the list of conversations."""
        yield Element(
            "conversations",
            lambda: render("conversations", view, rows=self.rows(view.service), wire=self),
            (self._version, self.problem),
        )


def of(proxy: str, connection: int) -> Wanted:
    """Return whether a record is one of a conversation."""
    return lambda record: (record.proxy, record.connection) == (proxy, connection)


def drawn(conversation: Conversation, prefix: str = "") -> Picture:
    """Return the picture of a conversation; `prefix` is for the ids in it, to be unique."""
    found = diagram(conversation, MAX_ARROWS)
    return Picture(
        conversation.proxy,
        conversation.connection,
        found.title,
        # All texts in it are text nodes, escaped by ElementTree.
        Markup(svg(replace(found, name=prefix + found.name), standalone=False)),  # noqa: S704
        ladder(found, COLUMNS),
    )
