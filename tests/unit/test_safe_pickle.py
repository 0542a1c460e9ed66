"""The decoder of plain data: all of it, nothing else, and at a bounded cost."""

import collections
import datetime
import decimal
import fractions
import functools
import ipaddress
import itertools
import os
import pathlib
import pickle
import pickletools
import random
import struct
import sys
import tracemalloc
import uuid
import zoneinfo
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from services import safe_pickle
from services.safe_pickle import Decoder, UnpicklingError, loads, opcodes
from services.safe_pickle.decoder import MAX_CONTAINERS, MAX_OPCODES, SLICE
from services.safe_pickle.key_budget import MAX_CHOSEN, MAX_SAME_HASH
from tests.hostile import pickles

PROTO4 = pickle.PROTO + b"\4"

# Each kind of plain data, by the first protocol that can write it without a call.
SINCE_2: list[Any] = [
    None,
    True,
    False,
    *(sign * 2**bits - 1 for bits in (0, 8, 16, 31, 63, 2100) for sign in (1, -1)),
    0.1,
    -0.0,
    float("inf"),
    "",
    "x" * 255,
    "é€😀" * 100,
    "\0\r\n",
    "\ud800",
    (),
    (1,),
    (1, 2),
    (1, 2, 3),
    (1, 2, 3, 4),
    [],
    [1],
    list(range(3000)),
    {},
    {"a": 1},
    {number: str(number) for number in range(3000)},
    {(1, (2, "three")): None, 1.5: [], None: ()},
    {"nested": [{"deep": ([], {})}]},
    "x" * 100_000,
]
SINCE_3: list[Any] = [b"", b"x" * 255, bytes(range(256)), bytes(100_000), {b"key": b"value"}]
SINCE_4: list[Any] = [
    set(),
    {1, 2, 3},
    set(range(3000)),
    frozenset(),
    frozenset({1, "two", (3, frozenset({4}))}),
    frozenset(range(3000)),
    {frozenset({1}): {1}},
]
BY_PROTOCOL = {
    2: SINCE_2,
    3: SINCE_2 + SINCE_3,
    4: SINCE_2 + SINCE_3 + SINCE_4,
    5: SINCE_2 + SINCE_3 + SINCE_4,
}

# The opcodes that Python writes for plain data at the protocols 2 to 5.
PLAIN_OPCODES = """
    PROTO FRAME STOP MARK POP POP_MARK MEMOIZE BINPUT LONG_BINPUT BINGET LONG_BINGET
    NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 LONG4 BINFLOAT
    SHORT_BINUNICODE BINUNICODE BINUNICODE8 SHORT_BINBYTES BINBYTES BINBYTES8
    EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST APPEND APPENDS
    EMPTY_DICT SETITEM SETITEMS EMPTY_SET ADDITEMS FROZENSET
    BYTEARRAY8 GLOBAL STACK_GLOBAL REDUCE NEWOBJ BUILD
"""
OPCODES = {opcode.name: opcode.code.encode("latin-1") for opcode in pickletools.opcodes}
OTHER_OPCODES = {
    name: code for name, code in OPCODES.items() if name not in PLAIN_OPCODES.split()
} | {"none of pickle's": b"\xff"}


def text(value: str) -> bytes:
    """Return the opcode that pushes a short text."""
    return pickle.SHORT_BINUNICODE + bytes([len(value.encode())]) + value.encode()


def number(value: int) -> bytes:
    """Return the opcode that pushes an integer."""
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return pickle.LONG1 + bytes([len(data)]) + data


def same(left: Any, right: Any) -> bool:
    """Whether two plain values are equal, and of the same types all the way down."""
    if type(left) is not type(right):
        return False
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return same(list(left.items()), list(right.items()))
    return bool(left == right) and (isinstance(left, set | frozenset) or repr(left) == repr(right))


def is_plain(value: Any, seen: dict[int, Any] | None = None) -> bool:
    """Whether nothing but plain data is reached from a value, which may contain itself."""
    seen = {} if seen is None else seen
    if id(value) in seen:
        return True
    seen[id(value)] = value
    if type(value) in (list, tuple, set, frozenset):
        return all(is_plain(item, seen) for item in value)
    if type(value) is dict:
        return is_plain(list(value.items()), seen)
    return type(value) in (int, float, str, bytes, bool, type(None))


def test_each_opcode_has_the_code_that_pickle_gives_it() -> None:
    """And there is none but those that Python writes for plain data."""
    ours = {name: code for name, code in vars(opcodes).items() if name in OPCODES}
    assert ours == {name: OPCODES[name][0] for name in PLAIN_OPCODES.split()}


@pytest.mark.parametrize("kind", [pickle.UnpicklingError, ValueError])
def test_the_error_is_what_callers_of_pickle_catch(kind: type[Exception]) -> None:
    """And the one that the standard library raises for bad input of all sorts."""
    with pytest.raises(kind, match="malformed pickle"):
        loads(b"")


@pytest.mark.parametrize("protocol", BY_PROTOCOL)
def test_plain_data_comes_back_as_it_was(protocol: int) -> None:
    """At each protocol that writes it without a call, the type and the value survive."""
    for value in BY_PROTOCOL[protocol]:
        assert same(loads(pickle.dumps(value, protocol)), value), f"{value!r:.100}"


def test_what_is_written_can_be_read_by_every_python() -> None:
    """Our own pickles have protocol 4, and the library's reader gets the same from them."""
    for value in BY_PROTOCOL[4]:
        data = safe_pickle.dumps(value)
        assert data[:2] == PROTO4
        assert same(pickle.loads(data), value), f"{value!r:.100}"
        assert same(loads(data), value), f"{value!r:.100}"


def test_a_message_has_nothing_of_the_one_before_it() -> None:
    """Neither one that was written, small or large, nor one that was refused in the middle."""
    for value in (["text"], "text" * 10_000, [["text"] * 3, 1.5] * 5000):
        assert safe_pickle.dumps(value) == pickle.dumps(value, 4)
        with pytest.raises(ValueError, match="not plain data"):
            safe_pickle.dumps([value, "x" * 100_000, object()])
        assert safe_pickle.dumps("text") == pickle.dumps("text", 4)


def test_a_message_does_not_keep_what_was_written() -> None:
    """Else the last one would stay in memory for as long as nothing else is written."""
    for value in ({"text"}, {"text" * 10_000}):
        before = sys.getrefcount(value)
        safe_pickle.dumps(value)
        with pytest.raises(ValueError, match="not plain data"):
            safe_pickle.dumps([value, object()])
        assert sys.getrefcount(value) == before


def test_a_large_message_leaves_no_memory_taken() -> None:
    """The pickler's memo never shrinks, and to empty it takes the longer the larger it is."""
    value: list[Any] = [[] for _ in range(100_000)]
    refused = [*value, object()]
    tracemalloc.start()
    try:
        safe_pickle.dumps(value)
        with pytest.raises(ValueError, match="not plain data"):
            safe_pickle.dumps(refused)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 100_000


def test_threads_do_not_write_into_one_another() -> None:
    """Each has a pickler of its own."""
    values = [[number] * 1000 for number in range(1000)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as threads:
            written = list(threads.map(safe_pickle.dumps, values))
    finally:
        sys.setswitchinterval(interval)
    assert list(map(loads, written)) == values


@pytest.mark.parametrize("protocol", BY_PROTOCOL)
def test_the_pickler_in_python_is_understood_too(protocol: int) -> None:
    """It writes other opcodes than the one in C for some of the same values."""
    for value in BY_PROTOCOL[protocol]:
        data = pickle._dumps(value, protocol)  # type: ignore[attr-defined]
        assert same(loads(data), value), f"{value!r:.100}"


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_what_is_shared_stays_shared(protocol: int) -> None:
    """One list that is reached in two ways is still one, also far into the memo."""
    shared: list[int] = [1]
    many = [[n] for n in range(300)]
    first, second, back, again = loads(pickle.dumps([shared, shared, many, many[299]], protocol))
    assert first is second
    assert back[299] is again


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_what_contains_itself_still_does(protocol: int) -> None:
    """A list, a dict, and a tuple by way of a list."""
    items: list[Any] = []
    items.append(items)
    found = loads(pickle.dumps(items, protocol))
    assert found[0] is found
    table: dict[str, Any] = {}
    table["me"] = table
    found = loads(pickle.dumps(table, protocol))
    assert found["me"] is found
    for padding in ((), (1, 2, 3)):
        pair: tuple[Any, ...] = (*padding, [])
        pair[-1].append(pair)
        found = loads(pickle.dumps(pair, protocol))
        assert found[-1][0] is found


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(len, id="a function"),
        pytest.param(object(), id="an object"),
        pytest.param(int, id="a class"),
        pytest.param(range(3), id="a range"),
        pytest.param(ValueError("x"), id="an exception"),
        pytest.param(pathlib.PurePath("x"), id="a path"),
        pytest.param(fractions.Fraction(1, 3), id="a Fraction"),
        pytest.param(ipaddress.ip_address("::1"), id="an IP address"),
        pytest.param(zoneinfo.ZoneInfo("UTC"), id="a ZoneInfo"),
        pytest.param(collections.deque(), id="a deque"),
        pytest.param(collections.Counter(), id="a Counter"),
        pytest.param(collections.defaultdict(list), id="a defaultdict"),
        pytest.param(datetime.date, id="the class of what is plain"),
        pytest.param(functools.partial(len), id="a partial"),
        pytest.param([{"deep": (len,)}], id="a function, nested"),
    ],
)
@pytest.mark.parametrize("protocol", range(6))
def test_what_is_not_plain_is_refused(value: object, protocol: int) -> None:
    """However harmless; the error names the type, or the opcode of an old protocol."""
    names = "is not plain data"
    with pytest.raises(UnpicklingError, match=names if protocol > 1 else f"{names}|opcode"):
        loads(pickle.dumps(value, protocol))
    with pytest.raises(ValueError, match="is not plain data"):
        safe_pickle.dumps(value)


def hostile(folder: str) -> dict[str, bytes]:
    """Return pickles that make a folder, in each way in which a pickle can call a function."""
    mkdir = pickle.GLOBAL + b"os\nmkdir\n"
    path = text(folder)
    unicode = pickle.UNICODE + folder.encode() + b"\n"
    end = pickle.REDUCE + pickle.STOP
    return {
        "GLOBAL, REDUCE": PROTO4 + mkdir + path + pickle.TUPLE1 + end,
        "STACK_GLOBAL, REDUCE": (
            PROTO4 + text("os") + text("mkdir") + pickle.STACK_GLOBAL + path + pickle.TUPLE1 + end
        ),
        "INST": pickle.MARK + unicode + pickle.INST + b"os\nmkdir\n" + pickle.STOP,
        "OBJ": PROTO4 + pickle.MARK + mkdir + path + pickle.OBJ + pickle.STOP,
        "protocol 0": mkdir + pickle.MARK + unicode + pickle.TUPLE + end,
        "as a key": PROTO4 + b"}" + mkdir + path + pickle.TUPLE1 + b"RNs.",
        "before it is popped": PROTO4 + mkdir + path + pickle.TUPLE1 + b"R0N.",
        "__reduce__": pickle.dumps(Reduced(folder)),
    }


class Reduced:
    """Pickled, it is a call of os.mkdir."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize("how", hostile(""))
def test_what_a_pickle_asks_for_is_not_run(how: str, tmp_path: pathlib.Path) -> None:
    """The folder that `pickle.loads` would make is not made."""
    canary = tmp_path / "canary"
    data = hostile(str(canary))[how]
    with pytest.raises(UnpicklingError, match=r"mkdir is not plain data|opcode UNICODE is not one"):
        loads(data)
    assert not canary.exists()
    pickle.loads(data)
    assert canary.exists(), "the test's own pickle is at fault"


@pytest.mark.parametrize("opcode", OTHER_OPCODES.values(), ids=OTHER_OPCODES)
def test_every_other_opcode_is_refused(opcode: bytes) -> None:
    """Whatever stands on the stack and behind it, known to `pickle` or not."""
    for before in (b"", b"N", b"N)", b"N)}", b"(N", b"]N", b"}NN"):
        for after in (b"", b"1\n", b"\1\0\0\0\0\0\0\0x", b"os\nsystem\n"):
            with pytest.raises(UnpicklingError, match="is not one that Python writes"):
                loads(PROTO4 + before + opcode + after + pickle.STOP)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_cut_short_anywhere_is_refused(protocol: int) -> None:
    """No beginning of a pickle is one."""
    value = ["text", 2**70, 1.5, {"k": (1, 2, 3, 4)}, [True, None], 70_000, "x" * 300]
    for value_ in (value, [*value, b"bytes", {1}, frozenset({2})]) if protocol > 3 else (value,):
        data = pickle.dumps(value_, protocol)
        for end in range(len(data)):
            with pytest.raises(UnpicklingError):
                loads(data[:end])


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(PROTO4 + b"N." + b"N", id="bytes after STOP"),
        pytest.param(PROTO4 + b"N.N.", id="two pickles"),
        pytest.param(PROTO4 + b".", id="no value"),
        pytest.param(PROTO4 + b"N" + PROTO4 + b".", id="a protocol in the middle"),
        pytest.param(PROTO4 + b"NN.", id="two values"),
        pytest.param(PROTO4 + b"(N.", id="an open mark"),
        pytest.param(PROTO4 + b"Nt.", id="TUPLE without a mark"),
        pytest.param(PROTO4 + b"\x87.", id="TUPLE3 of nothing"),
        pytest.param(PROTO4 + b"Na.", id="APPEND to nothing"),
        pytest.param(PROTO4 + b")Na.", id="APPEND to a tuple"),
        pytest.param(PROTO4 + b"](NN0u.", id="SETITEMS of a list"),
        pytest.param(PROTO4 + b"}(Nu.", id="a key without a value"),
        pytest.param(PROTO4 + b"}(\x8c\1xu.", id="a text without a value"),
        pytest.param(PROTO4 + b"}]Ns.", id="a list as a key"),
        pytest.param(PROTO4 + b"\x8f(]\x90.", id="a list in a set"),
        pytest.param(PROTO4 + b"(]\x91.", id="a list in a frozenset"),
        pytest.param(PROTO4 + b"0N.", id="POP of nothing"),
        pytest.param(PROTO4 + b"(N00N1.", id="POP below a mark"),
        pytest.param(PROTO4 + b"N(0t.", id="TUPLE of less than nothing"),
        pytest.param(PROTO4 + b"h\0.", id="BINGET of nothing"),
        pytest.param(PROTO4 + b"\x94.", id="MEMOIZE of nothing"),
        pytest.param(PROTO4 + b"N(\x941.", id="MEMOIZE of a mark"),
        pytest.param(PROTO4 + b"N(N\x861.", id="TUPLE2 across a mark"),
        pytest.param(PROTO4 + b"}N(Ns1.", id="SETITEM across a mark"),
        pytest.param(PROTO4 + pickle.SHORT_BINUNICODE + b"\1\xff.", id="text that is not UTF-8"),
    ],
)
def test_a_malformed_pickle_is_refused(data: bytes) -> None:
    """No opcode takes what is not there, or puts it where it does not belong."""
    with pytest.raises(UnpicklingError):
        loads(data)


@pytest.mark.parametrize(
    "opcode",
    [
        pytest.param(getattr(pickle, name) + struct.pack(form, size), id=f"{name} of {size}")
        for name, form, sizes in (
            ("LONG4", "<i", (-1, 2**31 - 1)),
            ("BINUNICODE", "<I", (2**32 - 1,)),
            ("BINBYTES", "<I", (2**32 - 1,)),
            ("BINUNICODE8", "<Q", (2**32, 2**63 - 1, 2**64 - 1)),
            ("BINBYTES8", "<Q", (2**32, 2**63 - 1, 2**64 - 1)),
        )
        for size in sizes
    ],
)
def test_an_announced_length_past_the_end_is_refused(opcode: bytes) -> None:
    """No memory is reserved for what is not there."""
    with pytest.raises(UnpicklingError, match="runs past the end"):
        loads(PROTO4 + opcode + b"x.")


@pytest.mark.parametrize("opcode", [pickle.BINPUT + b"\1", pickle.LONG_BINPUT + b"\xff" * 4])
def test_the_memo_cannot_be_made_to_grow(opcode: bytes) -> None:
    """Only the next index is accepted: a forged one is a size to reserve."""
    with pytest.raises(UnpicklingError, match="the next index of the memo"):
        loads(PROTO4 + b"N" + opcode + b".")


TOO_EXPENSIVE = "too long to hash and compare"


def doubling(levels: int, empty: bytes = b")") -> bytes:
    """Return opcodes for a tuple that has the one before twice, and so on: 2**levels leaves."""
    step = b"\x94h%c\x86"
    return empty + b"".join(step % level for level in range(levels))


def test_keys_that_are_expensive_to_hash_are_refused() -> None:
    """A key of 2**30 leaves takes 120 bytes, and hours; in a value it costs nothing."""
    assert loads(PROTO4 + doubling(30) + b".")
    with pytest.raises(UnpicklingError, match=TOO_EXPENSIVE):
        loads(PROTO4 + b"}" + b"\x94" + doubling(30).replace(b"h\0", b"h\1") + b"Ns.")
    for container in (b"\x8f(%b\x90.", b"(%b\x91."):
        with pytest.raises(UnpicklingError, match=TOO_EXPENSIVE):
            loads(PROTO4 + container % doubling(30))
    large = pickle.LONG4 + struct.pack("<i", 100_000) + b"\1" * 100_000 + b"\x94"
    with pytest.raises(UnpicklingError, match=TOO_EXPENSIVE):
        loads(PROTO4 + b"(" + large + b"(" + b"h\0" * 100_000 + b"t" + b"\x91.")


def test_keys_that_nest_deep_are_refused() -> None:
    """Hashing is recursive."""
    assert loads(PROTO4 + b"})" + b"\x85" * 49 + b"Ns.")
    with pytest.raises(UnpicklingError, match="nested deeper than 50"):
        loads(PROTO4 + b"})" + b"\x85" * 50 + b"Ns.")
    with pytest.raises(UnpicklingError, match="nested deeper than 50"):
        loads(PROTO4 + b"})" + b"\x85" * 10_000 + b"Ns.")


def test_a_large_message_does_not_buy_an_hour_of_hashing() -> None:
    """A short key of 4,000 leaves, 10,000 times, behind bytes that would pay for them."""
    padding = pickle.BINBYTES + struct.pack("<I", 15_000_000) + bytes(15_000_000)
    keys = doubling(12) + b"\x94" + b"h\x0c" * 10_000
    with pytest.raises(UnpicklingError, match=TOO_EXPENSIVE):
        loads(PROTO4 + b"(" + padding + b"(" + keys + b"\x91t.")


@pytest.mark.parametrize("opcode", [pickle.BINUNICODE, pickle.BINBYTES])
def test_long_texts_that_are_equal_are_refused_as_keys(opcode: bytes) -> None:
    """Each time that the second one is looked up it is compared with the first, to the end."""
    long = opcode + struct.pack("<I", 1_000_000) + bytes(1_000_000)
    once = PROTO4 + b"}(" + long + b"N" + long + b"\x94N%bu."
    assert len(loads(once % b"")) == 1
    with pytest.raises(UnpicklingError, match=f"{TOO_EXPENSIVE}|the keys of the pickle collide"):
        loads(once % (b"h\0N" * 1000))
    with pytest.raises(UnpicklingError, match="keys of a dict or set have the same hash"):
        loads(once % (b"h\0h\0h\0\x87N" * 1000))


@pytest.mark.parametrize("opcode", [pickle.BINUNICODE, pickle.BINUNICODE8])
def test_long_texts_are_paid_for_in_small_dicts_too(opcode: bytes) -> None:
    """Short ones cost nothing there; two long ones that are equal are compared in each dict."""
    size = struct.pack("<Q" if opcode == pickle.BINUNICODE8 else "<I", 1_000_000)
    long = opcode + size + bytes(1_000_000) + b"\x94"
    for count, refused in ((100, False), (1000, True)):
        data = PROTO4 + b"(" + long * 2 + b"}(h\0Nh\1Nu0" * count + b"t."
        found = outcome(loads, data)
        assert (TOO_EXPENSIVE in found[1]) is refused
        assert found[0] == ("error" if refused else "value")


def test_keys_that_are_expensive_to_compare_are_refused() -> None:
    """Equal in all but their last part, of one hash, and no part of one is the other's."""

    def key(number: int, levels: int) -> bytes:
        start = number * (levels + 1)
        tree = b"\x8c\1x\x94" + b"".join(
            b"h%c\x86\x94" % (start + level) for level in range(levels)
        )
        return tree + b"J" + struct.pack("<i", -1 - number) + b"\x86N"

    table = PROTO4 + b"}(" + text("x" * 200) + b"N%b%bu."
    _, *found = loads(table % (key(0, 7), key(1, 7)))
    assert hash(found[0]) == hash(found[1])
    with pytest.raises(UnpicklingError, match=TOO_EXPENSIVE):
        loads(table % (key(0, 8), key(1, 8)))


def test_a_table_of_many_tuples_is_accepted() -> None:
    """Thousands of keys whose hashes differ cost little, even if a few share one."""
    table = {(x, y): None for x in range(-50, 50) for y in range(-50, 50)}
    assert loads(safe_pickle.dumps(table)) == table


def alike(kind: str) -> list[bytes]:
    """Return the opcodes of distinct keys that all have one hash."""
    if kind == "integers":  # CPython reduces them modulo 2**61 - 1
        return [number(n * (2**61 - 1)) for n in range(1, MAX_SAME_HASH + 2)]
    signs = itertools.islice(itertools.product((-1, -2), repeat=7), MAX_SAME_HASH + 1)
    return [b"(" + b"".join(map(number, key)) + b"t" for key in signs]  # hash(-1) == hash(-2)


@pytest.mark.parametrize("kind", ["integers", "tuples"])
@pytest.mark.parametrize("form", ["dict", "dict, one by one", "set", "frozenset"])
def test_keys_made_to_collide_are_refused(kind: str, form: str) -> None:
    """Each would be compared with all the others: n of them cost n**2."""

    def data(keys: list[bytes]) -> bytes:
        if form == "dict":
            return PROTO4 + b"}(" + b"".join(key + b"N" for key in keys) + b"u."
        if form == "dict, one by one":
            return PROTO4 + b"}" + b"".join(key + b"Ns" for key in keys) + b"."
        return PROTO4 + (b"\x8f(%b\x90." if form == "set" else b"(%b\x91.") % b"".join(keys)

    keys = alike(kind)
    found = loads(data(keys[:-1]))
    assert len({hash(key) for key in found}) == 1
    assert len(found) == MAX_SAME_HASH
    with pytest.raises(UnpicklingError, match="have the same hash"):
        loads(data(keys))


def test_keys_whose_hash_the_sender_chooses_are_counted() -> None:
    """Of all dicts and sets together: functions may look up those of one in another."""
    half = range(MAX_CHOSEN // 2)
    value: list[Any] = [set(half), dict.fromkeys(half)]
    assert loads(safe_pickle.dumps(value)) == value
    with pytest.raises(UnpicklingError, match=f"more than {MAX_CHOSEN} keys that are not text"):
        loads(safe_pickle.dumps([*value, {1.5}]))


rng = random.Random(30_000)  # noqa: S311 - the same keys each time
ZONE = datetime.timezone(datetime.timedelta(hours=2))
HONEST: dict[str, list[Any]] = {
    "30,000 numbers": list(range(30_000)),
    "as many as are allowed": list(range(MAX_CHOSEN)),
    "negative numbers": list(range(-30_000, 0)),
    "multiples of 1000": [1000 * n for n in range(30_000)],
    "multiples of a power of 2": [n << 40 for n in range(30_000)],
    "random numbers": [rng.getrandbits(63) for _ in range(30_000)],
    "larger numbers": [rng.getrandbits(200) for _ in range(10_000)],
    "floats": [rng.random() for _ in range(30_000)],
    "tuples": [(x, y) for x in range(100) for y in range(100)],
    "datetimes": [datetime.datetime.fromtimestamp(60 * n, ZONE) for n in range(10_000)],
    "Decimals": [decimal.Decimal(n) / 100 for n in range(10_000)],
    "UUIDs": [uuid.UUID(int=rng.getrandbits(128)) for _ in range(10_000)],
}


@pytest.mark.parametrize("keys", HONEST.values(), ids=HONEST)
@pytest.mark.parametrize("kind", [dict.fromkeys, set], ids=["dict", "set"])
def test_many_keys_that_nobody_chose_to_collide_are_accepted(
    keys: list[Any], kind: Callable[[Any], Any]
) -> None:
    """Whether they are in order or at random, dense or far apart, and of whatever type."""
    value = kind(keys)
    assert loads(safe_pickle.dumps(value)) == value


def test_keys_that_are_in_each_others_way_are_refused() -> None:
    """They take seconds; the error comes when a fraction of that has passed."""
    keys = pickles.colliding_keys(2**17)
    assert len(set(map(hash, keys))) == len(keys)
    decoder = Decoder(pickles.collision_bomb())
    decoder.step(MAX_OPCODES)  # up to the keys
    (table,) = decoder.stack
    with pytest.raises(UnpicklingError, match=r"the keys of the pickle collide: .* 0\.\d\d s"):
        decoder.step(MAX_OPCODES)
    assert len(table) < len(keys)


@pytest.mark.parametrize("kind", [dict.fromkeys, set, frozenset], ids=["dict", "set", "frozenset"])
def test_the_same_key_in_many_containers_is_no_collision(kind: Callable[[Any], Any]) -> None:
    """What is counted is counted in each dict or set for itself."""
    value = [kind([(1, (number,)), 2**70]) for number in [5] * 3 * MAX_SAME_HASH]
    assert loads(safe_pickle.dumps(value)) == value
    assert stepped(safe_pickle.dumps(value), 1) == value


def test_deep_nesting_is_no_recursion() -> None:
    """Lists nest as deep as the message is long."""
    value = loads(PROTO4 + b"]" * 100_000 + b"a" * 99_999 + b".")
    depth = 1
    while value:
        (value,) = value
        depth += 1
    assert depth == 100_000


@pytest.mark.parametrize(
    "opcode", [b"]", b"}", b"\x8f", b"N\x85", b"NN\x86", b"NNN\x87", b"()t", b"(\x91"]
)
def test_containers_are_counted(opcode: bytes) -> None:
    """An empty set is one byte on the wire and 216 in memory."""
    with pytest.raises(UnpicklingError, match=f"more than {MAX_CONTAINERS} lists"):
        loads(PROTO4 + b"(" + opcode * (MAX_CONTAINERS + 1) + b"t.")


@pytest.mark.parametrize("last", [b"]", b"(\x91", b")\x85"])
def test_a_message_may_have_as_many_containers_as_the_limit_says(last: bytes) -> None:
    """And not one more, where it is the last one either."""
    lists = b"]" * (MAX_CONTAINERS - 2)
    assert len(loads(PROTO4 + b"](" + lists + last + b"e.")) == MAX_CONTAINERS - 1
    with pytest.raises(UnpicklingError, match=f"more than {MAX_CONTAINERS} lists"):
        loads(PROTO4 + b"](]" + lists + last + b"e.")


def test_open_marks_are_counted() -> None:
    """One byte on the wire is an empty list of 56 bytes in memory."""
    nested = PROTO4 + b"](" * MAX_CONTAINERS + b"e" * MAX_CONTAINERS + b"."
    assert type(loads(nested)) is list
    with pytest.raises(UnpicklingError, match=f"more than {MAX_CONTAINERS} open marks"):
        loads(PROTO4 + b"(" * (MAX_CONTAINERS + 1) + b"1" * (MAX_CONTAINERS + 1) + b"N.")


@pytest.mark.parametrize("budget", [999, MAX_OPCODES])
def test_opcodes_are_counted(budget: int) -> None:
    """One byte on the wire is a pointer of eight in memory."""
    data = PROTO4 + b"N" + b"N0" * (MAX_OPCODES // 2 - 1)
    assert stepped(data + b".", budget) is None
    with pytest.raises(UnpicklingError, match=f"more than {MAX_OPCODES} opcodes"):
        stepped(data + b"\x94.", budget)


def stepped(data: bytes, budget: int) -> Any:
    """Decode in steps of `budget`, each of which does something."""
    decoder = Decoder(data)
    for _ in range(100 + 4 * MAX_OPCODES // budget):
        if decoder.step(budget):
            return decoder.result
    raise AssertionError("no end")


def outcome(decode: Callable[..., Any], *args: Any) -> tuple[str, Any]:
    """Return the value as Python writes it, or the error."""
    try:
        return "value", written(decode(*args))
    except UnpicklingError as error:
        return "error", str(error)


def written(value: Any) -> str:
    """Return what tells a value from another one; of one that nests too deep the type only."""
    try:
        return repr(value)
    except RecursionError:
        return f"a deep {type(value).__name__}"


def huge_sets() -> list[bytes]:
    """Return messages in which one opcode inserts many times a SLICE, and ones that may not."""
    texts = b"".join(text(f"{n:05}") for n in range(5 * SLICE + 2))
    numbers = b"".join(map(number, range(5 * SLICE + 2)))
    bad = numbers + b"]]" + numbers
    forms = (b"}(%bu.", b"\x8f(%b\x90.", b"(%b\x91.", b"(%bN\x91.", b"}(%bNu.", b"(%b\x91\x85.")
    return [PROTO4 + form % items for items in (texts, numbers, bad) for form in forms]


def samples(folder: str) -> list[bytes]:
    """Return valid and hostile messages, and mutations of them."""
    valid = [
        pickle.dumps(value, protocol)
        for protocol, values in BY_PROTOCOL.items()
        for value in values
        if len(repr(value)) < 10_000
    ]
    mutated = pickles.mutated(random.Random(5), folder)  # noqa: S311 - the same ones each time
    return [
        *valid,
        *hostile(folder).values(),
        *pickles.programs(folder),
        *pickles.LENGTHS,
        *itertools.islice(mutated, 2000),
    ]


def test_steps_of_any_size_give_what_loads_gives(tmp_path: pathlib.Path) -> None:
    """The same value or the same error, wherever the steps end."""
    kinds = set()
    for data in samples(str(tmp_path / "canary")):
        expected = outcome(loads, data)
        kinds.add(expected[0])
        for budget in (1, 2, 3, 7, 64, 1000):
            assert outcome(stepped, data, budget) == expected, (budget, data[:200])
    assert kinds == {"value", "error"}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("budget", [3, 64, 5000])
def test_steps_give_what_loads_gives_for_large_messages_too(budget: int) -> None:
    """Bombs, and containers that are filled by several steps."""
    large = [pickle.dumps(list(range(10_000))), pickle.dumps({n: [n] for n in range(5000)})]
    for data in (*huge_sets(), *large, *pickles.BOMBS):
        assert outcome(stepped, data, budget) == outcome(loads, data), data[:100]


def test_a_decoder_shows_its_state_between_steps() -> None:
    """Its stack, its memo and how far it is."""
    decoder = Decoder(PROTO4 + b"](" + text("a") + b"\x94Ne.")
    seen = []
    while not decoder.step(1):
        seen.append((decoder.at, repr(decoder.stack), repr(decoder.memo)))
    assert seen == [
        (3, "[[]]", "[]"),
        (4, "[]", "[]"),
        (7, "['a']", "[]"),
        (8, "['a']", "['a']"),
        (9, "['a', None]", "['a']"),
        (10, "[['a', None]]", "['a']"),
    ]
    assert decoder.result == ["a", None]


def lines_of_steps(data: bytes, budget: int) -> list[int]:
    """Return how many lines of Python each step runs, up to the value or the error."""
    lines = 0

    def trace(*_: object) -> Callable[..., Any]:
        nonlocal lines
        lines += 1
        return trace

    decoder, counts, before = Decoder(data), [], sys.gettrace()
    try:
        done = False
        while not done:
            lines = 0
            sys.settrace(trace)
            done = decoder.step(budget)
            sys.settrace(before)
            counts.append(lines)
    except UnpicklingError:
        counts.append(lines)
    finally:
        sys.settrace(before)
    return counts


EXPENSIVE = {
    "many opcodes": b"(" + b"N" * 60_000 + b"t.",
    "a dict of numbers": b"}(" + b"".join(map(number, range(40_000))) + b"u.",
    "a set of numbers": b"\x8f(" + b"".join(map(number, range(20_000))) + b"\x90.",
    "a frozenset of numbers": b"(" + b"".join(map(number, range(20_000))) + b"\x91.",
    "a dict of tuples, one by one": (
        b"}" + b"".join(number(n) + b"(" + b"N" * 18 + b"t\x86Ns" for n in range(2000)) + b"."
    ),
    "small lists that fill one": b"](" + (b"]" + b"(NNe") * 5000 + b"e.",
}


@pytest.mark.parametrize("data", EXPENSIVE.values(), ids=EXPENSIVE)
@pytest.mark.parametrize("budget", [10, 1000])
def test_the_work_of_a_step_is_bounded_by_its_budget(data: bytes, budget: int) -> None:
    """No step runs more lines than those of its opcodes, its keys, and one slice of keys."""
    counts = lines_of_steps(PROTO4 + data, budget)
    assert max(counts) < 40 * (2 * budget + SLICE)
    assert len(counts) >= len(data) / 20 / budget


@pytest.mark.parametrize("form", [b"}(%bu.", b"\x8f(%b\x90.", b"(%b\x91."])
def test_a_large_container_is_filled_by_several_steps(form: bytes) -> None:
    """Each inserts a slice of the items, when the budget is no larger."""
    items = b"".join(text(f"{n:05}") for n in range(10 * SLICE))
    decoder = Decoder(PROTO4 + form % items)
    sizes = []
    while not decoder.step(SLICE):
        if decoder.inserting:
            sizes.append(len(decoder.stack[-1]))
    per_slice = SLICE // 2 if form.startswith(b"}") else SLICE
    assert sizes == list(range(0, 10 * per_slice + 1, per_slice))
    assert len(decoder.result) == 10 * per_slice


@pytest.mark.parametrize("form", [b"](%be", b"}(%bu", b"\x8f(%b\x90", b"(%b\x91", b"(%bt"])
def test_the_items_of_many_small_containers_count_as_work(form: bytes) -> None:
    """Else a step would handle all that the steps before it have put on the stack."""
    begin, end = form.split(b"%b")
    nested = (begin + b"h\0" * 100) * 500
    decoder = Decoder(PROTO4 + b"\x8c\1x\x94" + nested + (end + b"0") * 499 + end + b"\x86.")
    marks = []
    while not decoder.step(250):
        marks.append(len(decoder.marks))
    assert max(before - after for before, after in itertools.pairwise(marks)) == 3


def test_the_cost_of_keys_counts_as_work() -> None:
    """300 keys of a hundred leaves are 30 steps of a thousand units."""
    padding = pickle.BINBYTES + struct.pack("<I", 10_000) + bytes(10_000)
    shared = b"(" + b"N" * 97 + b"t\x94"
    keys = b"".join(b"h\0" + number(n) + b"\x86Ns" for n in range(300))
    decoder = Decoder(PROTO4 + b"(" + padding + shared + b"}" + keys + b"t.")
    steps = 1
    while not decoder.step(1000):
        steps += 1
    assert 28 <= steps <= 34


def test_the_bytes_of_large_texts_count_as_work() -> None:
    """A step of 1,000 units copies ten texts of 100 KB, and not a thousand."""
    large = pickle.BINUNICODE + struct.pack("<I", 100_000) + b"x" * 100_000
    decoder = Decoder(PROTO4 + b"(" + large * 50 + b"t.")
    lengths = []
    while not decoder.step(1000):
        lengths.append(len(decoder.stack))
    assert lengths == [10, 20, 30, 40, 50]


def test_mutations_are_plain_data_or_refused() -> None:
    """Whatever single bytes are changed, nothing else is raised and nothing else comes out."""
    rng = random.Random(20000)  # noqa: S311 - the same mutations each time
    corpus = [
        pickle.dumps(value, protocol)
        for protocol in (2, 3, 4, 5)
        for value in (
            ["hello", 42, -(2**70), 0.1, {"a": (1, 2, 3, 4)}, [None, True, ()]],
            {(1, 2): [b"bytes"], "set": {1, 2}, "f": frozenset({"x"})},
            [[["shared"]] * 3, {"k": {"k": {}}}],
        )
    ]
    decoded = 0
    for _ in range(5000):
        data = bytearray(rng.choice(corpus))
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(data))
            match rng.randrange(3):
                case 0:
                    data[at] = rng.randrange(256)
                case 1:
                    data.insert(at, rng.choice(b"(N]}).0128abhtsu\x85\x86\x87\x8f\x90\x91\x94"))
                case 2:
                    del data[at]
        try:
            value = loads(bytes(data))
        except UnpicklingError:
            continue
        decoded += 1
        assert is_plain(value)
    assert decoded > 100, "the mutations are too rough to test anything"
