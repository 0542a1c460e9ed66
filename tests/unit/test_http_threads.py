"""The threads that run WSGI applications, with other work to do."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, get_ident

import pytest

from services.http import threads
from services.http.threads import Pool
from tests.support.pace import FAR, until

COUNT = 4
Item = Callable[[], object]


class Work:
    """Items are functions to call. It notes what they return, in which threads, and each flush."""

    def __init__(self) -> None:
        self.done: list[object] = []
        self.threads: set[int] = set()

    def handle(self, item: Item) -> None:
        """Call an item, and note its result."""
        self.threads.add(get_ident())
        self.done.append(item())

    def flush(self) -> None:
        """Note that what is done may not wait any longer."""
        if self.done and self.done[-1] != "flushed":
            self.done.append("flushed")


@contextmanager
def pool(work: Work, count: int = COUNT) -> Iterator[Pool[Item]]:
    """Lend a pool, and end it."""
    made: Pool[Item] = Pool(count, work.handle, work.flush)
    try:
        yield made
    finally:
        made.close(FAR)
        assert not [thread for thread in made._threads if thread.is_alive()]


def numbers(first: int, end: int) -> list[Item]:
    """Return items that are quick."""
    return [lambda number=number: number for number in range(first, end)]  # type: ignore[misc]


@pytest.fixture
def work() -> Work:
    """Return what is handled."""
    return Work()


@pytest.fixture
def _never_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no item count as stuck, also on a machine that is busy."""
    monkeypatch.setattr(threads, "STUCK", FAR)


@pytest.mark.usefixtures("_never_stuck")
def test_one_thread_does_all_that_is_quick(work: Work) -> None:
    """In the order in which it came; and once nothing is left to do, that is the time to flush."""
    go_on = Event()
    with pool(work) as made:
        made.put([lambda: go_on.wait(FAR) and "late", *numbers(0, 100)])
        until(lambda: work.threads, "a thread has begun")
        made.put(numbers(100, 200))
        go_on.set()
        until(lambda: "flushed" in work.done, "all is done")
    assert work.done == ["late", *range(200), "flushed"]
    assert len(work.threads) == 1


def test_the_others_go_on_if_one_is_stuck(work: Work) -> None:
    """All but the last of them may be, and what was done before does not wait for them either."""
    go_on = Event()
    stuck: Item = lambda: go_on.wait(FAR) and "late"  # noqa: E731 - an item, like those of `numbers`
    with pool(work) as made:
        made.put([*numbers(0, 1), *(COUNT - 1) * [stuck]])
        until(lambda: work.done == [0, "flushed"], "the item before is done and flushed")
        until(lambda: len(made._working) == COUNT - 1, "several are stuck")
        made.put(numbers(1, 3))
        until(lambda: 2 in work.done, "the others are done")
        go_on.set()
        until(lambda: work.done.count("late") == COUNT - 1, "those are done in the end")


@pytest.mark.usefixtures("_never_stuck")
@pytest.mark.parametrize("count", [1, COUNT])
def test_nothing_is_left_for_later_where_the_next_item_may_be_slow(work: Work, count: int) -> None:
    """Because one has just been, or because nobody watches the only thread there is."""
    go_on = Event()
    with pool(work, count) as made:
        made._all_work = True
        made.put([*numbers(0, 1), *(count * [lambda: go_on.wait(FAR) and "late"])])
        until(lambda: len(made._working) == count, "all threads are stuck")
        assert work.done == [0, "flushed"]
        go_on.set()


def test_one_thread_is_enough_again_when_none_was_stuck_for_a_while(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And once there is no work either, no thread wakes up."""
    monkeypatch.setattr(threads, "CALM", 0.2)
    with pool(work) as made:
        made.put([lambda: time.sleep(5 * threads.STUCK)])
        until(lambda: made._all_work, "all of them work")
        until(lambda: not made._all_work, "one of them works")
        until(lambda: not made._used.is_set(), "all of them sleep")
        made.put(numbers(0, 1))
        assert made._used.is_set()
