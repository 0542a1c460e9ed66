"""Lines of a width, also in Chinese, where there are no spaces and characters take two columns."""

from rich.cells import cell_len
from rich.text import Text

NOT_FIRST = "，。、；：？！）》」』】’”…,.;:?!)]}%"  # noqa: RUF001 - of Chinese too
NOT_LAST = "（《「『【‘“([{"  # noqa: RUF001 - of Chinese too


def wrap(text: Text, width: int) -> list[Text]:
    """Cut a text into lines of at most `width` columns, where the language allows it."""
    lines = []
    for paragraph in text.split("\n", allow_blank=True):
        for line in paragraph.divide(breaks(paragraph.plain, width)):
            line.rstrip()
            lines.append(line)
    return lines


def breaks(plain: str, width: int) -> list[int]:
    """Return where the lines begin, but for the first."""
    found: list[int] = []
    start, possible, size = 0, 0, 0
    for at, character in enumerate(plain):
        if at > start and may_break(plain, at):
            possible = at
        size += cell_len(character)
        if size > width and character != " ":
            start = possible if possible > start else at
            found.append(start)
            size = cell_len(plain[start : at + 1])
    return found


def may_break(plain: str, at: int) -> bool:
    """Whether a line may begin here."""
    before, after = plain[at - 1], plain[at]
    if after == " ":
        return False
    if before == " ":
        return True
    wide = cell_len(before) == 2 or cell_len(after) == 2
    return wide and after not in NOT_FIRST and before not in NOT_LAST
