"""The event-driven worker of the key-value store, without its sockets."""

import math
import select
from collections import deque
from collections.abc import Iterator
from typing import Any

from services.kv.evented import TURN, Worker


def test_the_calls_of_a_turn_are_few_if_they_are_large() -> None:
    """All of a turn are in memory as Python objects, which is several times their bytes."""
    turns: list[list[int]] = []

    def application(calls: list[tuple[int, bytes]]) -> Iterator[Any]:
        turns.append([client for client, _ in calls])
        yield from ()

    large, small = b"x" * (TURN // 2 + 1), b"x"
    worker = Worker.__new__(Worker)
    worker.wsgi = application
    worker._connections = {}
    worker._next_sweep = math.inf
    calls: Any = enumerate([small, small, large, large, large, small])
    worker._calls = deque(calls)
    with select.epoll() as worker._epoll:
        while worker._calls:
            worker._turn()
    assert turns == [[0, 1, 2, 3], [4, 5]]
