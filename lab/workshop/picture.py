"""The picture of what a check recorded: as text, and as SVG."""

import importlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

from lab.workshop.client import Recording
from lab.workshop.language import say

MAX_ARROWS = 12
MAX_BAR = 48  # columns
LEFT = "The client closed (FIN). What the server did then, it has not seen."


def modules() -> tuple[Any, ...] | None:
    """Return what draws, or None where it is not installed."""
    try:
        return tuple(
            importlib.import_module(f"services.wire.{name}")
            for name in ("conversation", "diagram", "ladder", "svg", "timeline")
        )
    except ImportError:
        return None


def picture(
    recordings: Sequence[Recording], spoken: str, columns: int, save: Path | None = None
) -> str:
    """Return the ladder of the connection with notes, or else of the last; "" if there is none.

    With `save`, its SVG is written there.
    """
    found = [each for each in recordings if each.records]
    noted = [each for each in found if each.notes]
    if not found or not (drawing := modules()):
        return ""
    *_, ladder, svg, timelines = drawing
    recording = (noted or found)[-1]
    title = say(f"picture_by_{recording.by}", spoken, number=recording.number)
    if recording.by == "timeline":
        shown = timeline(recording, timelines, title, spoken)
        drawn, saved = timelines.text(shown, columns), timelines.svg(shown)
    else:
        draw = rate if recording.by == "rate" else conversation
        shown = replace(draw(recording, drawing), title=title, legs="")
        drawn, saved = ladder.ladder(shown, columns), svg.svg(shown)
    if save:
        save.parent.mkdir(parents=True, exist_ok=True)
        save.write_text(saved, encoding="utf-8")
    return "\n".join([drawn, *("" for _ in recording.lines[:1]), *recording.lines])


def conversation(recording: Recording, drawing: tuple[Any, ...]) -> Any:
    """Return the diagram of one connection, with the notes at their times."""
    conversations, diagram, *_ = drawing
    (told,) = conversations.conversations(recording.records)
    shown = diagram.diagram(told, MAX_ARROWS, notes=recording.notes)
    ended = {each.stream for each in recording.records if each.kind in ("fin", "reset")}
    ending = LEFT if recording.left and "downstream" not in ended else shown.ending
    return replace(shown, between=f"{told.client} ↔ {told.server}", ending=ending)


def rate(recording: Recording, drawing: tuple[Any, ...]) -> Any:
    """Return a diagram of how many of the records there are about each moment."""
    _, diagram, *_ = drawing
    began = recording.records[0].arrived
    counts = Counter(round((each.arrived - began) / recording.step) for each in recording.records)
    scale = min(1.0, MAX_BAR / 2 / max(counts.values()))
    rows = [
        diagram.Row(1000 * at * recording.step, text=f"{bar(counts[at], scale):{MAX_BAR + 4}}")
        for at in range(max(counts) + 1)
    ]
    return diagram.Diagram(
        name=f"{recording.service}-rate",
        title="",
        between=f"Σ {len(recording.records)}",
        legs="",
        rows=tuple(rows),
        ending="",
        legend=(),
    )


def bar(count: int, scale: float) -> str:
    """Return a bar with its number, or nothing for 0."""
    return f"{'█' * max(1, round(2 * scale * count))} {count}" if count else "·"


def timeline(recording: Recording, timelines: Any, title: str, spoken: str) -> Any:
    """Return the time line of a register: its records are writes and what came of each, in turn.

    The last word of a write is the value, and `ok` says that it was done.
    """
    began = recording.notes[0][0]
    asked = [each for each in recording.records if each.stream == "upstream"]
    said = [each for each in recording.records if each.stream == "downstream"]
    ended = max(each.arrived for each in recording.records)
    calls = [
        timelines.Call(
            before.arrived - began,
            (after.arrived if after else ended) - before.arrived,
            before.data.split()[-1].decode() if after and after.data == b"ok" else "",
        )
        for before, after in zip_longest(asked, said)
    ]
    longest = max(each.seconds for each in calls)
    return timelines.Timeline(
        title,
        ended - began,
        [(when - began, name) for when, name in recording.notes if when <= ended],
        calls,
        tuple(say(f"row_{name}", spoken) for name in ("leader", "latency", "register")),
        say("timeline_legend", spoken, milliseconds=1000 * longest),
    )
