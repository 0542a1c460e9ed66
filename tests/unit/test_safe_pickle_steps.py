"""The decoder's limits on a message as a whole, and its work in steps that are bounded."""

import itertools
import pathlib
import pickle
import random
import struct
import sys
from collections.abc import Callable
from typing import Any

import pytest

from services.safe_pickle import Decoder, UnpicklingError, loads
from services.safe_pickle.decoder import MAX_CONTAINERS, MAX_OPCODES, SLICE
from tests.hostile import pickles
from tests.unit.pickle_samples import BY_PROTOCOL, PROTO4, hostile, number, outcome, stepped, text


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
