"""The checker of histories is itself checked.

On histories of a store in memory that is right, and of three that are wrong now and then; and on
small ones, against trying every order.
"""

import heapq
from collections import defaultdict
from collections.abc import Callable
from itertools import combinations, count, permutations
from math import inf
from random import Random
from typing import Any

import pytest

from lab.linearizability import (
    MISSING,
    Operation,
    apply,
    first_impossible,
    linearizable,
    violations,
)
from tests.hostile.linearizability import calls

CLIENTS = 8
OPERATIONS = 2_000
SEEDS = range(10)


class Store:
    """The store as it should be: each call happens at one moment."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.values: dict[str, Any] = defaultdict(lambda: MISSING)

    def carry_out(self, operation: Operation) -> Any:
        """Answer a call."""
        answer, self.values[operation.name] = apply(operation, self.values[operation.name])
        return answer

    def afterwards(self, operation: Operation) -> None:
        """Take note that a call was answered a while ago."""


class StaleRead(Store):
    """Now and then a read is answered from a copy that is some writes behind."""

    def __init__(self, random: Random) -> None:
        super().__init__(random)
        self._old: dict[str, list[Any]] = defaultdict(list)

    def carry_out(self, operation: Operation) -> Any:
        """Answer a call, a read maybe from the copy."""
        old = self._old[operation.name]
        if operation.method == "get" and len(old) > CLIENTS and self.random.random() < 0.01:
            return old[-CLIENTS]
        answer = super().carry_out(operation)
        old.append(self.values[operation.name])
        return answer


class LostUpdate(Store):
    """Now and then a write is answered and not carried out."""

    def carry_out(self, operation: Operation) -> Any:
        """Answer a call, and maybe forget it."""
        before = self.values[operation.name]
        answer = super().carry_out(operation)
        if self.random.random() < 0.01:
            self.values[operation.name] = before
        return answer


class DoubleApply(Store):
    """Now and then a set is carried out a second time after its answer, as if sent again."""

    def afterwards(self, operation: Operation) -> None:
        """Carry out a call again, maybe."""
        if operation.method == "set" and self.random.random() < 0.03:
            self.carry_out(operation)


class Simulation:
    """Clients that call a store at the same time, in made-up time.

    A call takes effect at some moment between itself and its answer. Of one in fifty the answer
    is lost; then half of them take effect, and maybe long after.
    """

    def __init__(self, store: Store) -> None:
        self.history: list[Operation] = []
        self._store = store
        self._random = store.random
        self._seen: dict[str, Any] = {}
        self._calls = calls(self._random, count(), self._seen)
        self._agenda: list[tuple[float, int, Callable[[float], None]]] = []
        self._numbers = count()

    def run(self) -> list[Operation]:
        """Return the history of all clients."""
        for _ in range(CLIENTS):
            self._at(self._random.random(), self._call)
        while self._agenda:
            now, _, step = heapq.heappop(self._agenda)
            step(now)
        return self.history

    def _at(self, moment: float, step: Callable[[float], None]) -> None:
        heapq.heappush(self._agenda, (moment, next(self._numbers), step))

    def _call(self, now: float) -> None:
        if len(self.history) >= OPERATIONS:
            return
        operation = Operation(*next(self._calls), called=now)
        if self._random.random() < 0.02:
            self.history.append(operation)
            if self._random.random() < 0.5:
                late = now + 20 * self._random.random()
                self._at(late, lambda _: void(self._store.carry_out(operation)))
            self._at(now + 1, self._call)
        else:
            self._at(now + self._random.random(), lambda _: self._effect(operation))

    def _effect(self, operation: Operation) -> None:
        answer = self._store.carry_out(operation)
        self._at(operation.called + 1, lambda now: self._answer(operation, answer, now))

    def _answer(self, operation: Operation, answer: Any, now: float) -> None:
        self.history.append(operation._replace(answered=now, answer=answer))
        if operation.method == "get":
            self._seen[operation.name] = answer
        self._at(now + 3, lambda _: self._store.afterwards(operation))
        self._at(now + self._random.random(), self._call)


def simulated(store: type[Store], seed: int) -> list[Operation]:
    """Return the history of clients of such a store."""
    return Simulation(store(Random(seed))).run()  # noqa: S311 - to be repeated


def void(_: object) -> None:
    """Drop an answer that is lost."""


def test_right_histories_are_accepted() -> None:
    """Ten of ten, with calls whose answer was lost among them."""
    for seed in SEEDS:
        history = simulated(Store, seed)
        assert violations(history) == []
        assert len([operation for operation in history if operation.answered == inf]) > 10


@pytest.mark.parametrize("store", [StaleRead, LostUpdate, DoubleApply])
def test_wrong_histories_are_caught(store: type[Store]) -> None:
    """Ten of ten of a store that is wrong in about one of a hundred answers."""
    assert all(violations(simulated(store, seed)) for seed in SEEDS)


def test_small_histories_are_judged_as_by_trying_every_order() -> None:
    """A thousand of four calls, with answers and times at random; about half are right."""
    random = Random(0)  # noqa: S311 - to be repeated
    verdicts = []
    for _ in range(1000):
        history = [at_random(random) for _ in range(4)]
        verdicts.append(linearizable(history))
        assert verdicts[-1] is by_trying(history), history
    assert 200 < sum(verdicts) < 800


def test_the_first_impossible_answer_is_the_one_that_no_order_explains() -> None:
    """Of a thousand histories of six calls: all before it are possible, and not with it."""
    random = Random(1)  # noqa: S311 - to be repeated
    found = 0
    for _ in range(1000):
        history = [at_random(random) for _ in range(6)]
        first = first_impossible(history)
        moments = sorted(each.answered for each in history if each.answered < inf)
        wrong = [moment for moment in moments if not linearizable(until(history, moment))]
        assert (first and first.answered) == (wrong[0] if wrong else None), history
        found += bool(wrong)
    assert 200 < found < 990


def until(history: list[Operation], now: float) -> list[Operation]:
    """Return what was known of a history at a moment."""
    return [
        each if each.answered <= now else each._replace(answered=inf, answer=None)
        for each in history
        if each.called <= now
    ]


def at_random(random: Random) -> Operation:
    """Return a call of one name with some answer, which may well be a wrong one."""
    called = random.random()
    lost = random.random() < 0.2
    options: dict[str, tuple[tuple[Any, ...], list[Any]]] = {
        "get": ((), [1, 2, MISSING]),
        "set": ((random.choice([1, 2]),), [None]),
        "delete": ((), [None, MISSING]),
        "compare_and_set": (
            (random.choice([None, 1, 2]), random.choice([1, 2])),
            [True, False],
        ),
    }
    method, (arguments, answers) = random.choice(list(options.items()))
    answered = inf if lost else called + random.random()
    return Operation("x", method, arguments, called, answered, random.choice(answers))


def by_trying(history: list[Operation]) -> bool:
    """Whether any order of any of them that leaves out none that was answered explains all."""
    lost = [operation for operation in history if operation.answered == inf]
    answered = [operation for operation in history if operation.answered < inf]
    return any(
        explains(order)
        for number in range(len(lost) + 1)
        for some in combinations(lost, number)
        for order in permutations([*answered, *some])
    )


def explains(order: tuple[Operation, ...]) -> bool:
    """Whether the calls, one after the other, give their answers, and none comes too late."""
    value: Any = MISSING
    for number, operation in enumerate(order):
        if any(later.answered < operation.called for later in order[number + 1 :]):
            return False
        answer, value = apply(operation, value)
        if operation.answered < inf and answer != operation.answer:
            return False
    return True
