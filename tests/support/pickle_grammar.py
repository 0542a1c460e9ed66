"""Pickles, valid and invalid, and what the decoder of plain data is to make of each.

A pickle is written here as `pickletools.dis` shows it: opcodes with their arguments in between.
The order is that of services/safe_pickle/opcodes.py.
"""

import struct
from collections import OrderedDict
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from services.safe_pickle.decoder import MAX_CONTAINERS

HOUR = timezone(timedelta(seconds=3600))
DAY = b"\x07\xe4\x02\x1d"  # the 29th of February 2020
NOON = b"\x0c\x22\x38\x01\xe2\x40"  # 12:34:56.123456
SINCE_NOON = b"\x07\xe4\x02\x1d" + NOON


class Valid(NamedTuple):
    """A pickle, and the value that it is one of."""

    name: str
    data: bytes
    value: Any


class Invalid(NamedTuple):
    """A pickle that is refused, and what the error says."""

    name: str
    data: bytes
    error: str


def named(name: str, args: bytes) -> bytes:
    """Return a call by GLOBAL and REDUCE; a dot separates module and name."""
    module, _, what = name.rpartition(".")
    return b"\x80\x03c" + f"{module}\n{what}\n".encode() + args + b"R."


def data(value: bytes) -> bytes:
    """Return SHORT_BINBYTES."""
    return b"C" + bytes([len(value)]) + value


def text(value: str) -> bytes:
    """Return BINUNICODE."""
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def integer(value: int) -> bytes:
    """Return LONG1."""
    size = value.bit_length() // 8 + 1
    return b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)


def delta(*parts: int) -> bytes:
    """Return the opcodes of a timedelta."""
    return b"cdatetime\ntimedelta\n" + b"".join(map(integer, parts)) + b"\x87R"


def uuid(state: bytes) -> bytes:
    """Return a UUID with the attributes that `state` puts into a dict."""
    return b"\x80\x03cuuid\nUUID\n)\x81}" + state + b"b."


def decimal(value: str) -> bytes:
    """Return a Decimal of a text."""
    return named("decimal.Decimal", text(value) + b"\x85")


NOT_WRITTEN = "is not one that Python writes for plain data at the protocols 2 to 5"
NO_STOP = "does not end with STOP and exactly one value"

VALID = [
    Valid("None", b"\x80\x04N.", None),
    Valid("without a protocol", b"N.", None),
    Valid("a frame", b"\x80\x04\x95\x02\0\0\0\0\0\0\0N.", None),
    Valid("a frame in the middle", b"\x80\x04]\x95\x02\0\0\0\0\0\0\0Na.", [None]),
    Valid("True", b"\x80\x02\x88.", True),
    Valid("False", b"\x80\x02\x89.", False),
    Valid("BININT1", b"\x80\x02K\xff.", 255),
    Valid("BININT2", b"\x80\x02M\xff\xff.", 65535),
    Valid("BININT, negative", b"\x80\x02J\xff\xff\xff\xff.", -1),
    Valid("LONG1", b"\x80\x02\x8a\x05\0\0\0\0\x80.", -(2**39)),
    Valid("LONG1 of nothing", b"\x80\x02\x8a\0.", 0),
    Valid("LONG4", b"\x80\x02\x8b\x03\0\0\0\0\0\1.", 65536),
    Valid("BINFLOAT", b"\x80\x02G\x3f\xb9\x99\x99\x99\x99\x99\x9a.", 0.1),
    Valid("BINFLOAT, minus zero", b"\x80\x02G\x80\0\0\0\0\0\0\0.", -0.0),
    Valid("SHORT_BINUNICODE", b"\x80\x04\x8c\2\xc3\xa9.", "é"),
    Valid("BINUNICODE", b"\x80\x02X\2\0\0\0\xc3\xa9.", "é"),
    Valid("BINUNICODE8", b"\x80\x04\x8d\2\0\0\0\0\0\0\0\xc3\xa9.", "é"),
    Valid("half of a surrogate pair", b"\x80\x04\x8c\3\xed\xa0\x80.", "\ud800"),
    Valid("SHORT_BINBYTES", b"\x80\x03C\2\xc3\xff.", b"\xc3\xff"),
    Valid("BINBYTES", b"\x80\x03B\2\0\0\0\xc3\xff.", b"\xc3\xff"),
    Valid("BINBYTES8", b"\x80\x04\x8e\2\0\0\0\0\0\0\0\xc3\xff.", b"\xc3\xff"),
    Valid("BYTEARRAY8", b"\x80\x05\x96\2\0\0\0\0\0\0\0\xc3\xff.", bytearray(b"\xc3\xff")),
    Valid("EMPTY_TUPLE", b"\x80\x02).", ()),
    Valid("TUPLE1", b"\x80\x02N\x85.", (None,)),
    Valid("TUPLE2", b"\x80\x02K\1K\2\x86.", (1, 2)),
    Valid("TUPLE3", b"\x80\x02K\1K\2K\3\x87.", (1, 2, 3)),
    Valid("TUPLE", b"\x80\x02(K\1K\2K\3K\4t.", (1, 2, 3, 4)),
    Valid("APPEND", b"\x80\x02]K\1a.", [1]),
    Valid("APPENDS", b"\x80\x02](K\1K\2e.", [1, 2]),
    Valid("APPENDS of nothing", b"\x80\x02](e.", []),
    Valid("SETITEM", b"\x80\x02}K\1K\2s.", {1: 2}),
    Valid("SETITEMS", b"\x80\x02}(K\1K\2K\3K\4u.", {1: 2, 3: 4}),
    Valid("a key again", b"\x80\x02}(K\1K\2K\1K\4u.", {1: 4}),
    Valid("ADDITEMS", b"\x80\x04\x8f(K\1K\2\x90.", {1, 2}),
    Valid("FROZENSET", b"\x80\x04(K\1K\2\x91.", frozenset({1, 2})),
    Valid("MEMOIZE and BINGET", b"\x80\x04\x8c\1x\x94h\0\x86.", ("x", "x")),
    Valid("BINPUT and BINGET", b"\x80\x02X\1\0\0\0xq\0h\0\x86.", ("x", "x")),
    Valid("LONG_BINPUT and LONG_BINGET", b"\x80\x02Nr\0\0\0\0j\0\0\0\0\x86.", (None, None)),
    Valid("POP", b"\x80\x02K\1N0.", 1),
    Valid("POP_MARK", b"\x80\x02K\1(NN1.", 1),
    # Python 3.6, pickle.dumps(value, protocol=2), and so all later ones where nothing else is said.
    Valid(
        "bytes at protocol 2",
        b"\x80\x02c_codecs\nencode\nq\x00X\x03\x00\x00\x00a\xc3\xbfq\x01X\x06\x00\x00\x00latin1"
        b"q\x02\x86q\x03Rq\x04.",
        b"a\xff",
    ),
    Valid("no bytes at protocol 2", b"\x80\x02c__builtin__\nbytes\nq\x00)Rq\x01.", b""),
    Valid(
        "a set at protocol 2",
        b"\x80\x02c__builtin__\nset\nq\x00]q\x01(K\x01K\x02e\x85q\x02Rq\x03.",
        {1, 2},
    ),
    Valid("an empty set", b"\x80\x02c__builtin__\nset\nq\x00]q\x01\x85q\x02Rq\x03.", set()),
    Valid(
        "a frozenset at protocol 2",
        b"\x80\x02c__builtin__\nfrozenset\nq\x00]q\x01K\x01a\x85q\x02Rq\x03.",
        frozenset({1}),
    ),
    Valid(
        "a bytearray of Python 3.6",
        b"\x80\x02c__builtin__\nbytearray\nq\x00X\x03\x00\x00\x00a\xc3\xbfq\x01X\x07\x00\x00\x00"
        b"latin-1q\x02\x86q\x03Rq\x04.",
        bytearray(b"a\xff"),
    ),
    Valid(
        "a bytearray of Python 3.7",
        b"\x80\x02c__builtin__\nbytearray\nq\x00c_codecs\nencode\nq\x01X\x03\x00\x00\x00a\xc3\xbf"
        b"q\x02X\x06\x00\x00\x00latin1q\x03\x86q\x04Rq\x05\x85q\x06Rq\x07.",
        bytearray(b"a\xff"),
    ),
    Valid("no bytearray of 3.7", b"\x80\x02c__builtin__\nbytearray\nq\x00)Rq\x01.", bytearray()),
    Valid(
        "a date at protocol 2",
        b"\x80\x02cdatetime\ndate\nq\x00c_codecs\nencode\nq\x01X\x05\x00\x00\x00\x07\xc3\xa4\x01"
        b"\x02q\x02X\x06\x00\x00\x00latin1q\x03\x86q\x04Rq\x05\x85q\x06Rq\x07.",
        date(2020, 1, 2),
    ),
    Valid(
        "bytes and a set, whose names and texts are shared",
        b"\x80\x02]q\x00(c_codecs\nencode\nq\x01X\x02\x00\x00\x00abq\x02X\x06\x00\x00\x00latin1"
        b"q\x03\x86q\x04Rq\x05c__builtin__\nset\nq\x06]q\x07h\x01X\x01\x00\x00\x00cq\x08h\x03\x86"
        b"q\tRq\na\x85q\x0bRq\x0ce.",
        [b"ab", {b"c"}],
    ),
    # Python 3.6, protocol=3: the protocol of its connections.
    Valid(
        "a set at protocol 3",
        b"\x80\x03cbuiltins\nset\nq\x00]q\x01(K\x01K\x02e\x85q\x02Rq\x03.",
        {1, 2},
    ),
    Valid(
        "a frozenset at protocol 3",
        b"\x80\x03cbuiltins\nfrozenset\nq\x00]q\x01K\x01a\x85q\x02Rq\x03.",
        frozenset({1}),
    ),
    Valid(
        "a bytearray at protocol 3",
        b"\x80\x03cbuiltins\nbytearray\nq\x00C\x02a\xffq\x01\x85q\x02Rq\x03.",
        bytearray(b"a\xff"),
    ),
    # By hand from here on.
    Valid("a date", named("datetime.date", data(DAY) + b"\x85"), date(2020, 2, 29)),
    Valid("the first date", named("datetime.date", data(b"\0\1\1\1") + b"\x85"), date.min),
    Valid(
        "a time",
        named("datetime.time", data(NOON) + b"\x85"),
        time(12, 34, 56, 123456),
    ),
    Valid(
        "a time in a fold",
        named("datetime.time", data(b"\x8c" + NOON[1:]) + b"\x85"),
        time(12, 34, 56, 123456, fold=1),
    ),
    Valid(
        "a datetime",
        named("datetime.datetime", data(SINCE_NOON) + b"\x85"),
        datetime(2020, 2, 29, 12, 34, 56, 123456),  # noqa: DTZ001
    ),
    Valid(
        "a datetime in a fold",
        named("datetime.datetime", data(b"\x07\xe4\x82\x1d" + NOON) + b"\x85"),
        datetime(2020, 2, 29, 12, 34, 56, 123456, fold=1),  # noqa: DTZ001
    ),
    Valid(
        "a datetime with a timezone",
        named(
            "datetime.datetime",
            data(SINCE_NOON) + b"cdatetime\ntimezone\n" + delta(0, 3600, 0) + b"\x85R\x86",
        ),
        datetime(2020, 2, 29, 12, 34, 56, 123456, HOUR),
    ),
    Valid("UTC", named("datetime.timezone", delta(0, 0, 0) + b"\x85"), UTC),
    Valid(
        "a timezone with a name",
        named("datetime.timezone", delta(-1, 60, 0) + text("far") + b"\x86"),
        timezone(timedelta(days=-1, seconds=60), "far"),
    ),
    Valid("a timedelta", b"\x80\x03" + delta(-1, 86_399, 999_999) + b".", timedelta(0, 0, -1)),
    Valid("a Decimal", decimal("-1.20E+5"), Decimal("-1.20E+5")),
    Valid("a Decimal of 10,000 digits", decimal("9" * 10_000), Decimal("9" * 10_000)),
    Valid("minus zero as a Decimal", decimal("-0E-7"), Decimal("-0E-7")),
    Valid("infinity as a Decimal", decimal("-Infinity"), Decimal("-Infinity")),
    Valid("a UUID", uuid(text("int") + b"K\5s"), UUID(int=5)),
    Valid("the last UUID", uuid(text("int") + integer(2**128 - 1) + b"s"), UUID(int=2**128 - 1)),
    Valid(
        "a complex number",
        named("builtins.complex", b"G?\xf0\0\0\0\0\0\0G\x80\0\0\0\0\0\0\0\x86"),
        complex(1, -0.0),
    ),
    Valid(
        "an OrderedDict",
        b"\x80\x03ccollections\nOrderedDict\n)Rq\0K\2Ns(K\1NK\0Nu.",
        OrderedDict([(2, None), (1, None), (0, None)]),
    ),
    Valid("STACK_GLOBAL", b"\x80\x04\x8c\x08builtins\x8c\x09bytearray\x93)R.", bytearray()),
]

INVALID = [
    Invalid("nothing", b"", "malformed pickle"),
    Invalid("no opcode", b"\x80\x04", "malformed pickle"),
    Invalid("no STOP", b"\x80\x04N", "malformed pickle"),
    Invalid("no value", b"\x80\x04.", NO_STOP),
    Invalid("two values", b"\x80\x04NN.", NO_STOP),
    Invalid("an open mark", b"\x80\x04N(.", NO_STOP),
    Invalid("bytes after STOP", b"\x80\x04N.N", NO_STOP),
    Invalid("an opcode that nobody knows", b"\x80\x04\xff.", f"opcode 0xff {NOT_WRITTEN}"),
    # Protocols 0 and 1, and Python 2.
    Invalid("an integer at protocol 0", b"I5\n.", f"opcode INT {NOT_WRITTEN}"),
    Invalid("a text at protocol 0", b"Vx\np0\n.", f"opcode UNICODE {NOT_WRITTEN}"),
    Invalid("a list at protocol 0", b"(lp0\n.", f"opcode LIST {NOT_WRITTEN}"),
    Invalid("True at protocol 1", b"I01\n.", f"opcode INT {NOT_WRITTEN}"),
    Invalid("str of Python 2", b"\x80\x02U\1xq\0.", f"opcode SHORT_BINSTRING {NOT_WRITTEN}"),
    # What reaches for more than plain data.
    Invalid("a function", b"\x80\x04\x8c\2os\x8c\6system\x93.", "os.system is not plain data"),
    Invalid("a call", b"\x80\x03cos\nsystem\nX\1\0\0\0x\x85R.", "os.system is not plain data"),
    Invalid("an instance", b"(ios\nsystem\n.", f"opcode INST {NOT_WRITTEN}"),
    Invalid("a class", b"\x80\x04cdatetime\ndate\n.", "datetime.date itself is not plain data"),
    Invalid("a class in a list", b"\x80\x03]cuuid\nUUID\na.", "uuid.UUID itself is not plain"),
    Invalid("a class in a tuple", b"\x80\x03cuuid\nUUID\n\x85.", "uuid.UUID itself is not plain"),
    Invalid("a class as a key", b"\x80\x03}cuuid\nUUID\nNs.", "uuid.UUID itself is not plain"),
    Invalid("a class as a value", b"\x80\x03}Ncuuid\nUUID\ns.", "uuid.UUID itself is not plain"),
    Invalid("a class in a set", b"\x80\x04(cuuid\nUUID\n\x91.", "uuid.UUID itself is not plain"),
    Invalid("a class, by the memo", b"\x80\x03cuuid\nUUID\nq\0]h\0a\x86.", "uuid.UUID itself"),
    Invalid("a class as an argument", named("builtins.set", b"cuuid\nUUID\n\x85"), "UUID itself"),
    Invalid("an attribute", b"\x80\x03cdatetime\ndate.max\n.", "datetime.date.max is not plain"),
    Invalid("a module's other name", b"\x80\x03c_datetime\ndate\n.", "_datetime.date is not plain"),
    Invalid("a call of a value", b"\x80\x03N)R.", "REDUCE needs a name and a tuple"),
    Invalid(
        "a call with a list", b"\x80\x03cuuid\nUUID\n]\x81.", "NEWOBJ needs a name and a tuple"
    ),
    Invalid("NEWOBJ of a date", b"\x80\x03cdatetime\ndate\n)\x81.", "NEWOBJ of datetime.date"),
    Invalid("REDUCE of a UUID", named("uuid.UUID", b")"), "REDUCE of uuid.UUID"),
    Invalid("an object by its ID", b"\x80\x04NQ.", f"opcode BINPERSID {NOT_WRITTEN}"),
    Invalid("an extension", b"\x80\x02\x82\1.", f"opcode EXT1 {NOT_WRITTEN}"),
    Invalid("a name that is no text", b"\x80\x04NN\x93.", "a name that is no text"),
    Invalid("a name without an end", b"\x80\x03cdatetime", "malformed pickle"),
    Invalid("a module of 500 bytes", b"\x80\x03c" + b"x" * 500 + b"\ny\n.", "malformed pickle"),
    # Lengths, the memo, the stack.
    Invalid("LONG4, negative", b"\x80\x02\x8b\xff\xff\xff\xff.", "LONG4 of 4294967295 bytes runs"),
    Invalid("BINUNICODE of 2 GiB", b"\x80\x02X\0\0\0\x80x.", "BINUNICODE of 2147483648 bytes runs"),
    Invalid("BYTEARRAY8 of 2**63", b"\x80\x05\x96" + b"\0" * 7 + b"\x80.", "runs past the end"),
    Invalid("text that is not UTF-8", b"\x80\x04\x8c\1\xff.", "malformed pickle"),
    Invalid("BINGET of nothing", b"\x80\x04h\0.", "malformed pickle"),
    Invalid("BINPUT 1", b"\x80\x02Nq\1.", "BINPUT 1, but the next index of the memo is 0"),
    Invalid("TUPLE without a mark", b"\x80\x04Nt.", "malformed pickle"),
    Invalid("TUPLE2 of one", b"\x80\x04N\x86.", "malformed pickle"),
    Invalid("APPEND to a tuple", b"\x80\x04)Na.", "APPEND needs a list, not a tuple"),
    Invalid("SETITEMS of a list", b"\x80\x04](NNu.", "SETITEMS needs a dict, not a list"),
    Invalid("ADDITEMS to a frozenset", b"\x80\x04(\x91(N\x90.", "needs a set, not a frozenset"),
    Invalid("a key without a value", b"\x80\x04}(Nu.", "malformed pickle"),
    Invalid("a list as a key", b"\x80\x04}]Ns.", "unhashable"),
    Invalid(
        "more lists than are allowed",
        b"\x80\x04(" + b"]" * (MAX_CONTAINERS + 1) + b"t.",
        f"more than {MAX_CONTAINERS} lists, tuples, dicts and sets",
    ),
    # Arguments that Python does not write.
    Invalid(
        "a date of 3 bytes", named("datetime.date", data(b"\7\xe4\2") + b"\x85"), "malformed d"
    ),
    Invalid(
        "a 30th of February",
        named("datetime.date", data(b"\x07\xe4\x02\x1e") + b"\x85"),
        "malformed datetime.date: day is out of range for month",
    ),
    Invalid(
        "a date of a text", named("datetime.date", text("xxxx") + b"\x85"), "argument of type str"
    ),
    Invalid("a date of nothing", named("datetime.date", b")"), "malformed datetime.date"),
    Invalid(
        "a datetime of 60 seconds",
        named("datetime.datetime", data(DAY + b"\0\0\x3c\0\0\0") + b"\x85"),
        "second must be in 0..59",
    ),
    Invalid(
        "a datetime of a million microseconds",
        named("datetime.datetime", data(DAY + b"\0\0\0\x0f\x42\x40") + b"\x85"),
        "microsecond must be in 0..999999",
    ),
    Invalid(
        "a time in a timezone that is none",
        named("datetime.time", data(NOON) + b"K\1\x86"),
        "malformed datetime.time: an argument of type int",
    ),
    Invalid("a timedelta that carries", b"\x80\x03" + delta(0, 86_400, 0) + b".", "out of range"),
    Invalid("a timedelta of 10**9 days", b"\x80\x03" + delta(10**9, 0, 0) + b".", "malformed dat"),
    Invalid("a huge timedelta", b"\x80\x03" + delta(2**2000, 0, 0) + b".", "malformed datetime.t"),
    Invalid(
        "a timezone of a day", named("datetime.timezone", delta(1, 0, 0) + b"\x85"), "strictly"
    ),
    Invalid("a Decimal in letters", decimal("one"), "'one' is not the text of a Decimal"),
    Invalid("a Decimal in other digits", decimal("\u0661"), "is not the text of a Decimal"),
    Invalid("a Decimal with spaces", decimal(" 1 "), "is not the text of a Decimal"),
    Invalid("a Decimal of 10,001 digits", decimal("1" * 10_001), "10001 characters; at most 10000"),
    Invalid("a huge exponent", decimal("1E+9999999999999999999"), "malformed decimal.Decimal"),
    Invalid("a UUID of 129 bits", uuid(text("int") + integer(2**128) + b"s"), "no integer of 128"),
    Invalid("a negative UUID", uuid(text("int") + integer(-1) + b"s"), "no integer of 128 bits"),
    Invalid("a UUID of more", uuid(b"(" + text("int") + b"K\1" + text("x") + b"Nu"), "other att"),
    Invalid("a UUID without its number", b"\x80\x03cuuid\nUUID\n)\x81.", "its number is missing"),
    Invalid(
        "a UUID completed twice", uuid(text("int") + b"K\1sb}" + text("int") + b"K\1s"), "same ones"
    ),
    Invalid("a dict with attributes", b"\x80\x03}}b.", "a dict with attributes is not plain data"),
    Invalid(
        "a complex of integers", named("builtins.complex", b"K\1K\2\x86"), "argument of type int"
    ),
    Invalid(
        "bytes in UTF-16", named("_codecs.encode", text("x") + text("utf-16") + b"\x86"), "anot"
    ),
    Invalid(
        "bytes of 256", named("_codecs.encode", text("\u0100") + text("latin1") + b"\x86"), "ma"
    ),
    Invalid("bytes of a number", named("builtins.bytes", b"K\1\x85"), "malformed bytes"),
    Invalid(
        "a bytearray of a number", named("builtins.bytearray", b"K\1\x85"), "argument of type int"
    ),
    Invalid("a set of a text", named("builtins.set", text("x") + b"\x85"), "argument of type str"),
    Invalid("a set of two lists", named("builtins.set", b"]]\x86"), "malformed set"),
    Invalid(
        "an OrderedDict of pairs", named("collections.OrderedDict", b"]\x85"), "malformed coll"
    ),
]
