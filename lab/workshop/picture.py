"""The picture of a conversation, from what a check's client recorded: a ladder, and an SVG."""

import importlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lab.workshop.client import Recording
from lab.workshop.language import say

MAX_ARROWS = 12


def modules() -> tuple[Any, ...] | None:
    """Return what draws, or None where it is not installed."""
    try:
        return tuple(
            importlib.import_module(f"services.wire.{name}")
            for name in ("conversation", "diagram", "ladder", "svg")
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
    conversation, diagram, ladder, svg = drawing
    recording = (noted or found)[-1]
    (told,) = conversation.conversations(recording.records)
    shown = diagram.diagram(told, MAX_ARROWS)
    began = recording.records[0].arrived
    rows = list(shown.rows)
    for when, text in recording.notes:
        time = 1000 * (when - began)
        at = next((at for at, row in enumerate(rows) if (row.time or 0) > time), len(rows))
        rows.insert(at, diagram.Row(time, text=text))
    shown = replace(
        shown,
        title=say(f"picture_by_{recording.by}", spoken, number=recording.number),
        between=f"{told.client} ↔ {told.server}",
        legs="",
        rows=tuple(rows),
    )
    if save:
        save.parent.mkdir(parents=True, exist_ok=True)
        save.write_text(svg.svg(shown), encoding="utf-8")
    drawn: str = ladder.ladder(shown, columns)
    return drawn
