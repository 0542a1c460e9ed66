"""The time-sequence diagram of a conversation: what is drawn, before it is drawn.

The client is on the left and the server on the right; time goes down. `ladder` draws it for the
terminal and `svg` for a page. In both, a row is a moment: an arrow leaves, or one arrives that has
taken long. So delayed arrows are slanted, and those that overtake one another cross.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from services.wire.conversation import Conversation
from services.wire.event import RECEIVERS, SENDERS, Event
from services.wire.record import Action
from services.wire.visible import counted, cut, line

MAX_ARROWS = 100
MAX_TEXT = 200  # columns of a text
MAX_NOTES = 3  # about one arrow
SLOW = 0.002  # seconds from which on an arrow is slanted
PAUSE = 0.1  # seconds without any event that are shown as a pause
CROSS = "×"  # noqa: RUF001 - it is meant

Style = Literal["data", "control", "duplicate"]


@dataclass(frozen=True, slots=True, eq=False)
class Arrow:
    """From one side to the other; `label` and `notes` are visible text of at most MAX_TEXT."""

    to_server: bool
    label: str
    remark: str  # in few words, what it is to the arrows before it
    notes: tuple[str, ...]  # what was done to it
    style: Style
    lost: bool
    slow: bool  # whether it arrives in a row of its own


@dataclass(frozen=True, slots=True)
class Row:
    """A moment: in milliseconds from the start; None for what has no time.

    Either an arrow leaves (and arrives, if it is not slow), or a slow one arrives, or there is
    `text`: what the relay does; or, without a time, for how long nothing happens, or how much is
    left out.
    """

    time: float | None
    leaves: Arrow | None = None
    arrives: Arrow | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Diagram:
    """All that is drawn; every text is visible and bounded."""

    name: str
    title: str
    between: str  # who speaks with whom
    legs: str  # which connections are shown
    rows: tuple[Row, ...]
    ending: str
    legend: tuple[tuple[str, str], ...]  # of the symbols that are in it


def diagram(
    conversation: Conversation, most: int = MAX_ARROWS, since: int = 0,
    notes: Sequence[tuple[float, str]] = (),
) -> Diagram:  # fmt: skip
    """Return the diagram of a conversation, of at most `most` arrows: the first and the latest.

    With `since`, of what has come after so many events: the latest of it. `notes` are texts for
    rows of their own, each with its time, which is one as records have it.
    """
    events = conversation.events
    started = finite(min((each.departed for each in events), default=conversation.started))
    new = conversation.left_out + len(events) - since
    first, last = (
        halves(events, conversation.left_out, most)
        if not since
        else ((), events[max(0, len(events) - min(new, most)) :])
    )
    left_out = new - len(first) - len(last)
    rows = drawn(first, started)
    if left_out:
        rows.append(Row(None, text=f"… {counted(left_out, 'event')} left out …"))
    rows += drawn(last, started)
    for when, text in notes:
        time = 1000 * (finite(when) - started)
        at = next((at for at, row in enumerate(rows) if (row.time or 0) > time), len(rows))
        rows.insert(at, Row(time, text=line(text, MAX_TEXT)))
    rows = with_pauses(rows)
    pieces = conversation.proxy, str(conversation.connection), conversation.protocol.upper()
    proxy, number, protocol = (line(each, 40) for each in pieces)
    client, server = line(conversation.client, 60), line(conversation.server, 60)
    return Diagram(
        name=f"{proxy}-{number}",
        title=f"{proxy}, connection {number} ({protocol}), {clock(started)}"
        + (", continued" if since else ""),
        between=f"client {client} ↔ relay ↔ server {server}",
        legs=LEGS[conversation.protocol],
        rows=tuple(rows),
        ending=conversation.ending,
        legend=tuple(legend(rows)),
    )


LEGS = {
    "tcp": (
        "Two connections, client to relay and relay to server, drawn as one: an arrow starts when"
        " the relay receives, and ends when it has passed on."
    ),
    "udp": (
        "An arrow starts when the relay receives a datagram, and ends when it has passed it on."
    ),
}


def halves(
    events: Sequence[Event], left_out: int, most: int
) -> tuple[Sequence[Event], Sequence[Event]]:
    """Return the events to draw before and after what is left out; all before, if nothing is."""
    if not left_out and len(events) <= most:
        return events, ()
    half = min(most, len(events)) // 2
    return events[:half], events[len(events) - half :]


def drawn(events: Sequence[Event], started: float) -> list[Row]:
    """Return the rows of some events, in the order of time."""
    moments: list[tuple[float, int, Row]] = []
    overtaken = {"upstream": math.inf, "downstream": math.inf}  # when a later one has arrived
    for number, event in reversed(list(enumerate(events))):
        departed = finite(event.departed)
        arrived = departed if event.arrived is None else finite(event.arrived)
        late = arrived - departed >= SLOW or arrived > overtaken[event.stream]
        time = 1000 * (departed - started)
        if event.kind in ("gap", "close"):
            text = ": ".join((event.summary, *notes_of(event)))
            moments.append((time, number, Row(time, text=line(text, MAX_TEXT))))
            continue
        arrow = arrow_of(event, slow=late and event.arrived is not None)
        overtaken[event.stream] = min(overtaken[event.stream], arrived)
        moments.append((time, number, Row(time, leaves=arrow)))
        if arrow.slow:
            time = max(time, 1000 * (arrived - started))
            moments.append((time, number, Row(time, arrives=arrow)))
    moments.sort(key=lambda each: (each[0], each[1], bool(each[2].arrives)))
    return [row for _, _, row in moments]


def with_pauses(rows: Sequence[Row]) -> list[Row]:
    """Return rows, with one for each pause between them."""
    found: list[Row] = []
    before = None
    for row in rows:
        if before is not None and row.time is not None and row.time - before >= 1000 * PAUSE:
            found.append(Row(None, text=f"{row.time - before:,.0f} ms"))
        found.append(row)
        before = row.time
    return found


def arrow_of(event: Event, slow: bool) -> Arrow:
    """Return the arrow of an event."""
    label = event.summary
    if event.pieces > 1:
        label += f" (in {event.pieces:,} pieces)"
    lost = event.arrived is None
    notes = notes_of(event)
    if lost and not notes:
        refused = event.kind == "refused"
        notes = ["refused: the relay could not reach the server" if refused else "not passed on"]
    return Arrow(
        to_server=event.stream == "upstream",
        label=line(label, MAX_TEXT),
        remark=line(event.note, MAX_TEXT),
        notes=tuple(line(note, MAX_TEXT) for note in notes),
        style="duplicate" if event.duplicate else "data" if event.kind == "message" else "control",
        lost=lost,
        slow=slow,
    )


def notes_of(event: Event) -> list[str]:
    """Return what toxics did, the first of them if there are many."""
    notes = [note_of(action) for action in event.actions]
    if len(notes) > MAX_NOTES:
        notes[MAX_NOTES - 1 :] = [f"… and {len(notes) - MAX_NOTES + 1} more"]
    return notes


def note_of(action: Action) -> str:
    """Return what a toxic did, and by which draw."""
    drawn_by = "" if action.draw is None else f" (draw {action.draw:.3f}, seed {action.seed})"
    return f"{action.toxic}: {action.what}{drawn_by}"


def description(shown: Diagram) -> str:
    """Return a diagram as sentences, for those who do not see it."""
    sentences = [shown.between + "."]
    for row in shown.rows:
        if arrow := row.leaves:
            side = "upstream" if arrow.to_server else "downstream"
            fate = "is lost" if arrow.lost else f"to the {RECEIVERS[side]}"
            sentences.append(f"{number(row.time)} ms: {SENDERS[side]} {fate}: {arrow.label}.")
        elif not row.arrives:
            sentences.append(f"{row.text}.")
    return " ".join([*sentences, shown.ending])


def legend(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Return what the less usual symbols of these rows mean."""
    arrows = [row.leaves for row in rows if row.leaves]
    found = []
    if any(arrow.lost for arrow in arrows):
        found.append((CROSS, "not passed on"))
    if any(arrow.style == "duplicate" for arrow in arrows):
        found.append(("═", "a duplicate"))
    if any(arrow.style == "control" for arrow in arrows):
        found.append(("╌", "no data"))
    if any(row.time is None for row in rows):
        found.append(("┊", "a pause, or what is left out"))
    return found


def number(milliseconds: float | None) -> str:
    """Return a time as it stands beside a row, in at most 8 columns."""
    if milliseconds is None:
        return ""
    if milliseconds < 100_000:
        return f"{milliseconds:.1f}"
    return cut(f"{milliseconds / 1000:.0f} s", 8)


def finite(time: float) -> float:
    """Return a time that can be reckoned with; records may come from a file that anybody wrote."""
    return max(0.0, min(float(time), 1e11)) if time == time else 0.0


def clock(time: float) -> str:
    """Return the time of day in UTC."""
    try:
        return f"{datetime.fromtimestamp(time, UTC):%H:%M:%S.%f}"[:-3] + " UTC"
    except (OverflowError, ValueError, OSError):
        return "at an unknown time"
