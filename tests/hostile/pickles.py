"""Hostile messages: pickles that run code, that take memory or time, and mutated ones."""

import pickle
import struct
from collections import OrderedDict
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

from services.connection import frames

MIB = 1024 * 1024


def text(value: str) -> bytes:
    """Return the opcode that pushes a short text."""
    return pickle.SHORT_BINUNICODE + bytes([len(value.encode())]) + value.encode()


def programs(folder: str) -> list[bytes]:
    """Return pickles that make a folder, or would call something else of the server's."""
    mkdir = pickle.GLOBAL + b"os\nmkdir\n"
    path = text(folder)
    call = path + pickle.TUPLE1 + pickle.REDUCE
    line = pickle.UNICODE + folder.encode() + b"\n"
    return [
        pickle.PROTO + b"\4" + mkdir + call + pickle.STOP,
        pickle.PROTO + b"\4" + text("os") + text("mkdir") + pickle.STACK_GLOBAL + call + b".",
        mkdir + pickle.MARK + line + pickle.TUPLE + pickle.REDUCE + pickle.STOP,
        pickle.MARK + line + pickle.INST + b"os\nmkdir\n" + pickle.STOP,
        pickle.MARK + mkdir + path + pickle.OBJ + pickle.STOP,
        pickle.GLOBAL + b"pathlib\nPath\n" + path + pickle.TUPLE1 + pickle.NEWOBJ + pickle.STOP,
        pickle.EMPTY_DICT + mkdir + call + pickle.NONE + pickle.SETITEM + pickle.STOP,
        pickle.NONE + mkdir + call + pickle.POP + pickle.STOP,
        pickle.EXT1 + b"\1" + call + pickle.STOP,
        pickle.PERSID + folder.encode() + b"\n" + pickle.STOP,
        path + pickle.BINPERSID + pickle.STOP,
        pickle.GLOBAL
        + b"services.runtime\nSettingError\n"
        + pickle.EMPTY_DICT
        + pickle.BUILD
        + pickle.STOP,
    ]


def memo_bomb(index: int) -> bytes:
    """Return nine bytes for which `pickle.loads` makes room for twice `index` pointers."""
    return pickle.PROTO + b"\4" + pickle.NONE + pickle.LONG_BINPUT + struct.pack("<I", index) + b"."


def hash_bomb(levels: int) -> bytes:
    """Return a dict with one key: a tuple that has the one before twice, and so on."""
    key = pickle.EMPTY_TUPLE + (pickle.DUP + pickle.TUPLE2) * levels
    return pickle.EMPTY_DICT + key + pickle.NONE + pickle.SETITEM + pickle.STOP


def hash_bomb_by_memo(levels: int) -> bytes:
    """Return the same without DUP, which no pickler writes."""
    key = pickle.EMPTY_TUPLE + pickle.MEMOIZE
    for level in range(levels):
        key += pickle.BINGET + bytes([level]) + pickle.TUPLE2 + pickle.MEMOIZE
    return pickle.EMPTY_DICT + key + pickle.NONE + pickle.SETITEM + pickle.STOP


def colliding_keys(places: int) -> list[int]:
    """Return integers that are in each other's way in the table of a dict with so many places.

    A power of 2; the table has as many for a third to two thirds as many keys. No two have the same
    hash. The first ones take the places on one path through the table, in which 5 * place + 1
    follows a place. The others come upon that path, and have to follow it to its end (CPython,
    Objects/dictobject.c, "the basic lookup").
    """
    path, place = [], 0
    for _ in range(places // 2):
        path.append(place)
        place = (5 * place + 1) % places
    position = dict(zip(path, range(len(path)), strict=True))
    others: list[int] = []
    for key in range(places, 512 * places):
        perturb, place = key, key % places
        while perturb and place in position:
            perturb >>= 5
            place = (5 * place + perturb + 1) % places
        if position.get(place, places) < len(path) // 2:
            others.append(key)
            if len(others) == places // 8:
                return [*path, *others]
    raise ValueError(f"no such keys for {places} places")


def collision_bomb() -> bytes:
    """Return a dict of 81,920 such keys, for which `pickle.loads` takes seconds."""
    keys = colliding_keys(2**17)
    items = b"".join(pickle.dumps(key, 2)[2:-1] + pickle.NONE for key in keys)
    return pickle.EMPTY_DICT + pickle.MARK + items + pickle.SETITEMS + pickle.STOP


def copying_bomb() -> bytes:
    """Return 100 bytearrays that are made of the same 4 MiB."""
    data = pickle.BINBYTES + struct.pack("<I", 4 * MIB) + bytes(4 * MIB)
    arguments = data + pickle.TUPLE1 + pickle.BINPUT + b"\0"
    name = pickle.GLOBAL + b"builtins\nbytearray\n" + pickle.BINPUT + b"\1"
    made = pickle.BINGET + b"\1" + pickle.BINGET + b"\0" + pickle.REDUCE
    items = arguments + pickle.POP + name + pickle.POP + made * 100
    return pickle.EMPTY_LIST + pickle.MARK + items + pickle.APPENDS + pickle.STOP


def sets_bomb() -> bytes:
    """Return 90,000 sets that are made of the same list of 90,000 texts."""
    members = b"".join(text(str(number)) for number in range(90_000))
    texts = pickle.EMPTY_LIST + pickle.MARK + members + pickle.APPENDS
    arguments = texts + pickle.TUPLE1 + pickle.BINPUT + b"\0"
    name = pickle.GLOBAL + b"builtins\nset\n" + pickle.BINPUT + b"\1"
    made = pickle.BINGET + b"\1" + pickle.BINGET + b"\0" + pickle.REDUCE
    items = arguments + pickle.POP + name + pickle.POP + made * 90_000
    return pickle.EMPTY_LIST + pickle.MARK + items + pickle.APPENDS + pickle.STOP


def decimal_bomb() -> bytes:
    """Return a call that adds a Decimal to an integer of 2 MiB, which takes minutes."""
    name = pickle.GLOBAL + b"decimal\nDecimal\n"
    one = name + text("1") + pickle.TUPLE1 + pickle.REDUCE
    large = pickle.LONG4 + struct.pack("<I", 2 * MIB) + b"\1" * 2 * MIB
    call = text("add") + one + large + pickle.TUPLE2 + pickle.EMPTY_DICT + pickle.TUPLE3
    return pickle.PROTO + b"\4" + call + pickle.STOP


BOMBS = [
    memo_bomb(2**27),  # 2 GiB
    hash_bomb(26),
    hash_bomb_by_memo(26),
    pickle.MARK * MIB,
    pickle.EMPTY_SET * MIB,  # 216 MiB, if nothing counts them
    pickle.EMPTY_LIST * (MIB - 1) + pickle.STOP,
    pickle.BINUNICODE8 + struct.pack("<Q", 2**62) + b"x.",
    pickle.BYTEARRAY8 + struct.pack("<Q", 2**40) + b"x.",
    pickle.LONG4 + struct.pack("<I", 2**31 - 1) + b".",
    copying_bomb(),
    sets_bomb(),
    decimal_bomb(),
]

# Lengths that announce too much or less than nothing; -1 is followed by one of 64 bits.
LENGTHS = [
    struct.pack("!i", 2**31 - 1),
    struct.pack("!i", -2),
    struct.pack("!iQ", -1, 2**40),
    struct.pack("!iQ", -1, 4) + b"N.",
]

ZONE = timezone(timedelta(hours=5, minutes=30), "India")
VALUES: list[Any] = [
    ["hello", 42, -(2**70), 0.1, {"a": (1, 2, 3, 4)}, [None, True, ()]],
    ("add", (2, 3), {}),
    ("echo", ([1, (2.5, None)],), {}),
    ("sub", ([1, 2], 4), {"x": 3}),
    {number: str(number) for number in range(20)},
    [[["shared"]] * 3, {"k": {"k": {}}}, float("nan"), "é€😀" * 10, "x" * 300],
]
BINARY: list[Any] = [
    {(1, 2): [b"bytes"], "set": {1, 2}, "f": frozenset({"x"})},
    [b"x" * 300, b"", {b"key": [b"value"]}, pickle.dumps(("add", (2, 3), {}))],
    [datetime(2020, 2, 29, 1, 2, 3, 4, ZONE), date(2020, 2, 29), time(1, 2, fold=1), ZONE],
    {UUID(int=2**100): Decimal("-1.20E+5"), UUID(int=1): 1 + 2j},
    [bytearray(b"xyz"), OrderedDict([("b", 1), ("a", OrderedDict())]), timedelta(1, 2, 3)],
]
SPLICES = b"(N]}).0128abhtsuqrjK\x85\x86\x87\x8a\x8c\x8f\x90\x91\x94\x95cRioP\x81\x82\x93"


def mutated(random: Random, folder: str) -> Iterator[bytes]:
    """Yield messages without end: valid ones and programs with changes, and opcodes at random."""
    valid = [
        pickle.dumps(value, protocol) for protocol in (2, 3, 4, 5) for value in VALUES + BINARY
    ]
    opcodes = [
        value for name, value in vars(pickle).items() if name.isupper() and type(value) is bytes
    ]
    named = programs(folder)
    while True:
        kind = random.random()
        if kind < 0.15:
            yield b"".join(random.choices(opcodes, k=random.randint(1, 30))) + pickle.STOP
            continue
        data = bytearray(random.choice(named if kind < 0.3 else valid))
        for _ in range(random.randint(0, 4)):
            at = random.randrange(len(data))
            match random.randrange(5):
                case 0:
                    data[at] = random.randrange(256)
                case 1:
                    data.insert(at, random.choice(SPLICES))
                case 2 if len(data) > 1:
                    del data[at]
                case 3:
                    data[at:at] = random.choice(valid)[: random.randint(1, 40)]
                case 4:
                    del data[max(1, at) :]
        yield bytes(data)


def broken_frame(random: Random) -> bytes:
    """Return the end of a stream: a header that is wrong, or a message that stops in the middle."""
    message = pickle.dumps(random.choice(VALUES), 4)
    size = random.choice((-1, -2, 2**31 - 1, len(message) - 1, len(message) + 1, 2**24 + 1))
    return (frames.HEADER.pack(size) + message)[: random.randint(1, len(message) + 4)]
