"""Pickles on the wire: each opcode in plain English, what is refused, and where it breaks."""

import os
import pickle
import pickletools
from pathlib import Path

from services.wire.pickle_opcodes import MEANINGS, read

ADA = """\
     0  PROTO            this is a pickle of protocol 4
     2  FRAME            the next 28 bytes belong together, for those who read a file
    11  EMPTY_DICT       push a new dict
    12  MEMOIZE          remember the top of the stack at the next place in the memo
    13  MARK             put a mark on the stack: the items of a container begin here
    14  SHORT_BINUNICODE push 'name'
    20  MEMOIZE          remember the top of the stack at the next place in the memo
    21  SHORT_BINUNICODE push 'Ada'
    26  MEMOIZE          remember the top of the stack at the next place in the memo
    27  SHORT_BINUNICODE push 'born'
    33  MEMOIZE          remember the top of the stack at the next place in the memo
    34  BININT2          push 1815
    37  SETITEMS         put all above the last mark into the dict below it: key, value, key…
    38  STOP             the end: the value on the stack is the result"""

COMMAND = """\
     0  PROTO            this is a pickle of protocol 4
     2  GLOBAL           push what os.system names: pickle.loads would import it
     ✗  safe_pickle refuses this: os.system is not plain data
    13  SHORT_BINUNICODE push 'rm -rf ~'
    23  TUPLE1           replace the top by a tuple of it
    24  REDUCE           call what is below the top with the tuple on top: pickle.loads would call it now
    25  STOP             the end: the value on the stack is the result"""  # noqa: E501 - it is long

CUT = """\
     0  PROTO            this is a pickle of protocol 2
     2  EMPTY_LIST       push a new list
     3  BINPUT           remember the top at place 0 of the memo
     5  MARK             put a mark on the stack: the items of a container begin here
     6  BININT1          push 1
     8  BININT1          push 2
     …  2 opcodes not listed
     ✗  broken at position 14: pickle exhausted before seeing STOP
     ✗  safe_pickle refuses it: malformed pickle: index out of range"""


def test_plain_data_is_read_opcode_by_opcode() -> None:
    """With the position of each, and what it does; and there is the value."""
    found = read(pickle.dumps({"name": "Ada", "born": 1815}, protocol=4))
    assert "\n".join(found.lines) == ADA
    assert (found.value, found.problem, found.broken) == ({"name": "Ada", "born": 1815}, "", "")


def test_what_would_run_a_command_is_marked() -> None:
    """The opcode that names it, and why it is refused; the others are listed."""
    data = pickle.PROTO + b"\4" + pickle.GLOBAL + b"os\nsystem\n" + b"\x8c\x08rm -rf ~\x85R."
    assert "\n".join(read(data).lines) == COMMAND


def test_nothing_is_loaded(tmp_path: Path) -> None:
    """A pickle that would make a folder makes none."""
    folder = tmp_path / "made"

    class Exploit:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(folder),)

    found = read(pickle.dumps(Exploit()))
    assert found.problem == f"{os.mkdir.__module__}.mkdir is not plain data"
    assert not folder.exists()


def test_a_pickle_that_is_cut_short_is_read_up_to_there() -> None:
    """And the listing says how many opcodes it leaves out."""
    assert "\n".join(read(pickle.dumps([1, 2, 3, 4], protocol=2)[:14], most=6).lines) == CUT


def test_what_follows_the_end_is_counted() -> None:
    """It belongs to no pickle."""
    found = read(b"N.rest")
    assert found.broken == "4 bytes after the end of the pickle"


def test_every_opcode_has_a_meaning() -> None:
    """Those without one of their own push their argument."""
    pushing = {
        opcode.name
        for opcode in pickletools.opcodes
        if opcode.arg is not None and opcode.stack_before == [] and len(opcode.stack_after) == 1
    }
    assert {opcode.name for opcode in pickletools.opcodes} - set(MEANINGS) - pushing == set()
    assert set(MEANINGS) <= {opcode.name for opcode in pickletools.opcodes}
