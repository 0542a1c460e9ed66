"""The worker that serves all connections in one thread."""

import errno
import math
import os
import select
import socket
from collections import deque
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from services import runtime
from services.http.limits import Sessions
from services.http.protocol import Protocol
from services.http.request import Request
from services.http.worker import MAX_REQUESTS, TICK, Connection, Worker
from services.kv.worker import Worker as KeyValueWorker
from tests.support.sockets import LOOPBACK
from tests.unit.test_http_protocol import IDLE_TIMEOUT, REQUEST_TIMEOUT


def test_an_iteration_has_few_requests_if_they_are_large() -> None:
    """All of them may be in memory as Python objects, which is several times their bytes."""
    iterations: list[list[Any]] = []

    class Recorder(Worker):
        def handle(self, requests: Sequence[tuple[Connection, Request]]) -> None:
            iterations.append([connection for connection, _ in requests])

    large, small = b"x" * (MAX_REQUESTS // 2 + 1), b"x"
    worker = Recorder.__new__(Recorder)
    worker._connections = {}
    worker._sessions = Sessions()
    worker._next_check = math.inf
    requests: Any = enumerate(
        SimpleNamespace(body=body) for body in (small, small, large, large, large, small)
    )
    worker._requests = deque(requests)
    with select.epoll() as worker._epoll:
        while worker._requests:
            worker._iterate()
    assert iterations == [[0, 1, 2, 3], [4, 5]]


@pytest.mark.parametrize(
    "reason", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM], ids=errno.errorcode.get
)
def test_without_capacity_it_stops_accepting_for_a_moment(
    reason: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The connection stays in the queue, which epoll would report again and again."""

    def accept() -> None:
        raise OSError(reason, os.strerror(reason))

    class Idle(Worker):
        ppid = os.getppid()
        alive = True

        def handle(self, requests: Sequence[tuple[Connection, Request]]) -> None:
            assert not requests

        def notify(self) -> None:
            pass

    worker: Any = Idle.__new__(Idle)
    worker._connections = {}
    worker._sessions = Sessions()
    worker._requests = deque()
    worker._next_check = math.inf
    worker.cfg = SimpleNamespace(worker_connections=1)
    with socket.create_server((LOOPBACK, 0)) as listener, select.epoll() as worker._epoll:
        worker._listener = SimpleNamespace(accept=accept, fileno=listener.fileno)
        worker._epoll.register(listener, select.EPOLLIN)
        with socket.create_connection(listener.getsockname()):
            worker._iterate()
            assert not worker._epoll.poll(0)
            worker._next_check = 0.0
            worker._check()
            assert worker._epoll.poll(TICK)
    assert [record.getMessage() for record in caplog.records] == [
        f"accept: [Errno {reason}] {os.strerror(reason)}"
    ]


def test_its_setting_is_read_when_gunicorn_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """In gunicorn's own process, which a bad one ends: workers would be started over and over."""
    monkeypatch.setenv("WIRELAB_SILENCE_TIMEOUT", "3")
    Worker.setup()
    assert Worker.request_timeout == 3
    monkeypatch.setenv("WIRELAB_SILENCE_TIMEOUT", "soon")
    with pytest.raises(runtime.SettingError, match="WIRELAB_SILENCE_TIMEOUT has value 'soon'"):
        Worker.setup()
    monkeypatch.delenv("WIRELAB_SILENCE_TIMEOUT")
    Worker.setup()
    assert Worker.request_timeout == REQUEST_TIMEOUT


POST = "POST {} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n{}\r\n"


@pytest.mark.parametrize(
    ("received", "status"),
    [
        pytest.param(POST.format("/RPC2", ""), None, id="RPC2"),
        pytest.param(POST.format("/?x=1", ""), None, id="query"),
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
def test_the_key_value_store_accepts_only_calls(received: str, status: str | None) -> None:
    """A POST to its path, with a length."""
    admit = KeyValueWorker.__new__(KeyValueWorker).admit
    protocol = Protocol(REQUEST_TIMEOUT, IDLE_TIMEOUT, admit)
    protocol.receive_data(received.encode())
    assert bool(protocol.next_request()) is not bool(status)
    assert (protocol.error and protocol.error.status) == status
