"""How long things may take: far-off deadlines, and promises at the pace of this machine."""

import subprocess
import sys
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

FAR = 30.0  # seconds: a deadline that only says that something is stuck
WORK = "sum(number * number for number in range(300_000))"
REFERENCE = 0.05  # seconds that this takes two processes on the machine that promises are made for


def slowness() -> float:
    """Return how many times slower this machine is right now than the reference; at least 1.

    Two processes are started at a time and compute something, as a server and its client do.
    """
    began = time.monotonic()
    for _ in range(3):
        both = [subprocess.Popen([sys.executable, "-I", "-c", WORK]) for _ in range(2)]
        for process in both:
            process.wait()
    return max(1.0, (time.monotonic() - began) / 3 / REFERENCE)


def within(took: float, promised: float) -> bool:
    """Whether something took no longer than promised, or as much longer as this machine is slower.

    That is measured only where it matters. Times are in seconds.
    """
    return took <= promised or took <= promised * slowness()


def until(condition: Callable[[], T], what: str, seconds: float = FAR, every: float = 0.01) -> T:
    """Return what `condition` returns as soon as that is true; fail with `what` if it never is."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain: {what}"
        time.sleep(every)
    return value
