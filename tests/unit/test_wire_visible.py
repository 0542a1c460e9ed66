"""Text that is safe to show: what is hidden becomes visible, and what is measured fits."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from services.wire.visible import brief, cut, hexdump, lines, pad, quoted, visible, width


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("plain", "plain", id="plain"),
        pytest.param("\x1b[2J", "␛[2J", id="escape sequence"),
        pytest.param("a\r\n\tb\0\x7f", "a␍␊␉b␀␡", id="control characters"),
        pytest.param("\x9b31m", "\\u009b31m", id="control sequence of one byte"),
        pytest.param("\u202eabc", "\\u202eabc", id="right-to-left"),
        pytest.param("a\u200b\u2028\ufeffb", "a\\u200b\\u2028\\ufeffb", id="no width"),
        pytest.param("\ud800", "\\ud800", id="half of a pair"),
        pytest.param("\U000e0041", "\\U000e0041", id="tag"),
        pytest.param("❤\ufe0f", "❤\\ufe0f", id="variation selector"),
        pytest.param("中文 é", "中文 é", id="letters"),
    ],
)
def test_what_is_not_seen_becomes_visible(text: str, shown: str) -> None:
    """A symbol for control characters, a number for the others, and letters as they are."""
    assert visible(text) == shown


def test_width_is_that_of_a_terminal() -> None:
    """Wide characters take two columns, marks none."""
    assert [width(text) for text in ("abc", "中文", "e\u0301", "ﾊ", "\uff21")] == [3, 4, 1, 1, 2]


@pytest.mark.parametrize(
    ("text", "most", "shown"),
    [
        ("hello", 5, "hello"),
        ("hello", 4, "hel…"),
        ("hello", 0, ""),
        ("中文字", 6, "中文字"),
        ("中文字", 5, "中文…"),
        ("中文字", 4, "中…"),
        ("a" + "\u0301" * 1000, 4, "a" + "\u0301" * 15 + "…"),
    ],
)
def test_what_does_not_fit_is_cut(text: str, most: int, shown: str) -> None:
    """By columns, and not within a character; many marks on one letter are cut too."""
    assert cut(text, most) == shown
    assert width(cut(text, most)) <= most
    assert width(pad(text, most)) == most


def test_bytes_are_shown_as_text_or_in_hexadecimal() -> None:
    """Whichever they are; text is in quotes that are not in it."""
    assert quoted(b"Hello", 20) == "'Hello'"
    assert quoted(b"it's", 20) == '"it\'s"'
    assert quoted("中文".encode(), 20) == "'中文'"
    assert quoted(bytes(range(6)), 20) == "00 01 02 03 04 05"
    assert quoted(b"\xff" * 100, 8) == "ff ff f…"
    assert quoted(b"x" * 100, 8) == "'xxxxx…'"
    assert quoted(b"hi\n\xe6\xac", 20) == "'hi␊' e6 ac"
    assert quoted(b"x" * 100 + b"\xe6\xac", 100) == f"'{'x' * 91}…' e6 ac"
    assert quoted(b"x" * 100 + b"\xe6", 8) == "'xxxxx…'"
    assert quoted(b"\xac\xa2\n", 20) == "ac a2 0a"
    assert quoted(b"\xe6\xac", 20) == "e6 ac"


def test_lines_say_how_much_is_left_out() -> None:
    """The last one has the number of characters."""
    assert lines("a\r\nb", 5, 10) == ["a", "b"]
    assert lines("a\nb\nc\nd", 2, 10) == ["a", "b", "… 3 more characters"]
    assert hexdump(b"0123456789abcdef+\x00", 1) == [
        "0000  30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66  0123456789abcdef",
        "… 2 more bytes",
    ]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ([1, 2.5, None, True, "a\n", b"\0"], r"[1, 2.5, None, True, 'a\n', b'\x00']"),
        ({"a": (1,), "b": {2}}, "{'a': (1,), 'b': {2}}"),
        ((), "()"),
        (set(), "set()"),
        (frozenset(), "set()"),
        (bytearray(b"x"), "b'x'"),
        pytest.param(10**5000, "<an integer of 16,610 bits>", id="a large integer"),
        (Decimal("1.20"), "Decimal('1.20')"),
        (datetime(2026, 1, 1, tzinfo=UTC), "datetime.datetime(2026, 1, 1, 0, 0, tzinfo=datet…"),
        (list(range(100)), "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 1…"),
        ("\u202e", r"'\u202e'"),
        ([[[[[[[[[[1]]]]]]]]]], "[[[[[[[[[…]]]]]]]]]"),
    ],
)
def test_a_value_is_shown_on_one_line(value: object, shown: str) -> None:
    """As Python writes it, and cut."""
    assert brief(value, 49) == shown


def test_a_value_that_is_exponentially_large_is_shown() -> None:
    """A list that has the one before twice, 60 times over, has 2**60 items."""
    value: list[object] = []
    for _ in range(60):
        value = [value, value]
    assert brief(value, 20) == "[[[[[[[[[…], […]], …"
