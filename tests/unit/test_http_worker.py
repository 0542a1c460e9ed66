"""The worker that hears everybody, without its sockets."""

import math
import select
from collections import deque
from collections.abc import Sequence
from typing import Any

import pytest

from services.http.refused import Refused
from services.http.session import Request, Session
from services.http.worker import FAIR_SHARE, MOST_HELD, TURN, Connection, Worker
from services.kv.evented import Worker as KeyValueWorker


def test_the_requests_of_a_turn_are_few_if_they_are_large() -> None:
    """All of a turn may be in memory as Python objects, which is several times their bytes."""
    turns: list[list[Any]] = []

    class Recorder(Worker):
        def carry_out(self, requests: Sequence[tuple[Connection, Request]]) -> None:
            turns.append([connection for connection, _ in requests])

    large, small = b"x" * (TURN // 2 + 1), b"x"
    head: Any = None
    worker = Recorder.__new__(Recorder)
    worker._connections = {}
    worker._next_sweep = math.inf
    worker._behind = False
    requests: Any = enumerate(
        Request(head, body) for body in (small, small, large, large, large, small)
    )
    worker._requests = deque(requests)
    with select.epoll() as worker._epoll:
        while worker._requests:
            worker._turn()
    assert turns == [[0, 1, 2, 3], [4, 5]]


class Kept(Session):
    """A session that keeps a number of bytes until it gives way."""

    def __init__(self, deadline: float, size: int, answer: bool = False) -> None:
        super().__init__(60)
        self.deadline = deadline
        (self.unsent if answer else self._received).extend(bytes(size))
        self.gave_way = False

    def give_way(self) -> None:
        """Take note."""
        self.gave_way = True
        self.unsent.clear()
        self._received.clear()


def those_that_give_way(*sessions: Kept) -> list[float]:
    """Return the deadlines of the sessions of a worker that give way when it has to have room."""
    worker = Worker.__new__(Worker)
    worker._held = sum(session.held for session in sessions)

    def go_on(connection: Connection) -> None:
        worker._held += connection.session.held - connection.held
        connection.held = connection.session.held

    client: Any = None
    worker._go_on = go_on  # type: ignore[method-assign]
    worker._connections = {
        number: Connection(client, ("x", number), session, held=session.held)
        for number, session in enumerate(sessions)
    }
    worker._shed()
    return sorted(session.deadline for session in sessions if session.gave_way)


def test_those_that_take_longest_give_way() -> None:
    """Until there is room again; not those that come last, nor those that hold little."""
    size = MOST_HELD // 8
    kept = [Kept(deadline, size) for deadline in (5, 3, 9, 1, 8, 7, 2, 6, 4)]
    assert those_that_give_way(Kept(0, FAIR_SHARE - 1), *kept) == [1, 2, 3, 4]


def test_an_answer_may_be_large_all_by_itself() -> None:
    """Of several, the last that was begun stays; of requests none, for others would follow."""
    large = 2 * MOST_HELD
    assert those_that_give_way(Kept(1, large, answer=True)) == []
    assert those_that_give_way(Kept(1, large)) == [1]
    answers = [Kept(deadline, large, answer=True) for deadline in (2, 3, 1)]
    assert those_that_give_way(Kept(4, large), *answers) == [1, 2, 4]


POST = "POST {} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n{}\r\n"


@pytest.mark.parametrize(
    ("received", "status"),
    [
        pytest.param(POST.format("/RPC2", ""), None, id="RPC2"),
        pytest.param(POST.format("/?x=1", ""), None, id="a query"),
        pytest.param(POST.format("/", "Content-Encoding: identity\r\n"), None, id="not encoded"),
        pytest.param(POST.format("/x", ""), "404 Not Found", id="another path"),
        pytest.param(POST.format("//RPC2", ""), "404 Not Found", id="two slashes"),
        pytest.param("GET / HTTP/1.0\r\n\r\n", "405 Method Not Allowed", id="GET"),
        pytest.param("post / HTTP/1.0\r\n\r\n", "405 Method Not Allowed", id="post"),
        pytest.param("POST / HTTP/1.0\r\n\r\n", "411 Length Required", id="no length"),
        pytest.param(
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
            "411 Length Required",
            id="chunks",
        ),
        pytest.param(
            POST.format("/", "Content-Encoding: gzip\r\n"), "415 Unsupported Media Type", id="gzip"
        ),
    ],
)
def test_the_key_value_store_admits_calls_only(received: str, status: str | None) -> None:
    """A POST to its path, with a length."""
    session = Session(60, KeyValueWorker.__new__(KeyValueWorker).admit)
    session.receive(received.encode())
    session.request()
    assert (session.refused and session.refused.status) == status
    assert isinstance(session.refused, Refused) is bool(status)
