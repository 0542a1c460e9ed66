"""One time line of a register: who leads, how long each call takes, and what the register holds.

As text for the terminal, and as SVG; time goes to the right. In a conversation time goes down, and
`diagram` draws that.
"""

import math
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.wire.svg import document, written
from services.wire.visible import cut, line, pad, width

LABEL = 12  # columns of the text: the name of a row
LEVELS = "▁▂▃▄▅▆▇█"
MIN_TICK = 8  # columns from one second to the next
NOBODY = "—"
LEFT, RIGHT = 130, 930  # pixels, of the 960 that a picture is wide
HEIGHT = 80  # pixels of the bars of the calls
BAND = 30  # pixels of a row
MIN_BAR = 2.0  # pixels


@dataclass(frozen=True, slots=True)
class Call:
    """A call: when it began, how long it took, and the new value; "" if it was not done."""

    began: float
    seconds: float
    value: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """What is drawn. Times are in seconds from the beginning.

    `leaders` says since when each one leads; "" is for nobody. `rows` names the three rows, and
    `legend` says what they mean.
    """

    title: str
    seconds: float
    leaders: Sequence[tuple[float, str]]
    calls: Sequence[Call]
    rows: tuple[str, str, str]
    legend: str

    @property
    def longest(self) -> float:
        """The seconds of the call that took longest."""
        return max((each.seconds for each in self.calls), default=0.0)


def text(shown: Timeline, size: int = 80) -> str:
    """Return it in lines of `size` columns."""
    cells = size - LABEL
    leader, latency, register = (pad(each, LABEL - 1) + " " for each in shown.rows)
    return "\n".join(
        each.rstrip()
        for each in (
            cut(shown.title, size),
            "",
            pad("s", LABEL) + scale(shown, cells),
            leader + leading(shown, cells),
            latency + bars(shown, cells),
            register + values(shown, cells),
            "",
            cut(shown.legend, size),
        )
    )


def scale(shown: Timeline, cells: int) -> str:
    """Return the seconds, each where it is."""
    step = math.ceil(MIN_TICK * shown.seconds / cells)
    found = [" "] * cells
    for second in range(0, math.ceil(shown.seconds), step):
        write(found, round(cells * second / shown.seconds), f"{second}")
    return "".join(found)


def leading(shown: Timeline, cells: int) -> str:
    """Return who leads: a line for each, with its name."""
    found = [" "] * cells
    for began, ended, name in spans(shown):
        first, last = place(shown, began, cells), place(shown, ended, cells)
        for at in range(first, last):
            found[at] = "━" if name else "·"
        if last - first > width(name or NOBODY) + 2:
            write(found, first + 1, f" {name or NOBODY} ")
    return "".join(found)


def bars(shown: Timeline, cells: int) -> str:
    """Return for each moment how long the call took that was under way."""
    found = [0.0] * cells
    for call in shown.calls:
        ended = place(shown, call.began + call.seconds, cells)
        for at in range(place(shown, call.began, cells), min(ended, cells - 1) + 1):
            found[at] = max(found[at], call.seconds)
    return "".join(level(each, shown.longest) for each in found)


def level(seconds: float, longest: float) -> str:
    """Return the bar for so many seconds."""
    if not seconds:
        return " "
    return LEVELS[min(len(LEVELS) - 1, math.ceil(len(LEVELS) * seconds / longest) - 1)]


def values(shown: Timeline, cells: int) -> str:
    """Return the values of the register, each where it is new, as far as there is room."""
    found = ["─"] * cells
    free = 0
    for moment, value in held(shown):
        at = place(shown, moment, cells)
        if free <= at <= cells - width(value):
            write(found, at, value)
            free = at + width(value) + 1
    return "".join(found)


def held(shown: Timeline) -> Iterator[tuple[float, str]]:
    """Yield the values of the register, with the moments from which on they are known."""
    for call in shown.calls:
        if call.value:
            yield call.began + call.seconds, line(call.value, 12)


def spans(shown: Timeline) -> Iterator[tuple[float, float, str]]:
    """Yield from when to when somebody leads, or nobody."""
    ends = [began for began, _ in shown.leaders[1:]]
    for (began, name), ended in zip(shown.leaders, [*ends, shown.seconds], strict=True):
        yield began, ended, line(name, 20)


def place(shown: Timeline, moment: float, cells: int) -> int:
    """Return the cell of a moment."""
    return max(0, min(cells, int(cells * moment / shown.seconds)))


def write(cells: list[str], at: int, said: str) -> None:
    """Put characters of one column each over what is there, as far as there are cells."""
    for number, character in enumerate(said[: max(0, len(cells) - at)]):
        cells[at + number] = character


def svg(shown: Timeline) -> str:
    """Return the picture as a document that has its styles within."""
    root = document("timeline", shown.title, description(shown))
    put(root, 20, 28, shown.title, "title")
    y = ticks(root, shown, 62)
    y = leader_row(root, shown, y + BAND)
    y = latency_row(root, shown, y + BAND)
    y = register_row(root, shown, y + BAND) + BAND
    put(root, 20, y, shown.legend, "soft")
    return written(root, y + BAND)


def x(shown: Timeline, moment: float) -> float:
    """Return where a moment is."""
    return LEFT + (RIGHT - LEFT) * max(0.0, min(1.0, moment / shown.seconds))


def put(
    root: ET.Element, at: float, y: float, said: str, kind: str = "", anchor: str = "start"
) -> None:
    """Write a text."""
    where = {"x": f"{at:.1f}", "y": f"{y:g}", "class": kind, "text-anchor": anchor}
    ET.SubElement(root, "text", where).text = said


def straight(root: ET.Element, ends: tuple[float, float, float, float], kind: str) -> None:
    """Draw a line from x, y to x, y."""
    names = dict(zip(("x1", "y1", "x2", "y2"), (f"{each:.1f}" for each in ends), strict=True))
    ET.SubElement(root, "line", {**names, "class": kind, "stroke": "black"})


def ticks(root: ET.Element, shown: Timeline, y: float) -> float:
    """Draw the seconds; return where that ends."""
    put(root, 20, y, "s", "time")
    for second in range(math.ceil(shown.seconds)):
        put(root, x(shown, second), y, f"{second}", "time", "middle")
        straight(root, (x(shown, second), y + 6, x(shown, second), y + 12), "lane")
    straight(root, (LEFT, y + 12, RIGHT, y + 12), "lane")
    return y + 12


def leader_row(root: ET.Element, shown: Timeline, y: float) -> float:
    """Draw who leads; return where that ends."""
    put(root, 20, y, shown.rows[0], "side")
    for began, ended, name in spans(shown):
        first, last = x(shown, began), x(shown, ended)
        straight(root, (first, y + 6, last - 2, y + 6), "down" if name else "up lost control")
        put(root, (first + last) / 2, y, name or NOBODY, "" if name else "fault", "middle")
    return y + 6


def latency_row(root: ET.Element, shown: Timeline, y: float) -> float:
    """Draw a bar for each call, as wide as it took and as high; return where that ends."""
    base = y + HEIGHT
    put(root, 20, y + HEIGHT / 2, shown.rows[1], "side")
    put(root, LEFT - 8, y + 10, f"{1000 * shown.longest:,.0f} ms", "time", "end")
    put(root, LEFT - 8, base, "0", "time", "end")
    for call in shown.calls:
        first, last = x(shown, call.began), x(shown, call.began + call.seconds)
        high = max(MIN_BAR, HEIGHT * call.seconds / (shown.longest or 1))
        bar = {
            "x": f"{first:.1f}",
            "y": f"{base - high:.1f}",
            "width": f"{max(MIN_BAR, last - first):.1f}",
            "height": f"{high:.1f}",
            "class": "head up" if call.value else "cross",
        }
        ET.SubElement(root, "rect", bar)
    straight(root, (LEFT, base, RIGHT, base), "lane")
    return base


def register_row(root: ET.Element, shown: Timeline, y: float) -> float:
    """Write the values of the register, as far as there is room; return where that ends."""
    put(root, 20, y, shown.rows[2], "side")
    straight(root, (LEFT, y + 8, RIGHT, y + 8), "lane")
    free = 0.0
    for moment, value in held(shown):
        at = x(shown, moment)
        if at >= free:
            put(root, at, y, value)
            straight(root, (at, y + 5, at, y + 11), "lane")
            free = at + 8 * (width(value) + 1)
    return y + 8


def description(shown: Timeline) -> str:
    """Return it as sentences, for those who do not see it."""
    said = [
        f"From {began:.1f} s to {ended:.1f} s {name or 'nobody'} leads."
        for began, ended, name in spans(shown)
    ]
    done = [each for each in shown.calls if each.value]
    said.append(
        f"{len(shown.calls)} calls, {len(done)} of them done; the longest took"
        f" {1000 * shown.longest:.0f} ms."
    )
    return " ".join(said)
