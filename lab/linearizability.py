"""Whether a recorded history of a key-value store is linearizable.

It is if each operation can be given a moment between its call and its answer, such that all of
them, carried out one after the other in the order of these moments, give the answers that were
recorded. An operation whose answer was lost may have happened at any moment after its call, or
never.

A history is linearizable if that of each name is (Herlihy and Wing, "Linearizability: a
correctness condition for concurrent objects", ACM TOPLAS 12(3), 1990: locality), so names are
looked at one by one. The search is that of Wing and Gong, "Testing and verifying concurrent
objects", J. Parallel and Distributed Computing 17, 1993: of the operations that may be next, try
each. It never tries twice to go on from the same operations done and the same value, which is
what makes it fast (Lowe, "Testing for linearizability", Concurrency and Computation 29(4), 2017).
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from math import inf
from typing import Any, NamedTuple

ENOUGH = 200_000
MISSING = "no such key"  # the value of a name that has none, and the answer that says so


class Operation(NamedTuple):
    """A call and its answer; `answered` is infinity if that was lost. Times are of one clock."""

    name: str
    method: str
    arguments: tuple[Any, ...]
    called: float
    answered: float = inf
    answer: Any = None


class Point(NamedTuple):
    """How far a search has come: which operations are done, and the value that they leave.

    Of those with an answer, in the order of their calls, all before `first` and those of the bits
    of `beyond`, which count from `first`; of those without one, those of the bits of `lost`.
    """

    first: int = 0
    beyond: int = 0
    lost: int = 0
    value: Any = MISSING


def apply(operation: Operation, value: Any) -> tuple[Any, Any]:
    """Carry out an operation on a register; return its answer and the value after it."""
    match operation.method, operation.arguments:
        case "get", ():
            return value, value
        case "set", (new,):
            return None, new
        case "delete", ():
            return (MISSING if value == MISSING else None), MISSING
        case "compare_and_set", (expected, new):
            same = value == (MISSING if expected is None else expected)
            return same, new if same else value
    raise ValueError(operation)


def violations(history: Iterable[Operation]) -> list[str]:
    """Return the names whose history is not linearizable."""
    by_name: dict[str, list[Operation]] = defaultdict(list)
    for operation in history:
        by_name[operation.name].append(operation)
    return [name for name, operations in by_name.items() if not linearizable(operations)]


def first_impossible(operations: Iterable[Operation]) -> Operation | None:
    """Return the first answer, as they came, that no order of the calls of one name explains.

    Up to the answer before it, the history is linearizable; None if all of it is. What was answered
    later counts as not answered yet.
    """
    known = [*operations]
    answered = sorted((each for each in known if each.answered < inf), key=lambda it: it.answered)

    def impossible(count: int) -> bool:
        now = answered[count].answered
        begun = (each for each in known if each.called <= now)
        return not linearizable(
            each if each.answered <= now else each._replace(answered=inf, answer=None)
            for each in begun
        )

    # What is impossible stays so, whatever comes after it.
    at = bisect_left(range(len(answered)), True, key=impossible)
    return answered[at] if at < len(answered) else None


def linearizable(operations: Iterable[Operation]) -> bool:
    """Whether the history of one name, which has no value at first, is found to be linearizable.

    Where it is, the search comes to about as many points as there are operations. Where it is not,
    there can be very many to try: it gives up after ENOUGH.
    """
    by_call = sorted(operations, key=lambda operation: operation.called)
    answered = [operation for operation in by_call if operation.answered < inf]
    lost = [each for each in by_call if each.answered == inf and each.method != "get"]
    found = [Point()]
    seen = set(found)
    while found and len(seen) < ENOUGH:
        point = found.pop()
        if point.first == len(answered):
            return True
        for following in after(point, answered, lost):
            if following not in seen:
                seen.add(following)
                found.append(following)
    return False


def after(point: Point, answered: list[Operation], lost: list[Operation]) -> Iterator[Point]:
    """Yield where the operations that may be next lead to, the least likely first."""
    first, beyond, taken, value = point
    earliest = inf  # answer of those that are not done: whoever was called later comes after it
    candidates = []
    for number in range(len(answered) - first):
        operation = answered[first + number]
        if operation.called > earliest:
            break
        if not beyond >> number & 1:
            earliest = min(earliest, operation.answered)
            candidates.append((operation.answered, number, operation))
    for number, operation in enumerate(lost):
        if operation.called < earliest and not taken >> number & 1:
            _, new = apply(operation, value)
            if new != value:
                yield Point(first, beyond, taken | 1 << number, new)
    for _, number, operation in sorted(candidates, reverse=True):
        answer, new = apply(operation, value)
        if answer == operation.answer:
            yield advanced(first, beyond | 1 << number, taken, new)


def advanced(first: int, beyond: int, lost: int, value: Any) -> Point:
    """Return the point at which the first operation is one that is not done."""
    while beyond & 1:
        first, beyond = first + 1, beyond >> 1
    return Point(first, beyond, lost, value)
