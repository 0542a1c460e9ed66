"""Pickles for the tests of the decoder: plain data, hostile ones, and how to step through them."""

import os
import pickle
from collections.abc import Callable
from typing import Any

from services.safe_pickle import Decoder, UnpicklingError
from services.safe_pickle.decoder import MAX_OPCODES

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


def text(value: str) -> bytes:
    """Return the opcode that pushes a short text."""
    return pickle.SHORT_BINUNICODE + bytes([len(value.encode())]) + value.encode()


def number(value: int) -> bytes:
    """Return the opcode that pushes an integer."""
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return pickle.LONG1 + bytes([len(data)]) + data


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
