"""The types that a pickle may name: an exact list, and how a value of each is made.

Python writes such a value as a name and arguments: the name of a class or function, for the reader
to import and to call. Here the name is looked up in TYPES and nothing is imported for it. The value
is made by the function that stands there, which takes the arguments in the form in which Python
writes them, and in no other.
"""

import re
import struct
from collections import OrderedDict
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, NamedTuple, NoReturn
from uuid import UUID, SafeUUID

from services.safe_pickle.errors import UnpicklingError

MAX_DECIMAL = 10_000  # characters
MAX_NAME = 200  # characters of a text that an error quotes

# Written as name and arguments at protocol 4.
NAMED = {
    date, time, datetime, timedelta, timezone, Decimal, UUID, complex, bytearray, OrderedDict,
}  # fmt: skip

DECIMAL = re.compile(r"-?(\d+(\.\d+)?(E[+-]\d{1,19})?|Infinity|s?NaN\d*)", re.ASCII | re.IGNORECASE)
DATE, TIME, DATETIME = struct.Struct(">HBB"), struct.Struct(">BBBBH"), struct.Struct(">HBBBBBBH")


class PlainType(NamedTuple):
    """What a name stands for; it is on the stack and in the memo, and never in a value."""

    name: str
    kind: type
    make: Callable[..., Any]  # returns the value; TypeError or ValueError for wrong arguments


def find(module: object, name: object) -> PlainType:
    """Return the type of this name; raises UnpicklingError for a name that is not on the list."""
    if type(module) is not str or type(name) is not str:  # else hashing them may take hours
        raise UnpicklingError("a name that is no text")
    try:
        return TYPES[module, name]
    except KeyError:
        full = f"{module[:MAX_NAME]}.{name[:MAX_NAME]}"
        raise UnpicklingError(f"{full} is not plain data") from None


def expect(value: object, *kinds: type) -> None:
    """Raise TypeError unless `value` is of one of these types, and not of a subclass."""
    if type(value) not in kinds:
        raise TypeError(f"an argument of type {type(value).__name__}")


def make_date(state: bytes) -> date:
    """Return the date of 4 bytes: year, month, day."""
    expect(state, bytes)
    return date(*DATE.unpack(state))


def make_time(state: bytes, zone: timezone | None = None) -> time:
    """Return the time of 6 bytes: hour, minute, second, 3 of microseconds; 128 more is fold=1."""
    expect(state, bytes)
    expect(zone, timezone, type(None))
    hour, minute, second, high, low = TIME.unpack(state)
    fold, hour = divmod(hour, 128)
    return time(hour, minute, second, high << 16 | low, zone, fold=fold)


def make_datetime(state: bytes, zone: timezone | None = None) -> datetime:
    """Return the datetime of 10 bytes: those of a date and of a time; fold is in the month."""
    expect(state, bytes)
    expect(zone, timezone, type(None))
    year, month, day, hour, minute, second, high, low = DATETIME.unpack(state)
    fold, month = divmod(month, 128)
    micro = high << 16 | low
    return datetime(year, month, day, hour, minute, second, micro, zone, fold=fold)


def make_timedelta(days: int, seconds: int, microseconds: int) -> timedelta:
    """Return the timedelta of the parts that it has itself: no part is carried into another."""
    for part in (days, seconds, microseconds):
        expect(part, int)
    if not (0 <= seconds < 86_400 and 0 <= microseconds < 1_000_000):
        raise ValueError("seconds or microseconds out of range")
    return timedelta(days, seconds, microseconds)


def make_timezone(offset: timedelta, *name: str) -> timezone:
    """Return the timezone of an offset from UTC, with a name or without."""
    expect(offset, timedelta)
    if name:
        expect(name[0], str)
    return timezone(offset, *name)


def make_decimal(text: str) -> Decimal:
    """Return the Decimal that `str` has written; time and memory grow with its length."""
    expect(text, str)
    if len(text) > MAX_DECIMAL:
        raise ValueError(f"{len(text)} characters; at most {MAX_DECIMAL} are accepted")
    if not DECIMAL.fullmatch(text):
        raise ValueError(f"{text[:MAX_NAME]!r} is not the text of a Decimal")
    return Decimal(text)


def make_complex(real: float, imag: float) -> complex:
    """Return the complex number of its two parts."""
    expect(real, float)
    expect(imag, float)
    return complex(real, imag)


def make_bytes() -> bytes:
    """Return b"", the only bytes that protocol 2 writes by this name."""
    return b""


def make_bytearray(data: bytes | str = b"", *encoding: str) -> bytearray:
    """Return the bytearray of bytes, or of a text: Python 3.6 at protocol 2."""
    if encoding == ("latin-1",):
        expect(data, str)
        return bytearray(data, "latin-1")  # type: ignore[arg-type]
    if encoding:
        raise ValueError("another encoding than latin-1")
    expect(data, bytes)
    return bytearray(data)  # type: ignore[arg-type]


def encode(text: str, encoding: str) -> bytes:
    """Return bytes, which protocol 2 writes as the text that they are in latin-1."""
    expect(text, str)
    if encoding != "latin1":
        raise ValueError("another encoding than latin1")
    return text.encode("latin-1")


def make_ordered_dict() -> "OrderedDict[Any, Any]":
    """Return an empty OrderedDict; the items follow as those of a dict."""
    return OrderedDict()


def items_of_set(*items: list[Any]) -> list[Any]:
    """Return the members of a set or frozenset: protocols 2 and 3. The decoder inserts them."""
    if not items:
        return []
    (members,) = items
    expect(members, list)
    return members


def make_uuid() -> UUID:
    """Return a UUID without its number; `complete_uuid` gives it that."""
    return UUID.__new__(UUID)


def complete_uuid(uuid: UUID, state: dict[str, Any]) -> None:
    """Set the attributes of a UUID that has none yet; TypeError or ValueError for other ones."""
    expect(state, dict)
    number = state.get("int")
    if type(number) is not int or not 0 <= number < 1 << 128:
        raise ValueError("no integer of 128 bits")
    safe = SafeUUID.unknown
    if "is_safe" in state:  # where the system says so; otherwise it is not written
        expect(state["is_safe"], int)
        safe = SafeUUID(state["is_safe"])
    if len(state) > 1 + ("is_safe" in state) or hasattr(uuid, "int"):
        raise ValueError("other attributes, or the same ones again")
    # It is immutable for everybody else.
    object.__setattr__(uuid, "int", number)
    object.__setattr__(uuid, "is_safe", safe)


def refuse(*_: object) -> NoReturn:
    """Raise UnpicklingError: nothing is made by getattr.

    It is on the list because it comes before the name of the class for which Python writes it, such
    as an Enum or a ZoneInfo, and the error is to have that name.
    """
    raise UnpicklingError("builtins.getattr is not plain data")


# Python 2 had the built-in names in a module __builtin__, and protocol 2 still has.
BUILT_IN = [
    PlainType(name, kind, make)
    for name, kind, make in (
        ("set", set, items_of_set),
        ("frozenset", frozenset, items_of_set),
        ("complex", complex, make_complex),
        ("bytearray", bytearray, make_bytearray),
        ("bytes", bytes, make_bytes),
        ("getattr", object, refuse),
    )
]
TYPES = {
    **{(module, each.name): each for each in BUILT_IN for module in ("builtins", "__builtin__")},
    **{
        (module, name): PlainType(f"{module}.{name}", kind, make)
        for module, name, kind, make in (
            ("datetime", "date", date, make_date),
            ("datetime", "time", time, make_time),
            ("datetime", "datetime", datetime, make_datetime),
            ("datetime", "timedelta", timedelta, make_timedelta),
            ("datetime", "timezone", timezone, make_timezone),
            ("decimal", "Decimal", Decimal, make_decimal),
            ("uuid", "UUID", UUID, make_uuid),
            ("collections", "OrderedDict", OrderedDict, make_ordered_dict),
            ("_codecs", "encode", bytes, encode),
        )
    },
}
