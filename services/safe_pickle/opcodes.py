"""The opcodes that build plain data: all that Python writes for it at the protocols 2 to 5.

An opcode is one byte; some are followed by an argument. They work on three things: a stack of
values, a memo of values that may be needed again, and marks in the stack, which say where the
items of a container begin. CPython describes every opcode in Lib/pickletools.py.
"""

import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable

# The beginning and the end.
PROTO = 0x80  # comes first; a byte follows: the protocol
FRAME = 0x95  # 8 bytes follow: the size of what comes next, for readers of files
STOP = 0x2E  # the value on the stack is the result

# The stack and the memo.
MARK = 0x28  # the items of a container begin here
POP = 0x30  # drop the top of the stack
POP_MARK = 0x31  # drop everything above the last mark, and the mark
MEMOIZE = 0x94  # store the top of the stack at the next index of the memo
BINPUT = 0x71  # the same at the index that follows, a byte
LONG_BINPUT = 0x72  # the same, the index has 4 bytes
BINGET = 0x68  # push the value at the index that follows, a byte
LONG_BINGET = 0x6A  # the same, the index has 4 bytes

# Values: each is pushed.
NONE = 0x4E
NEWTRUE = 0x88
NEWFALSE = 0x89
BININT1 = 0x4B  # an integer of 1 byte
BININT2 = 0x4D  # 2 bytes
BININT = 0x4A  # 4 bytes, signed
BINFLOAT = 0x47  # 8 bytes, big-endian
LONG1 = 0x8A  # any integer: its length in 1 byte, then the bytes
LONG4 = 0x8B  # its length in 4 bytes
SHORT_BINUNICODE = 0x8C  # text in UTF-8: its length in 1 byte, then the bytes
BINUNICODE = 0x58  # its length in 4 bytes
BINUNICODE8 = 0x8D  # its length in 8 bytes
SHORT_BINBYTES = 0x43  # bytes: their number in 1 byte, then the bytes
BINBYTES = 0x42  # their number in 4 bytes
BINBYTES8 = 0x8E  # their number in 8 bytes
BYTEARRAY8 = 0x96  # the same, for a bytearray

# Values of the types in `plain_types`, and what has no opcode of its own at the protocols 2 and 3.
GLOBAL = 0x63  # two lines follow, a module and a name in it: push what they name
STACK_GLOBAL = 0x93  # the same, module and name are the two texts on top
REDUCE = 0x52  # a value of what is named below the top, made of the tuple on top
NEWOBJ = 0x81  # the same, and its attributes follow
BUILD = 0x62  # the dict on top has the attributes of the value below it

# Containers, made of what is on the stack, or empty and then filled.
EMPTY_TUPLE = 0x29
TUPLE1 = 0x85  # a tuple of the top value
TUPLE2 = 0x86  # of the two on top
TUPLE3 = 0x87  # of the three on top
TUPLE = 0x74  # of everything above the last mark
EMPTY_LIST = 0x5D
APPEND = 0x61  # the top value goes to the list below it
APPENDS = 0x65  # everything above the last mark does
EMPTY_DICT = 0x7D
SETITEM = 0x73  # the two on top, a key and its value, go to the dict below them
SETITEMS = 0x75  # everything above the last mark does: a key, its value, the next key...
EMPTY_SET = 0x8F
ADDITEMS = 0x90  # everything above the last mark goes to the set below it
FROZENSET = 0x91  # a frozenset of everything above the last mark

# All opcodes that Python knows, by code: for error messages.
NAMES: dict[int, str] = {
    code[0]: name
    for name, code in vars(pickle).items()
    if name.isupper() and isinstance(code, bytes) and len(code) == 1
}

CONSTANTS = {NONE: None, NEWTRUE: True, NEWFALSE: False, EMPTY_TUPLE: ()}

# How to read a number at a position: each returns a tuple of it alone.
float_at = struct.Struct(">d").unpack_from  # BINFLOAT
integer_at = struct.Struct("<i").unpack_from  # BININT


def integer(data: bytes) -> int:
    """Return a little-endian integer in two's complement, of any length."""
    return int.from_bytes(data, "little", signed=True)


def text(data: bytes) -> str:
    """Return text in the UTF-8 of pickles, which may hold half of a surrogate pair."""
    return data.decode("utf-8", "surrogatepass")


# How to read the length of a value, and how to make the value of as many bytes.
UINT1, UINT4, UINT8 = struct.Struct("<B"), struct.Struct("<I"), struct.Struct("<Q")
SIZED: dict[int, tuple[struct.Struct, Callable[[bytes], object]]] = {
    BINUNICODE: (UINT4, text),
    BINUNICODE8: (UINT8, text),
    SHORT_BINBYTES: (UINT1, bytes),
    BINBYTES: (UINT4, bytes),
    BINBYTES8: (UINT8, bytes),
    BYTEARRAY8: (UINT8, bytearray),
    LONG1: (UINT1, integer),
    LONG4: (UINT4, integer),
}

PUTS = {BINPUT: UINT1, LONG_BINPUT: UINT4}
INSERTING: dict[int, tuple[type, ...]] = {
    SETITEM: (dict, OrderedDict),
    SETITEMS: (dict, OrderedDict),
    ADDITEMS: (set,),
    FROZENSET: (set,),
}
MAKING = {REDUCE, NEWOBJ}
