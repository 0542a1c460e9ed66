"""What a message says: pickles of plain data, decoded without running what they ask for.

A pickle is a program for a small stack machine, and `pickle.loads` runs it: opcodes such as
GLOBAL and REDUCE import and call anything. So what comes from a peer is never given to
`pickle.loads` here. This decoder knows the opcodes that build plain data, and no others: None,
bool, int, float, str, bytes, list, tuple, dict, set and frozenset, nested as one likes (the
opcodes are described in CPython, Lib/pickletools.py; those that Python writes at the protocols 2
to 5 for plain data).

Opcodes alone are not harmless either, hence three limits. Memory: an empty set is one byte on
the wire and 216 in memory, so opcodes and containers are counted. The memo: an index may only be
the next one, where `pickle.loads` allocates as much as a forged index says. Hashing: a tuple that
holds the one before twice doubles what hashing it costs with each two bytes, so keys are paid
for, as the tree they unfold to, from a budget as large as the message. And a dict compares a key
with all that it meets on the way to a free place: the hashes of text and bytes are random, those
of numbers and tuples their sender's choice (tuples of -1 and -2 all have one), so of these there
may not be too many, few alike, and each is paid for once more for every one that it is like.
"""

import pickle
import struct
import threading
from collections.abc import Callable, Iterable
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")

MAX_OPCODES = 1_000_000
MAX_CONTAINERS = 100_000
MAX_KEY_COST = 200_000
MAX_KEY_DEPTH = 50
MAX_ALIKE = 20  # keys of one dict or set that have the same hash
MAX_CHOSEN = 20_000  # keys of one message whose hash its sender can choose

STEPS = range(MAX_OPCODES)
SMALL = 4096  # bytes
LONG_TEXT = 1000  # characters that are compared in the time that a small key takes


class Refused(ValueError):
    """The bytes are not a pickle of plain data, or of data that costs more than it may."""


OPCODE = {
    name: code[0]
    for name, code in vars(pickle).items()
    if name.isupper() and isinstance(code, bytes) and len(code) == 1
}
NAME = {code: name for name, code in OPCODE.items()}

PROTO, FRAME, STOP, MARK, POP, POP_MARK = map(
    OPCODE.__getitem__, ("PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK")
)
MEMOIZE, BINGET, LONG_BINGET, BININT1, SHORT_BINUNICODE = map(
    OPCODE.__getitem__, ("MEMOIZE", "BINGET", "LONG_BINGET", "BININT1", "SHORT_BINUNICODE")
)
TUPLE, TUPLE1, TUPLE2, TUPLE3 = map(OPCODE.__getitem__, ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"))
APPEND, APPENDS, SETITEM, SETITEMS, ADDITEMS, FROZENSET = map(
    OPCODE.__getitem__, ("APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "FROZENSET")
)

UINT1, UINT2, UINT4, UINT8 = (struct.Struct("<" + form) for form in "BHIQ")
CONSTANT = {
    OPCODE["NONE"]: None,
    OPCODE["NEWTRUE"]: True,
    OPCODE["NEWFALSE"]: False,
    OPCODE["EMPTY_TUPLE"]: (),
}
NUMBER = {
    OPCODE["BININT2"]: (UINT2.unpack_from, 2),
    OPCODE["BININT"]: (struct.Struct("<i").unpack_from, 4),
    OPCODE["BINFLOAT"]: (struct.Struct(">d").unpack_from, 8),
}
SIZED: dict[int, tuple[struct.Struct, Callable[[bytes], object]]] = {
    OPCODE["BINUNICODE"]: (UINT4, lambda data: data.decode("utf-8", "surrogatepass")),
    OPCODE["BINUNICODE8"]: (UINT8, lambda data: data.decode("utf-8", "surrogatepass")),
    OPCODE["SHORT_BINBYTES"]: (UINT1, bytes),
    OPCODE["BINBYTES"]: (UINT4, bytes),
    OPCODE["BINBYTES8"]: (UINT8, bytes),
    OPCODE["LONG1"]: (UINT1, lambda data: int.from_bytes(data, "little", signed=True)),
    OPCODE["LONG4"]: (UINT4, lambda data: int.from_bytes(data, "little", signed=True)),
}
EMPTY: dict[int, type] = {
    OPCODE["EMPTY_LIST"]: list,
    OPCODE["EMPTY_DICT"]: dict,
    OPCODE["EMPTY_SET"]: set,
}
PUT = {OPCODE["BINPUT"]: UINT1, OPCODE["LONG_BINPUT"]: UINT4}
SETITEM_OR_SETITEMS = {SETITEM, SETITEMS}
TEXT = {str, bytes}


class PlainPickler(pickle.Pickler):
    """A pickler that refuses what has to be called to be built again."""

    def reducer_override(self, value: object) -> NoReturn:
        """Refuse `value`: the pickler asks this for all that it has no opcodes for."""
        kind = value if isinstance(value, type) else type(value)
        raise ValueError(f"a {kind.__name__} is not plain data")


class Writer(threading.local):
    """A pickler for each thread, used over and over: a new one costs more than a small message."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begin with a new pickler."""
        self.parts: list[bytes] = []
        self.write = self.parts.append  # what the pickler takes for that of a file
        self.pickler = PlainPickler(self, protocol=4)


writer = Writer()


def dumps(value: object) -> bytes:
    """Return plain data as a pickle of protocol 4, which every Python since 3.4 reads.

    Raises ValueError for what `loads` on the other side would refuse.
    """
    parts, pickler = writer.parts, writer.pickler
    data = b""
    try:
        pickler.dump(value)
        data = b"".join(parts)
        return data
    finally:
        if 0 < len(data) < SMALL:
            parts.clear()
            pickler.clear_memo()
        else:
            writer.renew()  # to empty a memo takes as long as it has ever been


def loads(data: bytes) -> Any:
    """Return the plain value that `data` is a pickle of; raises Refused for anything else."""
    try:
        return _run(data)
    except Refused:
        raise
    except (IndexError, struct.error, TypeError, ValueError) as error:
        raise Refused(f"not a pickle of plain data: {error!r}") from None


def _run(data: bytes) -> Any:
    stack: list[Any] = []
    marks: list[int] = []
    memo: list[Any] = []
    containers = 0
    keys: KeyBudget | None = None
    at = 2 if data[0] == PROTO else 0
    at += 9 if data[at] == FRAME else 0

    # This loop is most of what a call costs: what is met most often is asked for first.
    for _ in STEPS:
        opcode = data[at]
        at += 1
        if opcode == MEMOIZE:
            memo.append(stack[-1])
        elif opcode == SHORT_BINUNICODE:
            start = at + 1
            at = start + data[at]
            stack.append(data[start:at].decode("utf-8", "surrogatepass"))
        elif opcode == BININT1:
            stack.append(data[at])
            at += 1
        elif opcode == BINGET:
            stack.append(memo[data[at]])
            at += 1
        elif opcode == MARK:
            marks.append(len(stack))
        elif opcode in NUMBER:
            unpack, size = NUMBER[opcode]
            stack += unpack(data, at)
            at += size
        elif opcode == TUPLE2:
            stack[-2:] = [(stack[-2], stack[-1])]
            containers += 1
        elif opcode == TUPLE3:
            stack[-3:] = [(stack[-3], stack[-2], stack[-1])]
            containers += 1
        elif opcode == TUPLE1:
            stack[-1] = (stack[-1],)
            containers += 1
        elif opcode in CONSTANT:
            stack.append(CONSTANT[opcode])
        elif opcode in EMPTY:
            stack.append(EMPTY[opcode]())
            containers += 1
        elif opcode == STOP:
            if len(stack) != 1 or marks or at != len(data):
                raise Refused("STOP does not leave one value and nothing after it")
            return stack[0]
        elif opcode == FRAME:
            at += 8
        elif opcode in SETITEM_OR_SETITEMS:
            items = _pop(stack, marks.pop() if opcode == SETITEMS else len(stack) - 2)
            target = _target(stack, dict)
            keys = keys or KeyBudget(len(data))
            keys.pay(items[::2], id(target))
            target.update(zip(items[::2], items[1::2], strict=True))
        elif opcode == APPENDS:
            items = _pop(stack, marks.pop())
            _target(stack, list).extend(items)
        elif opcode == APPEND:
            item = stack.pop()
            _target(stack, list).append(item)
        elif opcode == TUPLE:
            stack.append(tuple(_pop(stack, marks.pop())))
            containers += 1
        elif opcode in SIZED:
            length, convert = SIZED[opcode]
            (size,) = length.unpack_from(data, at)
            at += length.size
            if size > len(data) - at:
                raise Refused(f"{NAME[opcode]} of {size} bytes runs past the end of the message")
            stack.append(convert(data[at : at + size]))
            at += size
        elif opcode == LONG_BINGET:
            stack += map(memo.__getitem__, UINT4.unpack_from(data, at))
            at += 4
        elif opcode in PUT:
            (index,) = PUT[opcode].unpack_from(data, at)
            at += PUT[opcode].size
            if index != len(memo):
                raise Refused(f"{NAME[opcode]} {index} where {len(memo)} is the next of the memo")
            memo.append(stack[-1])
        elif opcode == ADDITEMS:
            items = _pop(stack, marks.pop())
            members = _target(stack, set)
            keys = keys or KeyBudget(len(data))
            keys.pay(items, id(members))
            members.update(items)
        elif opcode == FROZENSET:
            items = _pop(stack, marks.pop())
            containers += 1
            keys = keys or KeyBudget(len(data))
            keys.pay(items, -containers)
            stack.append(frozenset(items))
        elif opcode in (POP, POP_MARK):  # written for a tuple that contains itself
            _pop(stack, len(stack) - 1 if opcode == POP else marks.pop())
        else:
            raise Refused(f"opcode {NAME.get(opcode, hex(opcode))} does not build plain data")
        if containers > MAX_CONTAINERS:
            raise Refused(f"more than {MAX_CONTAINERS} lists, tuples, dicts and sets")
    raise Refused(f"more than {MAX_OPCODES} opcodes")


def _pop(stack: list[Any], start: int) -> list[Any]:
    """Remove and return the values from `start` to the top of the stack."""
    if not 0 <= start <= len(stack):
        raise Refused("an opcode takes more values than there are")
    items = stack[start:]
    del stack[start:]
    return items


def _target(stack: list[Any], kind: type[T]) -> T:
    """Return the top of the stack, which must be a `kind` for the opcode at hand."""
    if type(stack[-1]) is not kind:
        raise Refused(f"an opcode for a {kind.__name__} meets a {type(stack[-1]).__name__}")
    return stack[-1]


class KeyBudget:
    """What hashing and comparing the keys of one message may cost, in leaves of each key's tree.

    Written out, a tree has at most as many leaves as the message has bytes. Only one that is
    shared over and over through the memo unfolds to more.
    """

    def __init__(self, message_size: int) -> None:
        self.left = min(4 * message_size + 100, MAX_KEY_COST)
        self.chosen = 0
        self.alike: dict[tuple[int, int], int] = {}

    def pay(self, keys: list[Any], owner: int) -> None:
        """Take the cost of `keys` from the budget; Refused when it is spent.

        `owner` is a number of the dict or set that they are for.
        """
        if TEXT.issuperset(map(type, keys)):
            self._spend(sum(map(len, keys)) // LONG_TEXT)
            return
        for key in keys:
            before = self.left
            self._hash((key,), 0)
            if type(key) in TEXT:
                continue
            self.chosen += 1
            if self.chosen > MAX_CHOSEN:
                raise Refused(f"more than {MAX_CHOSEN} keys that are not text or bytes")
            with_owner = (owner, hash(key))
            alike = self.alike.get(with_owner, 0)
            if alike == MAX_ALIKE:
                raise Refused(f"more than {MAX_ALIKE} keys have the same hash")
            self.alike[with_owner] = alike + 1
            self._spend(alike * (before - self.left))  # it may be compared with each of them

    def _hash(self, keys: Iterable[Any], depth: int) -> None:
        for key in keys:
            kind = type(key)
            if kind is int:
                self._spend(1 + key.bit_length() // 64)
            elif kind in TEXT:
                self._spend(1 + len(key) // LONG_TEXT)
            else:
                self._spend(1)
                if kind in (tuple, frozenset):
                    if depth == MAX_KEY_DEPTH:
                        raise Refused(f"a key that nests deeper than {MAX_KEY_DEPTH}")
                    self._hash(key, depth + 1)

    def _spend(self, cost: int) -> None:
        self.left -= cost
        if self.left < 0:
            raise Refused("the keys would cost more to hash and compare than the message is worth")
