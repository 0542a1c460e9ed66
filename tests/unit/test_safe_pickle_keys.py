"""What the keys of dicts and sets may cost the decoder: hashes, comparisons, collisions."""

import datetime
import decimal
import itertools
import pickle
import random
import struct
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from services import safe_pickle
from services.safe_pickle import Decoder, UnpicklingError, loads
from services.safe_pickle.decoder import MAX_OPCODES
from services.safe_pickle.key_budget import MAX_CHOSEN, MAX_SAME_HASH
from tests.hostile import pickles
from tests.unit.pickle_samples import PROTO4, number, outcome, stepped, text

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
    with pytest.raises(UnpicklingError, match=TOO_EXPENSIVE):
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
        start = PROTO4 + padding
        if form == "dict":
            return start + b"}(" + b"".join(key + b"N" for key in keys) + b"u."
        if form == "dict, one by one":
            return start + b"}" + b"".join(key + b"Ns" for key in keys) + b"."
        return start + (b"\x8f(%b\x90." if form == "set" else b"(%b\x91.") % b"".join(keys)

    # So that it is not the cost of comparing them that is refused.
    padding = pickle.BINBYTES + struct.pack("<I", 10_000) + bytes(10_000) + pickle.POP
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
    "a grid around zero": list(itertools.product(range(-2, 3), repeat=5)),
    "a grid below zero": list(itertools.product(range(-3, 0), repeat=6)),
    "powers of 2": [1 << n for n in range(1400)],
    "powers of 2 as floats": [2.0**n for n in range(-1022, 1024)],
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


def test_nobody_chooses_where_keys_are_counted() -> None:
    """By numbers, or tuples of them, keys could collide that do not where they belong.

    Those of 855 KB took 4.5 s so, and 0.15 s as bytes, whose hashes are random (PEP 456).
    """
    decoder = Decoder(safe_pickle.dumps(frozenset(2**62 + n for n in range(10))))
    decoder.step(MAX_OPCODES)
    assert decoder.keys
    assert list(map(type, decoder.keys._same_hash)) == [bytes] * 10


@pytest.mark.parametrize("kind", [dict.fromkeys, set, frozenset], ids=["dict", "set", "frozenset"])
def test_the_same_key_in_many_containers_is_no_collision(kind: Callable[[Any], Any]) -> None:
    """What is counted is counted in each dict or set for itself."""
    value = [kind([(1, (number,)), 2**70]) for number in [5] * 3 * MAX_SAME_HASH]
    assert loads(safe_pickle.dumps(value)) == value
    assert stepped(safe_pickle.dumps(value), 1) == value
