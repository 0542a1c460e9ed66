"""What the command line takes for a Python literal, and what for text."""

import datetime
import math
import random
import sys
from collections import OrderedDict
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from clients.cli.literals import literal

ZONE = datetime.timezone(datetime.timedelta(hours=-5))
VALUES: list[Any] = [
    None, True, False, 0, 5, -5, 10**30, 0.0, 0.1, -0.5, 1e300, -1e-300, 2j, 1 + 2j, -1j, "",
    complex(0, -1), complex(-0.0, 1), complex(-0.0, -1), complex(-1.5, -0.0), 1e22,
    5e-324, 0.1 + 0.2,
    2.0**1023, [complex(0, -1)],
    "a", "it's",
    "\n\\\t\0\x7f", "Zoë ☃ 😀", "'\"", b"", b"\0\xff'", (), (1,), (1, (2, 3)), [], [[], [None]], {},
    {"a": [1, {"b": b"c"}], 2: None, (3, 4): -5}, {1}, {3, 1, 2, "x", "y", (4, 5)}, set(),
    frozenset(), frozenset({1, "a", None}),
    datetime.date(2012, 8, 15), datetime.datetime(2012, 8, 15, 20, 35, 8),  # noqa: DTZ001
    datetime.datetime(2012, 8, 15, 20, 35, 8, 900, datetime.UTC),
    datetime.datetime(2012, 8, 15, tzinfo=ZONE), datetime.time(20, 35),
    datetime.timedelta(-1, 2, 3),
    ZONE, datetime.UTC, Decimal("1.20"), Decimal("-Infinity"), UUID(int=42), bytearray(b"\0x"),
    OrderedDict(b=1, a=2), {"deep": [(datetime.date(1, 1, 1), {Decimal(1): UUID(int=1)})]},
]  # fmt: skip


# Not by its repr: that of a set has another order in each process.
@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_what_is_printed_can_be_typed_again(value: Any) -> None:
    """The same value comes out of it, of the same type."""
    found = literal(repr(value))
    assert (type(found), found, repr(found)) == (type(value), value, repr(found))


NUMBERS = {
    "42": 42, "-1": -1, "- 1": -1, "1e3": 1000.0, "-1e3": -1000.0, "1.50": 1.5, "1.": 1.0,
    ".5": 0.5, "-.5": -0.5, "00.50": 0.5, "1e+22": 1e22, "1.0e0J": 1j, "-1j": complex(0, -1),
    "0x0A": 10, "0x10": 16, "-0x10": -16, "0b11": 3, "-0o17": -15, "1E-2": 0.01,
}  # fmt: skip


@pytest.mark.parametrize("text", NUMBERS)
def test_a_number_may_be_written_in_every_notation(text: str) -> None:
    """It is the same number that is printed."""
    assert (type(literal(text)), literal(text)) == (type(NUMBERS[text]), NUMBERS[text])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[1,2,3]", [1, 2, 3]),
        ("[ 1,\n2 ]", [1, 2]),
        ('{"a":None}', {"a": None}),
        ('"double"', "double"),
        (r"r'\d'", r"\d"),
        ("'''long'''", "long"),
        ("{3,2,1}", {1, 2, 3}),
    ],
)
def test_spaces_and_quotes_are_as_one_likes(text: str, value: Any) -> None:
    """They are no part of the value."""
    assert literal(text) == value


TEXTS = [
    # Something would be lost of these.
    "5 # five", "[1, # one\n2]", "'a' 'b'", "b'a' b'b'", "('a' 'b',)", "1_000", "-1_000", "[1_0]",
    "0x_10", " 5", "5 ", "5\n", "\t[1]", "(5)", "-(1)", "((1, 2))", "[1, 2,]", "+5", "{1, 1}",
    "{'a': 1, 'a': 2}", "1+2j", "1, 2", "-0", "1e999", "[1e999]",
    "1e-400", "12345678901234567.25", "0.1000000000000000055", "1e23456789012345678901", "00",
    "[00]", "-00", "0.1000000000000000055j", "1_0.5", "1_0j", "3.14159265358979323846",
    "...", "u'a' 'b'",
    # And these are not literals.
    "", "hello", "hello, world", "-", "--", "-x", "-inf", "inf", "nan", "True and False", "1 + 1",
    "__import__('os').system('true')", "open('x')", "datetime.now()", "[x for x in (1,)]", "f'{1}'",
    "007", "1e", "0x", "{**{}}", "[*()]", "'open", "1\0", "Decimal('x')", "bytearray(5)",
    "bytearray(10000000000)", "UUID('x')", "datetime.date(1, 1, 0)", "datetime.timedelta(10**30)",
    "Decimal(1)", "set([1])", "frozenset([1])", "frozenset(*[[1]])", "OrderedDict(**{'a': 1})",
    "datetime.datetime.max", "datetime.datetime(2012, 8, 15)", "\udcff", "5is", r"'\d' # x", "٣",
    "[" * 10_000, "-" * 10_000 + "1", "9" * 10_000,
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: ascii(text)[:40])
def test_all_else_is_text(text: str) -> None:
    """As it was typed."""
    assert literal(text) is text


def test_text_that_is_made_of_pieces_of_python_is_a_literal_or_stays() -> None:
    """A literal is printed as one that is typed the same; text is what was typed."""
    pieces = [
        "1",
        "_",
        ".",
        "e",
        "-",
        " ",
        "'",
        '"',
        "a",
        "[",
        "]",
        "(",
        ")",
        ",",
        "{",
        "}",
        ":",
        "#",
    ]
    chance = random.Random(1)  # noqa: S311
    literals = 0
    for _ in range(20_000):
        text = "".join(chance.choices(pieces, k=chance.randint(1, 6)))
        value = literal(text)
        if value is not text:
            literals += 1
            assert "#" not in text or "#" in repr(value)
            again = literal(repr(value))
            assert again == value or math.isnan(value)
    assert literals > 100


def test_what_is_no_python_gives_no_warning(capfd: pytest.CaptureFixture[str]) -> None:
    """Warnings are errors here, and on a terminal they would be lines about nothing."""
    for text in ("5is", r"'\d'", "1if 2else 3", "() is ()", "0x1for x in y"):
        literal(text)
    assert capfd.readouterr().err == ""
    assert sys.getrecursionlimit() > 100
