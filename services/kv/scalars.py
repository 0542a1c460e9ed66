"""The values of XML-RPC that are text: each type with the form that it has, and what that means.

The white space around a value is no part of it, except in a string.
"""

import binascii
import math
import re
import xmlrpc.client
from collections.abc import Callable
from datetime import datetime
from typing import Any

from services.kv.faults import Fault, Kind

WHITE_SPACE = " \t\r\n"  # XML 1.0, 2.3; str.strip() by itself takes more for it
# Of a document: those that a parser of XML has to know, and others that have a byte a character.
ENCODING = re.compile(
    r"utf-8|utf-16|us-ascii|iso-8859-\d+|windows-125\d|koi8-[ru]", re.ASCII | re.IGNORECASE
)
# Possessive, `++` and `*+`: a match is never given back. To try each way to divide 20,000 digits
# between two `\d` took 15 seconds.
INTEGER = re.compile(r"[+-]?\d++", re.ASCII)
DOUBLE = re.compile(r"[+-]?(\d++(\.\d*+)?|\.\d++)([eE][+-]?\d++)?", re.ASCII)
DATE_TIME = re.compile(
    r"(\d{4})(-?)(\d\d)\2(\d\d)T(\d\d)(:?)(\d\d)\6(\d\d)(\.\d++)?(Z|[+-]\d\d:?\d\d)?", re.ASCII
)
BASE64 = re.compile(rb"[A-Za-z0-9+/]*+={0,2}")
MAX_DIGITS = 100  # of an integer, leading zeros among them


def integer(text: str) -> int:
    """Return an integer of 32 bits."""
    if not INTEGER.fullmatch(text):
        raise ValueError
    if len(text) > MAX_DIGITS or not -(2**31) <= (value := int(text)) < 2**31:
        raise Fault(Kind.BAD_ARGUMENT, f"the integer {text[:50]} does not fit into 32 bits")
    return value


def double(text: str) -> float:
    """Return a finite double; XML-RPC has no infinity and no NaN."""
    if not DOUBLE.fullmatch(text) or not math.isfinite(value := float(text)):
        raise ValueError
    return value


def decimal(text: str) -> None:
    """Raise Fault: XML-RPC has no decimals, and as a double it would be another number."""
    if not DOUBLE.fullmatch(text):
        raise ValueError
    raise Fault(Kind.BAD_ARGUMENT, f"the decimal {text[:50]} cannot be returned")


def boolean(text: str) -> bool:
    """Return a boolean, which is written 0 or 1."""
    if text not in ("0", "1"):
        raise ValueError
    return text == "1"


def date_time(text: str) -> xmlrpc.client.DateTime:
    """Return a date and time as the specification writes it, 19980717T14:08:55.

    1998-07-17T14:08:55 is the same, and so is 19980717T140855, the form that aXMLRPC sends (ISO
    8601:2004, 4.3.2: the basic format). The type has no zone and no fractions of a second: clients
    that decode it fail for them, and without them it would be another time.
    """
    if not (found := DATE_TIME.fullmatch(text)):
        raise ValueError
    year, _, month, day, hour, _, minute, second, fraction, zone = found.groups()
    datetime(*map(int, (year, month, day, hour, minute, second)))  # type: ignore[arg-type] # noqa: DTZ001
    if fraction or zone:
        raise Fault(
            Kind.BAD_ARGUMENT, f"the dateTime {text[:50]} has a zone or fractions of a second"
        )
    return xmlrpc.client.DateTime(f"{year}{month}{day}T{hour}:{minute}:{second}")


def base64(text: str) -> xmlrpc.client.Binary:
    """Return bytes, whose text may be in lines (RFC 4648, 4)."""
    encoded = text.encode("ascii").translate(None, WHITE_SPACE.encode())
    if len(encoded) % 4 or not BASE64.fullmatch(encoded):
        raise ValueError
    return xmlrpc.client.Binary(binascii.a2b_base64(encoded))


def nil(text: str) -> None:
    """Return None for no text."""
    if text:
        raise ValueError


# For each type a function that returns the value, or raises ValueError for a text that has not the
# form of the type, and Fault for a value that could not be returned as it is.
SCALARS: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(("int", "i1", "i2", "i4", "i8", "biginteger"), integer),
    **dict.fromkeys(("double", "float"), double),
    "bigdecimal": decimal,
    "boolean": boolean,
    "dateTime.iso8601": date_time,
    "base64": base64,
    "nil": nil,
}
