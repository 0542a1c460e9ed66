"""The stack machine that runs the opcodes of plain data, a limited number at a time.

This lets a server decode a large message in steps and serve other clients in between. Between two
steps the whole state of the machine is in the Decoder: after `step(1)`, print `stack` and `memo`
to see what one opcode has done.

How fast it is. A list of 1,000 records of six items is 22,000 opcodes, and takes 4.2 ms of the
processor, where `pickle.loads`, which does the same in C, takes 0.45 (Python 3.11 on x86-64). An
opcode takes 0.06 to 0.2 µs, and most of that is the interpreter's part in the loop of `step`. So
what counts is how many lines of Python each opcode passes. This is what was tried, with how many
times as fast the records were decoded in the same run:

- `fill`, and opcodes of records early in the loop: 1.4, and in it `str.join` as the check that all
  keys are texts, and `repeat` instead of `range`, which makes an integer for each opcode.
- An iterator over the bytes instead of `data[at]`: 1.1, but a small message takes 1.15 times as
  long, since each text and number has to ask it for its position. Not done.
- A text with the MEMOIZE behind it at once: 1.06. Not done: opcodes are counted, one by one.
- Texts as slices of the whole message in latin-1: 1.0. Without the garbage collector: 1.05.
- A function for each opcode, in a table. Not done: to call one that does nothing takes 0.03 µs,
  as long as four comparisons, and its position and stack could not be local variables.
- `pickle.loads`, once a regular expression has found nothing but harmless opcodes and lengths that
  are right. It was not tried: two programs would have to agree, for each message that an attacker
  can think of, on where an opcode begins. And it cannot stop in the middle.
"""

import struct
from collections import OrderedDict
from collections.abc import Generator, Iterable, Iterator, Sequence
from itertools import repeat
from operator import length_hint
from time import thread_time
from typing import Any
from uuid import UUID

from services.safe_pickle.call_budget import MAX_INTEGER, CallBudget
from services.safe_pickle.errors import UnpicklingError
from services.safe_pickle.key_budget import KeyBudget
from services.safe_pickle.opcodes import (
    APPEND,
    APPENDS,
    BINFLOAT,
    BINGET,
    BININT,
    BININT1,
    BININT2,
    BUILD,
    CONSTANTS,
    EMPTY_DICT,
    EMPTY_LIST,
    EMPTY_SET,
    FRAME,
    FROZENSET,
    GLOBAL,
    INSERTING,
    LONG_BINGET,
    MAKING,
    MARK,
    MEMOIZE,
    NAMES,
    NEWOBJ,
    POP,
    POP_MARK,
    PROTO,
    PUTS,
    SETITEM,
    SETITEMS,
    SHORT_BINUNICODE,
    SIZED,
    STACK_GLOBAL,
    STOP,
    TUPLE,
    TUPLE1,
    TUPLE2,
    TUPLE3,
    UINT4,
    float_at,
    integer,
    integer_at,
    text,
)
from services.safe_pickle.plain_types import PlainType, find

MAX_OPCODES = 1_000_000
MAX_CONTAINERS = 100_000
STEP = 5000  # units of work, for which it takes about a millisecond
SLICE = 1000  # items that are put into a dict or set at once; an even number
COPIED = 1000  # bytes that are copied in the time that one opcode takes
LIST = (list,)
SHORT = 255  # bytes of a text: those of SHORT_BINUNICODE
CONTAINERS = {set, frozenset, OrderedDict}
SETS = {set, frozenset}
FEW = 100  # items of a dict or set that cannot take long, however their hashes are chosen
MAX_LINES = 500  # bytes of the two lines of a GLOBAL


def loads(data: bytes) -> Any:
    """Return the plain value that `data` is a pickle of; raises UnpicklingError otherwise."""
    decoder = Decoder(data)
    while not decoder.step(MAX_OPCODES):
        pass
    return decoder.result


def loads_in_steps(data: bytes) -> Generator[None, None, Any]:
    """Return what `loads` does; yields after each step but the last, for others to be served."""
    decoder = Decoder(data)
    while not decoder.step(STEP):
        yield
    return decoder.result


class Decoder:
    """Decodes one pickle; `result` is the value, once `step` has returned True."""

    __slots__ = (
        "at", "calls", "containers", "data", "inserting", "keys", "marks", "memo", "opcodes_left",
        "result", "stack", "texts_are_short",
    )  # fmt: skip

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0  # where the next opcode is
        self.stack: list[Any] = []  # the values above the last mark
        self.marks: list[list[Any]] = []  # for each mark, the values below it
        self.memo: list[Any] = []
        self.keys: KeyBudget | None = None
        self.calls: CallBudget | None = None  # for the types that the pickle names, if it does
        self.inserting: Iterator[int] | None = None  # puts many items into a dict or set
        self.texts_are_short = True
        self.containers = 0
        self.opcodes_left = MAX_OPCODES
        self.result: Any

    def step(self, budget: int) -> bool:
        """Run at most `budget` opcodes (1 or more); return whether the value is complete.

        The step ends earlier when the items that its opcodes handled, the cost of the keys and
        each 1,000 bytes of copied text add up to `budget`. Many items are put into a dict or set
        by several steps. What is not divided is a slice of them, and what takes one call in C: to
        move the items of a list or tuple, to copy a text, to freeze a set.

        Raises UnpicklingError, after which the decoder cannot be used any more.
        """
        data, at, stack, marks, memo = self.data, self.at, self.stack, self.marks, self.memo
        containers, named = self.containers, self.calls is not None
        short = self.texts_are_short
        items: Sequence[Any] = ()  # those that the opcode puts into a container
        work = 0  # units, in addition to one for each opcode
        if budget > self.opcodes_left:
            budget = self.opcodes_left
        opcodes = repeat(None, budget)  # no loop has less to do for each
        try:
            if not at:
                at = 2 if data[0] == PROTO else 0
                at += 9 if data[at] == FRAME else 0
            elif self.inserting:
                for done in self.inserting:
                    work += done
                    if work >= budget:
                        return False

            # Most of the time that a call takes is spent in this loop: the most frequent opcodes
            # come first, and only those below the `else` can exceed a limit or the budget.
            for _ in opcodes:
                opcode = data[at]
                at += 1
                if opcode == MEMOIZE:
                    memo.append(stack[-1])
                elif opcode == BINGET:
                    stack.append(memo[data[at]])
                    at += 1
                elif opcode == SHORT_BINUNICODE:
                    start = at + 1
                    at = start + data[at]
                    try:
                        stack.append(data[start:at].decode())
                    except UnicodeDecodeError:
                        stack.append(text(data[start:at]))
                elif opcode == BININT1:
                    stack.append(data[at])
                    at += 1
                elif opcode == BINFLOAT:
                    stack += float_at(data, at)
                    at += 8
                elif opcode == BININT2:
                    stack.append(data[at] | data[at + 1] << 8)
                    at += 2
                else:
                    if opcode == EMPTY_DICT:
                        stack.append({})
                        containers += 1
                    elif opcode == TUPLE2:
                        last = stack.pop()
                        items = stack[-1] = (stack[-1], last)
                        containers += 1
                    elif opcode == TUPLE3:
                        last = stack.pop()
                        middle = stack.pop()
                        items = stack[-1] = (stack[-1], middle, last)
                        containers += 1
                    elif opcode == MARK:
                        marks.append(stack)
                        stack = []
                        if len(marks) > MAX_CONTAINERS:
                            raise UnpicklingError(
                                f"the pickle has more than {MAX_CONTAINERS} open marks"
                            )
                    elif opcode == SETITEMS and short and fill(marks[-1][-1], stack):
                        items, stack = stack, marks.pop()
                        work += len(items)
                    elif opcode == EMPTY_LIST:
                        stack.append([])
                        containers += 1
                    elif opcode == APPENDS:
                        items, stack = stack, marks.pop()
                        top(stack, LIST, opcode).extend(items)
                        work += len(items)
                    elif opcode == STOP:
                        if len(stack) != 1 or marks or at != len(data):
                            raise UnpicklingError(
                                "the pickle does not end with STOP and exactly one value"
                            )
                        if named:
                            refuse_names(stack)
                            self._calls().check_complete()
                        self.result = stack[0]
                        return True
                    elif opcode in CONSTANTS:
                        stack.append(CONSTANTS[opcode])
                    elif opcode in SIZED:
                        length, convert = SIZED[opcode]
                        (size,) = length.unpack_from(data, at)
                        at += length.size
                        if size > len(data) - at:
                            raise UnpicklingError(
                                f"{NAMES[opcode]} of {size} bytes runs past the end of the pickle"
                            )
                        if convert is text and size > SHORT:
                            self.texts_are_short = short = False
                        if convert is integer and size > MAX_INTEGER:
                            self._calls().large_integer()
                        stack.append(convert(data[at : at + size]))
                        at += size
                        work += size // COPIED
                    elif opcode in INSERTING:
                        if opcode == SETITEM:
                            items = [stack.pop(-2), stack.pop()]
                        else:
                            items, stack = stack, marks.pop()
                        freeze = opcode == FROZENSET
                        if freeze:
                            stack.append(set())
                            containers += 1
                        target = top(stack, INSERTING[opcode], opcode)
                        # A set is freed once it is frozen, and the next one may get its id.
                        owner = -at if freeze else id(target)
                        if self.keys is None:
                            self.keys = KeyBudget(len(data))
                        if len(items) <= SLICE:
                            work += insert(target, items, self.keys, owner)
                            if freeze:
                                stack[-1] = frozenset(target)
                        else:
                            self.inserting = slices(stack, items, self.keys, owner, freeze)
                            work = budget  # the next steps insert the items
                    elif opcode == BININT:
                        stack += integer_at(data, at)
                        at += 4
                    elif opcode == APPEND:
                        items = (stack.pop(),)
                        top(stack, LIST, opcode).append(*items)
                    elif opcode == TUPLE1:
                        items = stack[-1] = (stack[-1],)
                        containers += 1
                    elif opcode == TUPLE:
                        items, stack = stack, marks.pop()
                        stack.append(tuple(items))
                        containers += 1
                        work += len(items)
                    elif opcode in MAKING:
                        args = stack.pop()
                        callee = stack.pop()
                        if type(callee) is not PlainType or type(args) is not tuple:
                            raise UnpicklingError(f"{NAMES[opcode]} needs a name and a tuple")
                        if (opcode == NEWOBJ) != (callee.kind is UUID):
                            raise UnpicklingError(f"{NAMES[opcode]} of {callee.name}")
                        value, size = self._calls().make(callee, args)
                        work += size // COPIED
                        containers += callee.kind in CONTAINERS
                        if callee.kind in SETS:
                            stack.append(set())
                            if self.keys is None:
                                self.keys = KeyBudget(len(data))
                            freeze = callee.kind is frozenset
                            self.inserting = slices(stack, value, self.keys, -at, freeze)
                            work = budget  # the next steps insert the members
                        else:
                            stack.append(value)
                    elif opcode == BUILD:
                        state = stack.pop()
                        self._calls().complete(stack[-1], state)
                    elif opcode == STACK_GLOBAL:
                        name = stack.pop()
                        stack[-1] = find(stack[-1], name)
                        self._calls()
                        named = True
                    elif opcode == EMPTY_SET:
                        stack.append(set())
                        containers += 1
                    elif opcode == LONG_BINGET:
                        (index,) = UINT4.unpack_from(data, at)
                        stack.append(memo[index])
                        at += 4
                    elif opcode in PUTS:
                        (index,) = PUTS[opcode].unpack_from(data, at)
                        at += PUTS[opcode].size
                        if index != len(memo):
                            raise UnpicklingError(
                                f"{NAMES[opcode]} {index}, but the next index of the memo is"
                                f" {len(memo)}"
                            )
                        memo.append(stack[-1])
                    elif opcode == GLOBAL:
                        module, line, _ = data[at : at + MAX_LINES].split(b"\n", 2)
                        at += len(module) + len(line) + 2
                        stack.append(find(text(module), text(line)))
                        self._calls()
                        named = True
                    elif opcode == FRAME:
                        at += 8
                    elif opcode == POP:  # like POP_MARK, written for a tuple that contains itself
                        stack.pop()
                    elif opcode == POP_MARK:
                        work += len(stack)
                        stack = marks.pop()
                    else:
                        raise UnpicklingError(
                            f"opcode {NAMES.get(opcode, hex(opcode))} is not one that Python"
                            " writes for plain data at the protocols 2 to 5"
                        )
                    if named and items:
                        refuse_names(items)
                        items = ()
                    if containers > MAX_CONTAINERS:
                        raise UnpicklingError(
                            f"the pickle has more than {MAX_CONTAINERS} lists, tuples, dicts and"
                            " sets"
                        )
                    if work >= budget:
                        break
        except UnpicklingError:
            raise
        except (AttributeError, IndexError, struct.error, TypeError, ValueError) as error:
            raise UnpicklingError(f"malformed pickle: {error}") from None
        self.at, self.stack, self.containers = at, stack, containers
        self.opcodes_left -= budget - length_hint(opcodes)
        if not self.opcodes_left:
            raise UnpicklingError(f"the pickle has more than {MAX_OPCODES} opcodes")
        return False

    def _calls(self) -> CallBudget:
        if self.calls is None:
            self.calls = CallBudget(len(self.data))
        return self.calls


def fill(target: Any, items: list[Any]) -> bool:
    """Put a few items into a dict if all their keys are short texts; return whether they are.

    These are the items of a record, and cost nothing that has to be paid for. `str.join` finds what
    is no text in a third of the time that it takes to look at the type of each.
    """
    if type(target) is not dict or len(target) + len(items) > FEW or len(items) % 2:
        return False
    try:
        "".join(items[::2])
    except TypeError:
        return False
    rest = iter(items)
    for key in rest:
        target[key] = next(rest)
    return True


def insert(target: Any, items: list[Any], keys: KeyBudget, owner: int) -> int:
    """Put items into a dict or set when they are paid for; return the units of work."""
    before = keys.left
    if type(target) is set:
        suspect = keys.pay(items, owner)
        new: Iterable[Any] = items
    else:
        names = items[::2]
        suspect = keys.pay(names, owner)
        new = zip(names, items[1::2], strict=True)
    if suspect or len(target) + len(items) > FEW:
        began = thread_time()
        target.update(new)
        keys.took(thread_time() - began)
    else:
        target.update(new)
    return len(items) + before - keys.left


def slices(
    stack: list[Any], items: list[Any], keys: KeyBudget, owner: int, freeze: bool
) -> Iterator[int]:
    """Put many items into the dict or set on the stack, a slice at a time."""
    for start in range(0, len(items), SLICE):
        yield insert(stack[-1], items[start : start + SLICE], keys, owner)
    if freeze:
        stack[-1] = frozenset(stack[-1])


def refuse_names(items: Iterable[Any]) -> None:
    """Raise UnpicklingError for the name of a type in the place of a value."""
    if PlainType in map(type, items):
        name = next(item.name for item in items if type(item) is PlainType)
        raise UnpicklingError(f"{name} itself is not plain data")


def top(stack: list[Any], kinds: tuple[type, ...], opcode: int) -> Any:
    """Return the top of the stack, which must be of one of these types for this opcode."""
    value = stack[-1]
    if type(value) not in kinds:
        raise UnpicklingError(
            f"{NAMES[opcode]} needs a {kinds[0].__name__}, not a {type(value).__name__}"
        )
    return value
