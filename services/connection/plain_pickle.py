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
may not be too many, and few alike.
"""

import io
import pickle
import struct
from collections import Counter
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")

MAX_OPCODES = 1_000_000
MAX_CONTAINERS = 100_000
MAX_KEY_DEPTH = 50
MAX_ALIKE = 100  # keys of one dict or set that have the same hash
MAX_CHOSEN = 20_000  # keys of one message whose hash its sender can choose


class Refused(ValueError):
    """The bytes are not a pickle of plain data, or of data that costs more than it may."""


OPCODE = {
    name: code[0]
    for name, code in vars(pickle).items()
    if name.isupper() and isinstance(code, bytes) and len(code) == 1
}
NAME = {code: name for name, code in OPCODE.items()}

PROTO, FRAME, STOP, MARK, MEMOIZE = map(
    OPCODE.__getitem__, ("PROTO", "FRAME", "STOP", "MARK", "MEMOIZE")
)
APPEND, APPENDS, SETITEM, SETITEMS, ADDITEMS, TUPLE, FROZENSET = map(
    OPCODE.__getitem__,
    ("APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "TUPLE", "FROZENSET"),
)
POP, POP_MARK = map(OPCODE.__getitem__, ("POP", "POP_MARK"))

UINT1, UINT2, UINT4, UINT8 = (struct.Struct("<" + form) for form in "BHIQ")
CONSTANT = {
    OPCODE["NONE"]: None,
    OPCODE["NEWTRUE"]: True,
    OPCODE["NEWFALSE"]: False,
    OPCODE["EMPTY_TUPLE"]: (),
}
NUMBER = {
    OPCODE["BININT1"]: UINT1,
    OPCODE["BININT2"]: UINT2,
    OPCODE["BININT"]: struct.Struct("<i"),
    OPCODE["BINFLOAT"]: struct.Struct(">d"),
}
SIZED: dict[int, tuple[struct.Struct, Callable[[bytes], object]]] = {
    OPCODE["SHORT_BINUNICODE"]: (UINT1, lambda data: data.decode("utf-8", "surrogatepass")),
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
SHORT_TUPLE = {OPCODE["TUPLE1"]: 1, OPCODE["TUPLE2"]: 2, OPCODE["TUPLE3"]: 3}
PUT = {OPCODE["BINPUT"]: UINT1, OPCODE["LONG_BINPUT"]: UINT4}
GET = {OPCODE["BINGET"]: UINT1, OPCODE["LONG_BINGET"]: UINT4}


def dumps(value: object) -> bytes:
    """Return plain data as a pickle of protocol 4, which every Python since 3.4 reads.

    Raises ValueError for what `loads` on the other side would refuse.
    """
    buffer = io.BytesIO()
    PlainPickler(buffer, protocol=4).dump(value)
    return buffer.getvalue()


class PlainPickler(pickle.Pickler):
    """A pickler that refuses what has to be called to be built again."""

    def reducer_override(self, value: object) -> NoReturn:
        """Refuse `value`: the pickler asks this for all that it has no opcodes for."""
        kind = value if isinstance(value, type) else type(value)
        raise ValueError(f"a {kind.__name__} is not plain data")


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
    keys = KeyBudget(len(data))
    at = 0

    for _ in range(MAX_OPCODES):
        opcode = data[at]
        at += 1
        if opcode == MEMOIZE:
            memo.append(stack[-1])
        elif opcode in NUMBER:
            stack += NUMBER[opcode].unpack_from(data, at)
            at += NUMBER[opcode].size
        elif opcode in SIZED:
            length, convert = SIZED[opcode]
            (size,) = length.unpack_from(data, at)
            at += length.size
            if size > len(data) - at:
                raise Refused(f"{NAME[opcode]} of {size} bytes runs past the end of the message")
            stack.append(convert(data[at : at + size]))
            at += size
        elif opcode in CONSTANT:
            stack.append(CONSTANT[opcode])
        elif opcode in GET:
            (index,) = GET[opcode].unpack_from(data, at)
            at += GET[opcode].size
            stack.append(memo[index])
        elif opcode in PUT:
            (index,) = PUT[opcode].unpack_from(data, at)
            at += PUT[opcode].size
            if index != len(memo):
                raise Refused(f"{NAME[opcode]} {index} where {len(memo)} is the next of the memo")
            memo.append(stack[-1])
        elif opcode == MARK:
            marks.append(len(stack))
        elif opcode in EMPTY:
            stack.append(EMPTY[opcode]())
            containers += 1
        elif opcode in SHORT_TUPLE:
            items = _pop(stack, len(stack) - SHORT_TUPLE[opcode])
            stack.append(tuple(items))
            containers += 1
        elif opcode == TUPLE:
            stack.append(tuple(_pop(stack, marks.pop())))
            containers += 1
        elif opcode == APPEND:
            (item,) = _pop(stack, len(stack) - 1)
            _target(stack, list).append(item)
        elif opcode == APPENDS:
            items = _pop(stack, marks.pop())
            _target(stack, list).extend(items)
        elif opcode in (SETITEM, SETITEMS):
            items = _pop(stack, len(stack) - 2 if opcode == SETITEM else marks.pop())
            target = _target(stack, dict)
            keys.pay(items[::2], id(target))
            target.update(zip(items[::2], items[1::2], strict=True))
        elif opcode == ADDITEMS:
            items = _pop(stack, marks.pop())
            members = _target(stack, set)
            keys.pay(items, id(members))
            members.update(items)
        elif opcode == FROZENSET:
            items = _pop(stack, marks.pop())
            containers += 1
            keys.pay(items, -containers)
            stack.append(frozenset(items))
        elif opcode in (POP, POP_MARK):  # written for a tuple that contains itself
            _pop(stack, len(stack) - 1 if opcode == POP else marks.pop())
        elif opcode == PROTO:
            at += 1
        elif opcode == FRAME:
            at += 8
        elif opcode == STOP:
            if len(stack) != 1 or marks or at != len(data):
                raise Refused("STOP does not leave one value and nothing after it")
            return stack[0]
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
    """What hashing the keys of one message may cost, counted in leaves of each key's tree.

    Written out, a tree has at most as many leaves as the message has bytes. Only one that is
    shared over and over through the memo unfolds to more.
    """

    def __init__(self, message_size: int) -> None:
        self.left = 4 * message_size + 1000
        self.chosen = 0
        self.alike: Counter[tuple[int, int]] = Counter()

    def pay(self, keys: list[Any], owner: int) -> None:
        """Take the cost of `keys` from the budget; Refused when it is spent.

        `owner` is a number of the dict or set that they are for.
        """
        self._hash(keys, 0)
        for key in keys:
            if type(key) in (str, bytes):
                continue
            self.chosen += 1
            alike = (owner, hash(key))
            self.alike[alike] += 1
            if self.alike[alike] > MAX_ALIKE:
                raise Refused(f"more than {MAX_ALIKE} keys have the same hash")
            if self.chosen > MAX_CHOSEN:
                raise Refused(f"more than {MAX_CHOSEN} keys that are not text or bytes")

    def _hash(self, keys: list[Any], depth: int) -> None:
        for key in keys:
            self.left -= 1 + (key.bit_length() // 64 if type(key) is int else 0)
            if self.left < 0 or depth > MAX_KEY_DEPTH:
                raise Refused("hashing the keys would cost more than the message is worth")
            if type(key) in (tuple, frozenset):
                self._hash(key, depth + 1)
