"""Calls at random of a few registers, for histories that lab/linearizability.py is to judge."""

from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

from lab.linearizability import MISSING as MISSING
from lab.linearizability import Operation as Operation
from lab.linearizability import violations as violations

NAMES = [f"register {number}" for number in range(6)]


def calls(
    random: Random, new: Iterator[int], seen: Mapping[str, Any]
) -> Iterator[tuple[str, str, tuple[Any, ...]]]:
    """Yield calls at random: each writes what is `new`, and compares with what was `seen` last."""
    while True:
        name = random.choice(NAMES)
        method = random.choices(["get", "set", "delete", "compare_and_set"], [40, 20, 5, 35])[0]
        match method:
            case "set":
                yield name, method, (next(new),)
            case "compare_and_set":
                held = seen.get(name, MISSING)
                yield name, method, (None if held == MISSING else held, next(new))
            case _:
                yield name, method, ()
