"""Bytes and values as text that is safe to show: bounded, measured, and without control characters.

What passes on the wire is written by whoever sends it. Shown as it is, an escape sequence could
repaint a terminal, a right-to-left mark could swap two words, and a long or wide line could break a
diagram. So what would not be seen is shown as a symbol or as its number, and what does not fit is
cut, with `…` for what is missing.
"""

import codecs
import unicodedata
from collections.abc import Iterator
from typing import Any

UTF8 = codecs.getincrementaldecoder("utf-8")
MAX_DEPTH = 8  # of containers within containers
ITEM = 120  # characters of a text or number in a value
# Variation selectors: they change how wide the character before them is.
SELECTORS = {chr(code) for code in range(0xFE00, 0xFE10)}
SHOWN = set("LMNPS")  # the general categories of what is seen (Unicode 15, 4.5), and no others
# A Hangul letter that joins those before it, and fillers, which look like nothing.
JOINED = {chr(code) for code in (*range(0x115F, 0x1200), 0x3164, 0xFFA0, 0x2800)}


def visible(text: str) -> str:
    r"""Return `text` with each character seen: ESC as ␛, a line feed as ␊, U+202E as \u202e."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(symbol, unicodedata.normalize("NFC", text)))


def symbol(character: str) -> str:
    """Return a character as it is if it is seen; otherwise what stands for it."""
    code = ord(character)
    if code < 0x20 or code == 0x7F:
        return chr(0x2421 if code == 0x7F else 0x2400 + code)  # the block "Control Pictures"
    category = unicodedata.category(character)
    hidden = character in SELECTORS or character in JOINED or 0xE0100 <= code < 0xE01F0
    if character == " " or (category[0] in SHOWN and not hidden):
        return character
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def width(text: str) -> int:
    """Return how many columns of a terminal `text` takes (Unicode Annex 11: wide ones take two)."""
    return len(text) if text.isascii() else sum(map(columns, text))


def columns(character: str) -> int:
    """Return how many columns one character takes: 0 for a mark on the one before it."""
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, most: int) -> str:
    """Return `text` in at most `most` columns, with `…` at the end if something is missing."""
    if len(text) <= most and text.isascii():
        return text
    taken = room = 0
    for at, character in enumerate(text):
        taken += columns(character)
        if taken <= most - 1 and at < 4 * most:
            room = at + 1
        elif taken > most or at >= 4 * most:  # so many marks that the width does not bound them
            return f"{text[:room]}…" if most > 0 else ""
    return text


def pad(text: str, size: int) -> str:
    """Return `text` in exactly `size` columns."""
    text = cut(text, size)
    return text + " " * (size - width(text))


def line(text: str, most: int) -> str:
    """Return the beginning of `text` as one visible line; only as much is read as can be shown."""
    return cut(visible(text[: 4 * most + 1]), most)


def text_of(data: bytes) -> str | None:
    """Return bytes as text if that is what they are: UTF-8, and hardly any control characters."""
    try:
        text = UTF8().decode(data)  # without the end, where that was cut within a character
    except UnicodeDecodeError:
        return None
    if data and not text:
        return None
    controls = sum(character < " " and character not in "\t\r\n" for character in text)
    return text if 10 * controls <= len(text) else None


def quoted(data: bytes, most: int) -> str:
    """Return bytes on one line: as text in quotes, or else in hexadecimal.

    After a text that ends within a character come the bytes of that one.
    """
    start = data[: 4 * most + 4]
    text = text_of(start)
    if text is None:
        return cut(data[:most].hex(" "), most)
    half = start[len(text.encode()) :] if start == data else b""
    rest = f" {half.hex(' ')}" if half else ""
    shown = line(text, max(0, most - 2 - len(rest)))
    return cut((f"'{shown}'" if "'" not in shown else f'"{shown}"') + rest, most)


def lines(text: str, most: int, size: int) -> list[str]:
    """Return the first `most` lines of `text`, of `size` columns; a last one says what is left."""
    found = text[: most * size * 4].split("\n", most)
    rest = found.pop() if len(found) > most else ""
    shown = [line(each.removesuffix("\r"), size) for each in found]
    left = len(rest) + max(0, len(text) - most * size * 4)
    return [*shown, f"… {counted(left, 'more character')}"] if left else shown


def counted(number: int, what: str) -> str:
    """Return a number and what is counted: `1 byte`, `2,000 bytes`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def brief(value: Any, most: int) -> str:
    """Return a plain value on one line, as Python writes it, in at most `most` columns.

    `repr` would take as long as the value is large, and a value that holds another one twice, and
    that one another twice, is as large as two to the power of its depth.
    """
    taken, size = [], 0
    for piece in pieces(value, MAX_DEPTH):
        taken.append(piece)
        size += len(piece)
        if size > 4 * most:
            break
    return line("".join(taken), most)


def pieces(value: Any, depth: int) -> Iterator[str]:
    """Yield the text of a value piece by piece, each of them short, and none of them empty."""
    kind = type(value)
    if kind is str or kind is bytes or kind is bytearray:
        start = repr(bytes(value[:ITEM]) if kind is bytearray else value[:ITEM])
        yield start if len(value) <= ITEM else f"{start}…"
    elif kind is int and value.bit_length() > 4 * ITEM:
        yield f"<an integer of {value.bit_length():,} bits>"
    elif kind in BRACKETS or isinstance(value, dict):
        start, end = BRACKETS.get(kind, ("{", "}"))
        if kind in (set, frozenset) and not value:
            start, end = "set(", ")"
        yield start
        yield from items(value, depth) if depth else "…"
        yield ",)" if kind is tuple and len(value) == 1 else end
    else:
        yield repr(value)


BRACKETS: dict[type, tuple[str, str]] = {
    list: ("[", "]"),
    tuple: ("(", ")"),
    set: ("{", "}"),
    frozenset: ("{", "}"),
}


def items(value: Any, depth: int) -> Iterator[str]:
    """Yield the items of a container, with their keys if it is a dict."""
    keyed = isinstance(value, dict)
    for number, item in enumerate(value.items() if keyed else value):
        if number:
            yield ", "
        if keyed:
            yield from pieces(item[0], depth - 1)
            yield ": "
        yield from pieces(item[1] if keyed else item, depth - 1)


def hexdump(data: bytes, most: int) -> list[str]:
    """Return the first bytes in hexadecimal and in ASCII, 16 on each of at most `most` lines."""
    shown = [
        f"{at:04x}  {data[at : at + 16].hex(' '):<47}  "
        + "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in data[at : at + 16])
        for at in range(0, min(len(data), 16 * most), 16)
    ]
    left = len(data) - 16 * most
    return [*shown, f"… {counted(left, 'more byte')}"] if left > 0 else shown
