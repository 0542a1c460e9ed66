"""The opcodes of a pickle: what each does to the stack, and which one `safe_pickle` refuses.

Nothing is loaded. `pickletools.genops` reads the opcodes one by one, and the decoder of
`services.safe_pickle`, which makes plain data and nothing else, is asked for the value and for the
place where it stops. A pickle that is cut short or broken is read up to there.
"""

import io
import pickletools
from dataclasses import dataclass
from typing import Any

from services.safe_pickle import Decoder, UnpicklingError
from services.safe_pickle.opcodes import FRAME, PROTO
from services.wire.visible import brief, counted, line

MAX_OPCODES = 20_000  # that are read
MAX_ARGUMENT = 60  # columns
MAX_REASON = 200  # columns

PUSH = "push {}"
CALLS = "pickle.loads would call it now"
# What an opcode does; {} is its argument.
MEANINGS = {
    "PROTO": "this is a pickle of protocol {}",
    "FRAME": "the next {} bytes belong together, for those who read a file",
    "STOP": "the end: the value on the stack is the result",
    "MARK": "put a mark on the stack: the items of a container begin here",
    "POP": "drop the top of the stack",
    "POP_MARK": "drop everything above the last mark, and the mark",
    "DUP": "push the top of the stack once more",
    "MEMOIZE": "remember the top of the stack at the next place in the memo",
    "NONE": "push None",
    "NEWTRUE": "push True",
    "NEWFALSE": "push False",
    "EMPTY_TUPLE": "push ()",
    "TUPLE1": "replace the top by a tuple of it",
    "TUPLE2": "replace the two on top by a tuple of them",
    "TUPLE3": "replace the three on top by a tuple of them",
    "TUPLE": "replace everything above the last mark by a tuple of it",
    "EMPTY_LIST": "push a new list",
    "LIST": "replace everything above the last mark by a list of it",
    "APPEND": "append the top to the list below it",
    "APPENDS": "append everything above the last mark to the list below it",
    "EMPTY_DICT": "push a new dict",
    "DICT": "replace everything above the last mark by a dict of it: key, value, key…",
    "SETITEM": "put the two on top, a key and its value, into the dict below them",
    "SETITEMS": "put all above the last mark into the dict below it: key, value, key…",
    "EMPTY_SET": "push a new set",
    "ADDITEMS": "add everything above the last mark to the set below it",
    "FROZENSET": "replace everything above the last mark by a frozenset of it",
    "NEXT_BUFFER": "push a buffer that came beside the pickle",
    "READONLY_BUFFER": "make the buffer on top read-only",
    "GLOBAL": "push what {} names: pickle.loads would import it",
    "STACK_GLOBAL": "push what the two texts on top name: pickle.loads would import it",
    "REDUCE": f"call what is below the top with the tuple on top: {CALLS}",
    "NEWOBJ": f"make an object of the class below the top, with the tuple on top: {CALLS}",
    "NEWOBJ_EX": f"the same, with keyword arguments: {CALLS}",
    "INST": f"make an object of {{}} with all above the last mark: {CALLS}",
    "OBJ": f"make an object of the class above the last mark, with the rest: {CALLS}",
    "BUILD": "give the object below the top the attributes on top: its __setstate__ is called",
    "PERSID": "push the object that the reader knows under the name {}",
    "BINPERSID": "replace the top by the object that the reader knows under this name",
    **dict.fromkeys(("EXT1", "EXT2", "EXT4"), "push what is registered under the number {}"),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), "push what the memo has at place {}"),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), "remember the top at place {} of the memo"),
}


@dataclass(frozen=True, slots=True)
class Opcode:
    """An opcode: where it stands, its name and argument, and what it does in plain English."""

    position: int  # of its first byte
    name: str
    argument: str  # "" if it has none
    meaning: str
    refused: str = ""  # why safe_pickle refuses it

    def __str__(self) -> str:
        return f"{self.position:6}  {self.name:<17}{self.meaning}"


@dataclass(frozen=True, slots=True)
class Pickle:
    """A pickle, read without running it: its value if it is plain data, or what is wrong."""

    opcodes: tuple[Opcode, ...]  # not all of them, if `left_out`
    left_out: int
    value: Any  # None also if there is a problem
    problem: str  # why safe_pickle refuses it; "" if it does not
    broken: str  # where the opcodes end that can be read, and why; "" if all can

    @property
    def lines(self) -> tuple[str, ...]:
        """The opcodes as text, and what is wrong."""
        shown = []
        for opcode in self.opcodes:
            shown.append(str(opcode))
            if opcode.refused:
                shown.append(f"     ✗  safe_pickle refuses this: {opcode.refused}")
        if self.left_out:
            shown.append(f"     …  {counted(self.left_out, 'opcode')} not listed")
        if self.broken:
            shown.append(f"     ✗  {self.broken}")
        if self.problem and not any(opcode.refused for opcode in self.opcodes):
            shown.append(f"     ✗  safe_pickle refuses it: {self.problem}")
        return tuple(shown)


def read(data: bytes, most: int = 60) -> Pickle:
    """Read a pickle; at most `most` opcodes are listed, and the one that is refused."""
    value, problem, refused_at = decode(data)
    listed: list[Opcode] = []
    count = 0
    broken = ""
    source = io.BytesIO(data)
    end = 0  # of the last opcode that could be read
    try:
        for opcode, argument, position in pickletools.genops(source):
            count += 1
            at = position or 0
            end = source.tell()
            refused = problem if at == refused_at else ""
            if len(listed) < most or refused:
                listed.append(described(opcode.name, argument, at, refused))
            if count == MAX_OPCODES:
                broken = f"only the first {count:,} opcodes are read"
                break
    except (ValueError, IndexError, OverflowError, Warning) as error:
        broken = f"broken at position {end}: {line(str(error), MAX_REASON)}"
    left = len(data) - source.tell()
    if left and not broken:
        broken = f"{counted(left, 'byte')} after the end of the pickle"
    return Pickle(tuple(listed), count - len(listed), value, problem, broken)


def decode(data: bytes) -> tuple[Any, str, int]:
    """Return the value, "" and -1; or None, what is wrong and at which position."""
    try:
        decoder = Decoder(data)
        if decoder.step(MAX_OPCODES):
            return decoder.result, "", -1
    except UnpicklingError as error:
        return None, line(str(error), MAX_REASON), stopped_at(data)
    return None, f"it takes more than {MAX_OPCODES:,} steps to read", -1


def stopped_at(data: bytes) -> int:
    """Return the position of the opcode that is refused."""
    decoder = Decoder(data)
    position = 0
    if data[:1] == bytes([PROTO]):  # the decoder takes these two in the same step as the next
        position = 2
    if data[position : position + 1] == bytes([FRAME]):
        position += 9
    try:
        for _ in range(MAX_OPCODES):
            decoder.step(1)
            position = decoder.at
    except UnpicklingError:
        pass
    return position


def described(name: str, argument: Any, position: int, refused: str) -> Opcode:
    """Return an opcode with what it does."""
    shown = "" if argument is None else shown_argument(name, argument)
    return Opcode(position, name, shown, MEANINGS.get(name, PUSH).format(shown), refused)


def shown_argument(name: str, argument: Any) -> str:
    """Return an argument as it is shown: names as module.name, sizes and values as they are."""
    if name in ("GLOBAL", "INST"):
        return line(str(argument).replace(" ", "."), MAX_ARGUMENT)
    return brief(argument, MAX_ARGUMENT)
