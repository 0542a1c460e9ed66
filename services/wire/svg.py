"""A time-sequence diagram as SVG, for a page or as a file.

What was on the wire stands in text nodes, and nowhere else. There are no scripts, links, images or
fonts in it, and no ids but those of title and description, which a screen reader reads out. Colours
come from the classes in STYLE: a file has it within, a page may have it in its own stylesheet.
"""

import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence

from services.wire.diagram import CROSS, Arrow, Diagram, description, number
from services.wire.visible import cut, width

STYLE = """
.wire { --ink: #1b1f24; --soft: #59636e; --lane: #b7bec7; --paper: #ffffff; --up: #0a58ca;
  --down: #1a7f37; --fault: #c62828;
  max-width: 100%; height: auto;
  font: 13px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }
@media (prefers-color-scheme: dark) { .wire { --ink: #e6edf3; --soft: #9aa4af; --lane: #47505a;
  --paper: #0d1117; --up: #79b8ff; --down: #7ee787; --fault: #ff8b82; } }
.wire .paper { fill: var(--paper); }
.wire text { fill: var(--ink); white-space: pre; }
.wire .label { stroke: var(--paper); stroke-width: 6px; stroke-linejoin: round;
  paint-order: stroke; }
.wire .title, .wire .side { font-weight: 600; }
.wire .soft, .wire .time, .wire .remark { fill: var(--soft); }
.wire .fault, .wire .cross { fill: var(--fault); }
.wire .cross { font-size: 20px; font-weight: 600; }
.wire .lane { stroke: var(--lane); stroke-width: 2px; }
.wire .pause { stroke-dasharray: 2 5; }
.wire .up { stroke: var(--up); }
.wire .down { stroke: var(--down); }
.wire .up, .wire .down { fill: none; stroke-width: 1.8px; }
.wire .head.up { fill: var(--up); }
.wire .head.down { fill: var(--down); }
.wire .control { stroke-dasharray: 5 4; }
.wire .lost { stroke: var(--fault); }
"""
CELL = 7.83  # pixels that a column takes in the font above; wide characters take less than two
LEFT, RIGHT, SIZE = 110, 850, 960  # pixels: the lanes, and the width
COLUMNS = int((RIGHT - LEFT - 40) / CELL)  # of a text between the lanes
LINE = 19  # pixels from one line of text to the next
HEAD = 9  # pixels of an arrowhead
NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_-]")


class Drawing:
    """The elements of a picture, from top to bottom; `y` is where the next one is."""

    def __init__(self, root: ET.Element) -> None:
        self.lanes = ET.SubElement(root, "g", {"class": "lanes"})
        self.arrows = ET.SubElement(root, "g")
        self.texts = ET.SubElement(root, "g")  # over the arrows
        self.y: float = 0
        self._lane: float = 0

    def text(
        self, x: float, text: str, kind: str, anchor: str = "start", below: float = 0
    ) -> ET.Element:
        """Write a text whose base line is at `y`, or below it."""
        where = {"x": f"{x:g}", "y": f"{self.y + below:g}", "class": kind}
        if anchor != "start":
            where["text-anchor"] = anchor
        element = ET.SubElement(self.texts, "text", where)
        element.text = text
        return element

    def lanes_to(self, y: float, pause: bool = False) -> None:
        """Draw both lanes from where they end so far."""
        kind = "lane pause" if pause else "lane"
        for x in (LEFT, RIGHT):
            ends = {"x1": f"{x}", "y1": f"{self._lane:g}", "x2": f"{x}", "y2": f"{y:g}"}
            ET.SubElement(self.lanes, "line", {**ends, "class": kind, "stroke": "gray"})
        self._lane = y

    def begin_lanes(self) -> None:
        """Begin both lanes at `y`."""
        self._lane = self.y


def svg(shown: Diagram, standalone: bool = True) -> str:
    """Return the picture; with `standalone`, as a document that has its styles within."""
    name = NOT_IN_A_NAME.sub("-", shown.name)[:80]
    root = document(f"wire-{name}", shown.title, description(shown), standalone)
    drawing = Drawing(root)
    top(drawing, shown)
    rows(drawing, shown)
    bottom(drawing, shown)
    return written(root, drawing.y, standalone)


def document(name: str, title: str, said: str, standalone: bool = True) -> ET.Element:
    """Return the root of a picture, with its title and in sentences what it shows, on a paper."""
    root = ET.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "class": "wire",
            "role": "img",
            "aria-labelledby": f"{name}-title {name}-desc",
            "font-family": "monospace",
            "font-size": "13",
        },
    )
    ET.SubElement(root, "title", {"id": f"{name}-title"}).text = title
    ET.SubElement(root, "desc", {"id": f"{name}-desc"}).text = said
    if standalone:
        ET.SubElement(root, "style").text = STYLE
    ET.SubElement(root, "rect", {"class": "paper", "fill": "white"})
    return root


def written(root: ET.Element, y: float, standalone: bool = True) -> str:
    """Return a picture that ends at `y` as text."""
    height = f"{math.ceil(y)}"
    root.attrib |= {"viewBox": f"0 0 {SIZE} {height}", "width": f"{SIZE}", "height": height}
    if (paper := root.find("rect")) is not None:
        paper.attrib |= {"width": f"{SIZE}", "height": height}
    declaration = '<?xml version="1.0" encoding="UTF-8"?>\n' if standalone else ""
    return declaration + ET.tostring(root, encoding="unicode") + "\n"


def top(drawing: Drawing, shown: Diagram) -> None:
    """Draw what stands above the lanes."""
    drawing.y = 28
    drawing.text(20, shown.title, "title")
    for text in (shown.between, *halved(shown.legs)):
        drawing.y += LINE
        drawing.text(20, cut(text, int((SIZE - 40) / CELL)), "soft")
    drawing.y += 2 * LINE
    drawing.text(LEFT - 40, "ms", "time", "end")
    drawing.text(LEFT, "client", "side", "middle")
    drawing.text(RIGHT, "server", "side", "middle")
    drawing.y += 8
    drawing.begin_lanes()


def rows(drawing: Drawing, shown: Diagram) -> None:
    """Draw the arrows, and what is between them."""
    leaving: dict[Arrow, float] = {}
    for row in shown.rows:
        if row.leaves:
            texts = labels(row.leaves)
            for text in texts:
                drawing.y += LINE
                label(drawing, row.leaves, text)
            drawing.y += 10
            leaving[row.leaves] = drawing.y
            if not row.leaves.slow:
                draw(drawing, row.leaves, drawing.y)
        elif row.arrives:
            drawing.y += 2 * LINE
            draw(drawing, row.arrives, leaving[row.arrives])
        else:
            drawing.lanes_to(drawing.y + 12)
            drawing.y += LINE + 14
            drawing.text((LEFT + RIGHT) / 2, cut(row.text, COLUMNS), "label soft", "middle")
            drawing.lanes_to(drawing.y + 8, pause=row.time is None)
        if row.time is not None:
            below = 0 if row.text else 4  # a line of text is in the middle of its height
            drawing.text(LEFT - 16, number(row.time), "time", "end", below)
        if row.text:
            drawing.y += 4
    drawing.lanes_to(drawing.y + LINE)
    drawing.y += LINE


def bottom(drawing: Drawing, shown: Diagram) -> None:
    """Draw what stands below the lanes."""
    for text in (shown.ending, "   ".join(map(" ".join, shown.legend))):
        if text:
            drawing.y += LINE + 4
            drawing.text(20, text, "soft")
    drawing.y += LINE


Part = tuple[str, str]  # a text, and its class


def labels(arrow: Arrow) -> list[list[Part]]:
    """Return the lines of text above an arrow, each of parts; they are cut to fit."""
    lines: list[list[Part]] = [[(cut(arrow.label, COLUMNS), "")]]
    room = COLUMNS - width(lines[0][0][0])
    for text, kind in ((arrow.remark, "remark"), *((note, "fault") for note in arrow.notes)):
        if not text:
            continue
        if width(text) + 3 <= room:
            lines[-1].append((text, kind))
            room -= width(text) + 3
        else:
            lines.append([(cut(text, COLUMNS), kind)])
            room = COLUMNS - width(lines[-1][0][0])
    return lines


def label(drawing: Drawing, arrow: Arrow, parts: Sequence[Part]) -> None:
    """Write a line of text on the side that sends the arrow."""
    x, anchor = (LEFT + 12, "start") if arrow.to_server else (RIGHT - 12, "end")
    element = drawing.text(x, parts[0][0], f"label {parts[0][1]}".strip(), anchor)
    for text, kind in parts[1:]:
        ET.SubElement(element, "tspan", {"class": kind, "dx": f"{2 * CELL:g}"}).text = text


def draw(drawing: Drawing, arrow: Arrow, start: float) -> None:
    """Draw an arrow that has left at the height `start`, and arrives where the drawing is."""
    way = "up" if arrow.to_server else "down"
    kind = f"{way} {arrow.style}{' lost' if arrow.lost else ''}"
    from_x, to_x = (LEFT, RIGHT) if arrow.to_server else (RIGHT, LEFT)
    if arrow.lost:
        to_x = (LEFT + RIGHT) // 2
    angle = math.atan2(drawing.y - start, to_x - from_x)
    ahead, aside = math.cos(angle), math.sin(angle)
    end = to_x - 2 * ahead, drawing.y - 2 * aside  # not into the lane
    if arrow.lost:
        drawing.text(to_x + 4 * ahead, CROSS, "cross", "middle", 4)
    offsets = (-2.5, 2.5) if arrow.style == "duplicate" else (0.0,)
    for offset in offsets:
        x, y = -aside * offset, ahead * offset
        back = 0 if arrow.lost else HEAD - 2
        ends = {
            "x1": f"{from_x + x:.1f}",
            "y1": f"{start + y:.1f}",
            "x2": f"{end[0] - back * ahead + x:.1f}",
            "y2": f"{end[1] - back * aside + y:.1f}",
        }
        ET.SubElement(drawing.arrows, "line", {**ends, "class": kind, "stroke": "black"})
    if not arrow.lost:
        corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in head(end, ahead, aside))
        ET.SubElement(drawing.arrows, "polygon", {"points": corners, "class": f"head {way}"})


def head(end: tuple[float, float], ahead: float, aside: float) -> Iterator[tuple[float, float]]:
    """Yield the corners of an arrowhead that points to `end`."""
    yield end
    for half in (-HEAD / 2, HEAD / 2):
        yield end[0] - HEAD * ahead - half * aside, end[1] - HEAD * aside + half * ahead


def halved(text: str) -> list[str]:
    """Return a sentence in two lines, if it is too long for one."""
    if width(text) * CELL < SIZE - 40:
        return [text]
    middle = text.rfind(" ", 0, len(text) * 2 // 3)
    return [text[:middle], text[middle + 1 :]]
