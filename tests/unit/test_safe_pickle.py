"""The decoder of plain data: all of it, nothing else, and at a bounded cost."""

import collections
import datetime
import fractions
import functools
import ipaddress
import pathlib
import pickle
import pickletools
import random
import struct
import sys
import tracemalloc
import zoneinfo
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from services import safe_pickle
from services.safe_pickle import UnpicklingError, loads, opcodes
from tests.unit.pickle_samples import BY_PROTOCOL, PROTO4, hostile

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
