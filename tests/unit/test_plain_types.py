"""The types that a pickle names: which, and that their values come back as they were."""

import enum
import pickle
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID, SafeUUID
from zoneinfo import ZoneInfo

import pytest

from services import safe_pickle
from services.safe_pickle import UnpicklingError, loads
from services.safe_pickle.plain_types import MAX_DECIMAL, NAMED, TYPES
from tests.hostile import pickles

INDIA = timezone(timedelta(hours=5, minutes=30))
MOON = timezone(timedelta(microseconds=-1), "Mare Tranquillitatis")

VALUES: list[Any] = [
    date.min,
    date(2020, 2, 29),
    date.max,
    time.min,
    time.max,
    time(12, 34, 56, 7),
    time(1, 2, fold=1),
    time(1, 2, tzinfo=INDIA),
    datetime.min,  # noqa: DTZ901
    datetime.max,  # noqa: DTZ901
    datetime(2020, 2, 29, 1, 2, 3, 4),  # noqa: DTZ001
    datetime(2020, 10, 25, 2, 30, fold=1),  # noqa: DTZ001
    datetime(2020, 10, 25, 2, 30, tzinfo=UTC, fold=1),
    datetime(2020, 10, 25, 2, 30, tzinfo=INDIA),
    datetime(1, 1, 1, tzinfo=MOON),
    timedelta(),
    timedelta.min,
    timedelta.max,
    timedelta.resolution,
    -timedelta.resolution,
    UTC,
    timezone(timedelta(0), "Zulu"),
    timezone(timedelta(0), ""),
    INDIA,
    MOON,
    timezone.min,
    timezone.max,
    *map(Decimal, ("0", "-0", "0E-7", "0E+7", "1", "-1.20", "1.2E+3", "1E-7", "0.000001")),
    *map(Decimal, ("1E-999999999999999999", "9E+999999999999999999", "Infinity", "-Infinity")),
    Decimal("3.14159265358979323846264338327950288"),
    Decimal("9" * MAX_DECIMAL),
    UUID(int=0),
    UUID("12345678-1234-5678-1234-567812345678"),
    UUID(int=2**128 - 1),
    UUID(int=1, is_safe=SafeUUID.safe),
    UUID(int=1, is_safe=SafeUUID.unsafe),
    1j,
    complex(-0.0, -0.0),
    complex(float("inf"), -1.5),
    bytearray(),
    bytearray(b"a\xff"),
    bytearray(100_000),
    OrderedDict(),
    OrderedDict([("b", 1), ("a", [OrderedDict()])]),
    OrderedDict((number, str(number)) for number in range(3000)),
    {date(2020, 2, 29): Decimal(1), (UUID(int=1), INDIA): 1j, UTC: {time(1)}},
    [datetime(2020, 2, 29, hour, tzinfo=INDIA) for hour in range(24)],
]


def exactly(value: Any) -> Any:
    """Return what tells a value from others, equal ones too: what Python writes for it."""
    return type(value), pickle.dumps(value, 4)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{value!r:.60}")
@pytest.mark.parametrize("write", [pickle.dumps, pickle._dumps], ids=["C", "Python"])  # type: ignore[attr-defined]
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_it_comes_back_as_pickle_loads_it(
    value: Any, write: Callable[[Any, int], bytes], protocol: int
) -> None:
    """With its fold, its timezone and its exponent, as far as the protocol has them."""
    data = write(value, protocol)
    assert exactly(loads(data)) == exactly(pickle.loads(data))
    if protocol > 3:  # the older ones have no fold
        assert exactly(loads(data)) == exactly(value)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: f"{value!r:.60}")
def test_it_is_written_so_that_every_python_reads_it(value: Any) -> None:
    """As `pickle` does, at protocol 4."""
    assert safe_pickle.dumps(value) == pickle.dumps(value, 4)
    assert exactly(pickle.loads(safe_pickle.dumps(value))) == exactly(value)


@pytest.mark.parametrize("text", ["NaN", "-NaN", "NaN123", "sNaN", "-sNaN7"])
def test_a_decimal_that_is_no_number_comes_back(text: str) -> None:
    """It is not equal to itself."""
    assert str(loads(safe_pickle.dumps(Decimal(text)))) == text


def test_utc_is_the_one_that_there_is() -> None:
    """`is` holds for it, as after `pickle.loads`."""
    assert loads(pickle.dumps(UTC)) is UTC
    assert loads(pickle.dumps(datetime.now(UTC))).tzinfo is UTC


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_what_is_shared_stays_shared(protocol: int) -> None:
    """A value, and a part of two values."""
    for value in VALUES:
        first, second = loads(pickle.dumps([value, value], protocol))
        assert first is second
    first, second = loads(pickle.dumps([time(1, tzinfo=MOON), time(2, tzinfo=MOON)], protocol))
    assert first.tzinfo is second.tzinfo
    table: OrderedDict[str, Any] = OrderedDict()
    table["me"] = table
    found = loads(pickle.dumps(table, protocol))
    assert found["me"] is found


def test_the_values_are_of_every_type_on_the_list() -> None:
    """Of those that have names at protocol 4; the others are in the grammar."""
    assert {type(value) for value in VALUES} >= NAMED
    others = {plain_type.kind for plain_type in TYPES.values()} - NAMED
    assert others == {set, frozenset, bytes, object}


def test_nothing_else_has_a_name() -> None:
    """The list, in full; a type that is added to it is to be considered here."""
    assert {f"{module}.{name}" for module, name in TYPES} == {
        "_codecs.encode",
        "collections.OrderedDict",
        "datetime.date",
        "datetime.datetime",
        "datetime.time",
        "datetime.timedelta",
        "datetime.timezone",
        "decimal.Decimal",
        "uuid.UUID",
        *(
            f"{module}.{name}"
            for module in ("builtins", "__builtin__")
            for name in ("bytearray", "bytes", "complex", "frozenset", "getattr", "set")
        ),
    }


class Day(date):
    """A date of a class that only its own program has."""


class Color(enum.Enum):
    """An Enum, of which members are got by name."""

    RED = "red"


def with_attribute() -> "OrderedDict[str, int]":
    """Return an OrderedDict that has more than its items."""
    value: OrderedDict[str, int] = OrderedDict(a=1)
    value.more = 1  # type: ignore[attr-defined]
    return value


@pytest.mark.parametrize(
    ("value", "refused", "unwritten"),
    [
        pytest.param(
            Day(2020, 1, 1), f"{__name__}.Day", "a Day is not plain data", id="a subclass"
        ),
        pytest.param(
            datetime.now(ZoneInfo("UTC")),
            "zoneinfo.ZoneInfo is not plain data",
            "a ZoneInfo is not plain data",
            id="a ZoneInfo",
        ),
        pytest.param(Color.RED, f"{__name__}.Color", "a Color is not plain data", id="an Enum"),
        pytest.param(
            with_attribute(),
            "a OrderedDict with attributes is not plain data",
            "a OrderedDict with attributes is not plain data",
            id="attributes",
        ),
        pytest.param(
            [date(2020, 1, 1), timedelta],
            "datetime.timedelta itself is not plain data",
            "the class timedelta is not plain data",
            id="a class",
        ),
    ],
)
def test_what_is_almost_one_of_them_is_refused(value: Any, refused: str, unwritten: str) -> None:
    """By its name, on both ways."""
    with pytest.raises(UnpicklingError, match=refused):
        loads(pickle.dumps(value, 4))
    with pytest.raises(ValueError, match=unwritten):
        safe_pickle.dumps(value)


def test_a_class_is_refused_whatever_was_written_before() -> None:
    """The pickler is used again."""
    for _ in range(2):
        safe_pickle.dumps([date.min, date.max])
        with pytest.raises(ValueError, match="the class date is not plain data"):
            safe_pickle.dumps(date)


def test_what_a_value_is_made_of_is_not_copied_without_end() -> None:
    """The same argument may come from the memo a thousand times."""
    for bomb in (pickles.copying_bomb(), pickles.sets_bomb()):
        with pytest.raises(UnpicklingError, match="the same arguments again and again"):
            loads(bomb)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_what_python_writes_is_never_too_much_to_copy(protocol: int) -> None:
    """Not even where all of it is copied twice, or is a character that all values share."""
    for value in (
        [bytearray(b"x" * size) for size in (1, 100, 100_000)],
        [bytes([number % 256]) for number in range(10_000)],
        [bytearray(b"x") for _ in range(10_000)],
        [{str(number)} for number in range(10_000)],
        [set(range(10_000)), frozenset(range(10_000))],
        bytearray(b"x" * 1_000_000),
    ):
        assert loads(pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize("order", [1, -1])
def test_a_large_integer_and_a_decimal_are_not_in_one_message(order: int) -> None:
    """To compare the two or to add them would take hours."""
    value = [Decimal(1), 2 ** (8 * 255)][::order]
    with pytest.raises(UnpicklingError, match="a Decimal and an integer of more than 255 bytes"):
        loads(safe_pickle.dumps(value))
    for accepted in (
        [Decimal(1), 2 ** (8 * 255 - 1) - 1],
        [2**100_000, 1.5],
        [2**100_000, date.min],
    ):
        assert loads(safe_pickle.dumps(accepted)) == accepted


def test_arguments_are_neither_hashed_nor_shown() -> None:
    """A tuple that has the one before twice, and so on, can take hours for either."""
    tree = b")" + b"".join(b"\x94h%c\x86" % level for level in range(20))
    for module, name in TYPES:
        named = b"c%b\n%b\n" % (module.encode(), name.encode())
        for form in (b"\x85R", b"\x8c\6latin1\x86R", b"\x85\x81", b"\x85\x85R", b"b", b"Nsb"):
            with pytest.raises(UnpicklingError) as caught:
                loads(b"\x80\4" + named + tree + form + b".")
            assert len(str(caught.value)) < 200
    for form in (b"%b\x8c\1x\x93.", b"%b\x8c\1x0h\1\x93.", b"\x8c\1x0%b0\x8c\1xh\1\x93."):
        with pytest.raises(UnpicklingError, match="a name that is no text"):
            loads(b"\x80\4" + form % tree)
    state = b"\x80\4cuuid\nUUID\n)\x81}\x8c\3int%bsb."
    with pytest.raises(UnpicklingError, match="no integer of 128 bits"):
        loads(state % tree)


def test_getattr_gets_nothing() -> None:
    """It is on the list so that the error names a class, and makes nothing."""
    for args in (b"\x8c\1x\x8c\1y\x86", b")", b"]\x8c\7__len__\x86"):
        with pytest.raises(UnpicklingError, match=r"builtins\.getattr is not plain data"):
            loads(b"\x80\4cbuiltins\ngetattr\n" + args + b"R.")
    with pytest.raises(UnpicklingError, match=r"datetime\.date itself is not plain data"):
        loads(b"\x80\4cbuiltins\ngetattr\ncdatetime\ndate\n\x8c\5today\x86R.")
