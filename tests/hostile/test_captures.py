"""Captures of the relay: a file that somebody gives away was written by anybody.

`make soak` reads 100,000 of them. tests/interop has Wireshark and our plugin read mutated ones.
"""

from pathlib import Path
from random import Random
from time import process_time

import pytest

from services.wire import pcapng
from services.wire.conversation import conversations
from tests.hostile.drawn import check_drawn
from tests.hostile.reliability import Row
from tests.support.captures import files

CAPTURES = 100_000
SECONDS = 20.0  # of CPU time, in which as many are read as can be, where it is not `make soak`
DRAWN = 20  # of so many that are read, one is drawn, which takes longest
MEMORY = 64  # MiB


def memory(what: str) -> float:
    """Return what /proc/self/status says of this process's memory, in MiB: proc(5)."""
    lines = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[what].split()[0]) / 1024


@pytest.mark.soak
def test_mutated_captures_are_read_or_refused(seed: int, soak: float, measured: Row) -> None:
    """Each is decoded and drawn, or is a ValueError that says why; memory stays bounded."""
    measured.limit(f"no crash, {MEMORY} MiB")
    random = Random(seed)  # noqa: S311 - nothing secret
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew: proc(5)
    before, end = memory("VmRSS"), process_time() + SECONDS
    counts = {"read": 0, "refused": 0}
    for number, file in zip(range(CAPTURES), files(random), strict=False):
        try:
            counts["read" if is_read(file, random) else "refused"] += 1
        except Exception as error:
            error.add_note(f"capture {number} of --seed {seed}")
            raise
        if not soak and process_time() > end:
            break
    grown = memory("VmHWM") - before
    assert grown < MEMORY
    assert min(counts.values()) > sum(counts.values()) / 10
    measured.safe(
        f"{sum(counts.values()):,} captures, {counts['refused']:,} of them refused; {grown:.0f} MiB"
    )


def is_read(file: bytes, random: Random) -> bool:
    """Read a capture, and decode what is in it; return False where it is refused."""
    try:
        records = pcapng.decode(file)
    except ValueError as error:
        assert str(error).startswith("Not a pcapng file of the relay: ")  # noqa: PT017
        return False
    found = conversations(records)
    if random.randrange(DRAWN) == 0:
        check_drawn(found, random)
    for conversation in found:
        assert len(conversation.events) <= 500
    return True
