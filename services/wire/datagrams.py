"""Datagrams: which reply answers which request, and what was asked again, is late or came twice.

The IDs tell: those of udp-time. The events have to be in the order in which they were sent, which
is not that of the journal: there a datagram stands where it left the relay, and one that was
delayed behind those that have overtaken it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from services.wire import text
from services.wire.event import MAX_ACTIONS, Event
from services.wire.record import Record
from services.wire.stream import bytes_of


@dataclass(slots=True)
class Asked:
    """A request of a UDP client, by its ID."""

    at: float
    replies: int = 0


def event(record: Record, service: str) -> Event:
    """Return the event of a datagram."""
    if service != "udp-time":
        shown = bytes_of(record.data)
        said = text.Datagram("", shown.summary, shown.details)
    else:
        said = (text.request if record.stream == "upstream" else text.reply)(record.data)
    size = len(record.data)
    return Event(
        "message", record.stream, said.summary, record.arrived, record.left, said.details,
        actions=record.actions[:MAX_ACTIONS], size=size, lost=size if record.left is None else 0,
        name=said.name, offset=record.offset,
    )  # fmt: skip


def paired(events: Iterable[Event], complete: bool) -> Iterator[Event]:
    """Yield events, in the order in which they were sent, with notes on what they are.

    Unless they are `complete`, a reply may well answer a request that is not among them.
    """
    names = Names()
    seen = set()
    for each in events:
        key = each.stream, each.offset
        if each.kind != "message":
            yield each
        elif key in seen:
            yield replace(each, duplicate=True, note="the same datagram once more")
        elif each.stream == "upstream":
            yield replace(each, note=names.request(each))
        else:
            note = names.reply(each)
            yield replace(each, note=note if complete or note != UNKNOWN else "")
        seen.add(key)


UNKNOWN = "answers no request that was seen"


class Names:
    """The requests of a client, by their IDs."""

    def __init__(self) -> None:
        self._asked: dict[str, Asked] = {}
        self._latest = ""

    def request(self, event: Event) -> str:
        """Note a request; return what it is to those before it, "" if that is nothing."""
        name, now = event.name, event.departed
        before, self._latest = self._latest, name
        if not name:
            return ""
        if asked := self._asked.get(name):
            return f"the same ID again, after {milliseconds(now - asked.at)}"
        self._asked[name] = Asked(now)
        # Our client gives each attempt an ID of its own: PREFIX-1, PREFIX-2.
        prefix = before.rpartition("-")[0]
        same = prefix and prefix == name.rpartition("-")[0]
        if same and (asked := self._asked.get(before)) and not asked.replies:
            return f"no reply to the one before, after {milliseconds(now - asked.at)}"
        return ""

    def reply(self, event: Event) -> str:
        """Note a reply, and return which request it answers."""
        if not event.name:
            return ""
        if not (asked := self._asked.get(event.name)):
            return UNKNOWN
        after = milliseconds(event.departed - asked.at)
        if event.arrived is None:
            return f"after {after}"
        asked.replies += 1
        if asked.replies > 1:
            return f"duplicate: reply {asked.replies} to this ID, after {after}"
        if event.name != self._latest:
            return f"late, after {after}: the next request was sent before"
        return f"after {after}"


def milliseconds(seconds: float) -> str:
    """Return a time as people write it: 0.6 ms, 250 ms."""
    value = 1000 * seconds
    return f"{value:,.1f} ms" if abs(value) < 10 else f"{value:,.0f} ms"
