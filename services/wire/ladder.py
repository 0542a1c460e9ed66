"""A time-sequence diagram as text: a ladder of box-drawing characters, for the terminal.

Lines are kept as the directions that they leave a cell in, so where two of them meet, the right
crossing comes out of adding them up: ─ and │ make ┼.
"""

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, field

from services.wire.diagram import CROSS, Arrow, Diagram, Row, number
from services.wire.visible import columns, cut, pad, width

MIN_COLUMNS = 60
MARGIN = 10  # columns of the time
UP, DOWN, LEFT, RIGHT, DOUBLE, DASHED, BROKEN = 1, 2, 4, 8, 16, 32, 64
LINES = {
    0: " ", LEFT | RIGHT: "─", UP | DOWN: "│", UP: "╵", DOWN: "╷", LEFT: "╴", RIGHT: "╶",
    DOWN | RIGHT: "╭", DOWN | LEFT: "╮", UP | RIGHT: "╰", UP | LEFT: "╯",
    UP | DOWN | RIGHT: "├", UP | DOWN | LEFT: "┤", LEFT | RIGHT | DOWN: "┬",
    LEFT | RIGHT | UP: "┴", UP | DOWN | LEFT | RIGHT: "┼",
}  # fmt: skip
DOUBLES = {
    LEFT | RIGHT: "═", DOWN | RIGHT: "╒", DOWN | LEFT: "╕", UP | RIGHT: "╘", UP | LEFT: "╛",
    UP | DOWN | RIGHT: "╞", UP | DOWN | LEFT: "╡", UP | DOWN | LEFT | RIGHT: "╪",
}  # fmt: skip


@dataclass(slots=True)
class Line:
    """One line of the ladder: what is drawn between the lanes, and the text over it."""

    time: str
    size: int  # columns between the lanes
    cells: list[int] = field(init=False)
    texts: dict[int, str] = field(default_factory=dict)  # a character, by its column
    left: int = UP | DOWN  # the lanes
    right: int = UP | DOWN
    busy: bool = False  # whether a line goes all the way across, or a part of another arrow

    def __post_init__(self) -> None:
        self.cells = [0] * self.size

    def write(self, at: int, text: str) -> None:
        """Put text over what is drawn, from a column on."""
        for character in text:
            taken = columns(character)
            if not taken:  # a mark on the character before it
                before = max((each for each in self.texts if each < at), default=None)
                if before is not None:
                    self.texts[before] += character
                continue
            self.texts[at] = character
            if taken == 2:
                self.texts[at + 1] = ""
            at += taken

    def __str__(self) -> str:
        drawn = (self.texts.get(at, symbol(cell)) for at, cell in enumerate(self.cells))
        text = f"{symbol(self.left)}{''.join(drawn)}{symbol(self.right)}"
        return f"{self.time:>{MARGIN - 2}}  {text}"


def ladder(diagram: Diagram, size: int = 80) -> str:
    """Return the ladder, in `size` columns; without control characters but the line ends."""
    size = max(size, MIN_COLUMNS)
    lanes = size - MARGIN - 2
    lines: list[Line] = []
    ways: list[tuple[Arrow, int, int]] = []  # a slow arrow, and the lines where it leaves, arrives
    leaving: dict[Arrow, int] = {}
    for row in diagram.rows:
        lines.append(Line(number(row.time), lanes))
        if row.leaves:
            leaving[row.leaves] = len(lines) - 1
            lines += leaves(lines[-1], row.leaves)
        elif row.arrives:
            lines[-1].busy = True
            ways.append((row.arrives, leaving[row.arrives], len(lines) - 1))
        else:
            between(lines[-1], row)
    for arrow, start, end in ways:
        route(arrow, lines[start : end + 1])
    blank = " " * MARGIN
    return "\n".join(
        [
            cut(diagram.title, size),
            *wrapped(diagram.between, size),
            *wrapped(diagram.legs, size),
            "",
            f"{'ms':>{MARGIN - 2}}  client{'server':>{lanes - 4}}",
            str(Line("", lanes)),
            *map(str, lines),
            f"{blank}╵{' ' * lanes}╵",
            *wrapped(diagram.ending, size),
            *wrapped("   ".join(map(" ".join, diagram.legend)), size),
        ]
    )


def leaves(line: Line, arrow: Arrow) -> list[Line]:
    """Draw an arrow in the line where it leaves; return the lines that its notes take below it."""
    label, notes = arrow.label, list(arrow.notes)
    room = line.size - (9 if arrow.slow or arrow.lost else 5)
    if arrow.remark:
        if width(label) + width(arrow.remark) + 3 <= room:
            label = f"{label} ({arrow.remark})"
        else:
            notes.insert(0, arrow.remark)
    label = cut(label, room)
    line.busy = True
    style = DOUBLE if arrow.style == "duplicate" else DASHED if arrow.style == "control" else 0
    if arrow.to_server:
        line.left |= RIGHT | style
    else:
        line.right |= LEFT | style
    end = line.size
    if arrow.lost:
        end = max(line.size // 2, width(label) + 6)
        place(line, arrow, end, CROSS)
        if notes and width(notes[0]) <= line.size - end - 4:
            place(line, arrow, end + 2, notes.pop(0))
    if not arrow.slow:
        horizontal(line, arrow, 0, end - 1, style)
        if not arrow.lost:
            place(line, arrow, line.size - 1, "▶" if arrow.to_server else "◀")
    place(line, arrow, 1, f" {label} ")
    below = []
    for note in notes:
        below.append(Line("", line.size))
        place(below[-1], arrow, 3, cut(note, room))
    return below


def place(line: Line, arrow: Arrow, distance: int, text: str) -> None:
    """Write text at a distance from the side that sends an arrow."""
    at = distance if arrow.to_server else line.size - distance - width(text)
    line.write(at, text)


def horizontal(line: Line, arrow: Arrow, first: int, last: int, style: int) -> None:
    """Draw from one distance from the sender to another."""
    for distance in range(first, last + 1):
        line.cells[at(line, arrow, distance)] |= LEFT | RIGHT | style


def at(line: Line, arrow: Arrow, distance: int) -> int:
    """Return the column at a distance from the side that sends an arrow."""
    return distance if arrow.to_server else line.size - 1 - distance


def route(arrow: Arrow, lines: list[Line]) -> None:
    """Draw a slow arrow down through the lines from where it leaves to where it arrives.

    In a line that another arrow crosses it goes straight down; in the others, a step to the side.
    """
    style = DOUBLE if arrow.style == "duplicate" else DASHED if arrow.style == "control" else 0
    ahead, behind = (RIGHT, LEFT) if arrow.to_server else (LEFT, RIGHT)
    size = lines[0].size
    groups: list[list[int]] = []  # of lines after which it goes down in the same column
    for index in range(len(lines) - 1):
        if index and lines[index].busy:
            groups[-1].append(index)
        else:
            groups.append([index])
    taken = [at(lines[0], arrow, each) for each in lines[0].texts]  # the label
    before = position = min(max(taken, default=0) + 1, size - 4)
    begin = position
    for count, group in enumerate(groups, 1):
        ideal = begin + (size - 3 - begin) * count // (len(groups) + 1)
        touched = [lines[each] for each in (*group, group[-1] + 1)]
        position = free(arrow, touched, before, ideal)
        first = lines[group[0]]
        if count == 1:
            horizontal(first, arrow, 0, position - 1, style)
            first.cells[at(first, arrow, position)] |= behind | DOWN | style
        elif position > before:
            first.busy = True
            first.cells[at(first, arrow, before)] |= UP | ahead | style
            horizontal(first, arrow, before + 1, position - 1, style)
            first.cells[at(first, arrow, position)] |= behind | DOWN | style
        else:
            first.cells[at(first, arrow, position)] |= UP | DOWN
        for index in group[1:]:
            lines[index].cells[at(lines[index], arrow, position)] |= UP | DOWN
        before = position
    last = lines[-1]
    last.cells[at(last, arrow, position)] |= UP | ahead | style
    horizontal(last, arrow, position + 1, size - 2, style)
    place(last, arrow, size - 1, "▶" if arrow.to_server else "◀")


def free(arrow: Arrow, lines: list[Line], least: int, ideal: int) -> int:
    """Return the distance next to `ideal`, and `least` or more, where all lines are free."""

    def is_free(distance: int) -> bool:
        column = at(lines[0], arrow, distance)
        return not any(
            beside in line.texts or line.cells[column] & (UP | DOWN)
            for line in lines
            for beside in (column - 1, column, column + 1)
        )

    candidates = range(least, lines[0].size - 2)
    return min(filter(is_free, candidates), key=lambda each: abs(each - ideal), default=least)


def between(line: Line, row: Row) -> None:
    """Draw a row without an arrow."""
    if row.time is None:
        line.left |= BROKEN
        line.right |= BROKEN
    text = cut(f" {row.text} ", line.size - 2)
    line.write((line.size - width(text)) // 2, text)


def symbol(cell: int) -> str:
    """Return the character of a cell."""
    if cell & BROKEN:
        return "┊"
    directions = cell & (UP | DOWN | LEFT | RIGHT)
    if cell & DOUBLE:
        return DOUBLES.get(directions, LINES[directions])
    if cell & DASHED and directions == LEFT | RIGHT:
        return "╌"
    return LINES[directions]


def wrapped(text: str, size: int) -> Iterable[str]:
    """Return text in lines of at most `size` columns."""
    return [pad(each, size).rstrip() for each in textwrap.wrap(text, size)]
