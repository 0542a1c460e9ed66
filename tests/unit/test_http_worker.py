"""The worker that serves all connections in one thread."""

import errno
import math
import os
import select
import signal
import socket
from collections import deque
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from services import runtime
from services.http.limits import MAX_BUFFERED, Sessions
from services.http.protocol import Protocol
from services.http.request import Request
from services.http.worker import READABLE, TICK, Worker
from services.kv.worker import MAX_CALLS
from services.kv.worker import Worker as KeyValueWorker
from tests.support.sockets import LOOPBACK
from tests.unit.test_http_protocol import IDLE_TIMEOUT, PEER, REQUEST_TIMEOUT, request


def test_an_iteration_has_few_calls_if_they_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them may be in memory as Python objects, which is several times their bytes."""
    iterations: list[list[int]] = []
    large, small = bytes(MAX_CALLS // 2 + 1), b"x"
    worker: Any = KeyValueWorker.__new__(KeyValueWorker)
    worker.PIPE = os.pipe()
    monkeypatch.setattr(worker, "_calls", deque(), raising=False)
    worker._sessions = Sessions()
    monkeypatch.setattr(worker, "_server", Answering(), raising=False)
    monkeypatch.setattr(worker, "respond", lambda number, *_, **__: iterations[-1].append(number))
    for number, body in enumerate((small, small, large, large, large, small)):
        worker.handle(
            number,
            SimpleNamespace(
                path="/",
                body=body,
                keep_alive=True,
                version="HTTP/1.1",
                headers={"content-type": "text/xml"},
            ),
        )
    for woken in (True, False):
        iterations.append([])
        worker.work()
        assert bool(select.select([worker.PIPE[0]], [], [], 0)[0]) is woken
        if woken:
            os.read(worker.PIPE[0], 1)
    for descriptor in worker.PIPE:
        os.close(descriptor)
    assert iterations == [[0, 1, 2, 3], [4, 5]]


class Answering:
    """A server that answers all calls, and has no names to list but those given."""

    def __init__(self, *listings: str) -> None:
        self.listings = listings

    def __call__(self, calls: list[Any], _room: bool) -> Iterator[tuple[Any, list[bytes], bool]]:
        """Yield each client with an empty answer."""
        return ((client, [b""], False) for client, *_ in calls)


@pytest.mark.parametrize(("buffered", "woken"), [(0, True), (MAX_BUFFERED + 1, False)])
def test_names_that_are_listed_do_not_keep_the_next_iteration_waiting(
    buffered: int, woken: bool
) -> None:
    """Unless so much is buffered that they have to wait themselves: then it idles."""
    worker: Any = KeyValueWorker.__new__(KeyValueWorker)
    worker.PIPE, worker._calls, worker._sessions = os.pipe(), deque(), Sessions()
    worker._server, worker._sessions.buffered = Answering("a client"), buffered
    worker.work()
    assert bool(select.select([worker.PIPE[0]], [], [], 0)[0]) is woken
    for descriptor in worker.PIPE:
        os.close(descriptor)


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

        def notify(self) -> None:
            pass

    worker: Any = Idle.__new__(Idle)
    worker._clients = {}
    worker._sessions = Sessions()
    worker._next_check = math.inf
    worker.cfg = SimpleNamespace(worker_connections=1)
    with socket.create_server((LOOPBACK, 0)) as listener, select.epoll() as worker._epoll:
        worker._listener = SimpleNamespace(accept=accept, fileno=listener.fileno)
        worker._epoll.register(listener, select.EPOLLIN)
        with socket.create_connection(listener.getsockname()):
            worker._next_check = 0.0
            worker._accept()
            assert not worker._epoll.poll(0)
            worker._next_check = 0.0
            worker._check()
            assert worker._epoll.poll(TICK)
    assert [record.getMessage() for record in caplog.records] == [
        f"accept: [Errno {reason}] {os.strerror(reason)}"
    ]


def test_nothing_is_received_while_a_request_is_being_handled() -> None:
    """What else a client sends stays in the kernel, also when an event is reported late."""

    class Holding(Worker):
        alive = True

        def handle(self, descriptor: int, request: Request) -> None:
            handled.append((descriptor, bytes(request.body)))

    handled: list[tuple[int, bytes]] = []
    worker: Any = Holding.__new__(Holding)
    ours, theirs = socket.socketpair()
    protocol = Protocol(PEER, REQUEST_TIMEOUT, IDLE_TIMEOUT)
    number = ours.fileno()
    worker._clients, worker._sessions = {number: ours}, Sessions()
    worker._sessions[number] = protocol
    with ours, theirs, select.epoll() as worker._epoll:
        worker._epoll.register(ours, READABLE)
        worker._events = {number: READABLE}
        theirs.sendall(request(b"1"))
        assert [reported for reported, _ in worker._epoll.poll(0)] == [number]
        worker._proceed(number, ready=True)
        theirs.sendall(request(b"2"))
        worker._proceed(number, ready=True)
        assert not worker._epoll.poll(0)
        assert handled == [(number, b"1")]
        assert protocol.deadline == math.inf
        worker.respond(number, b"response", close=False)
        assert [reported for reported, _ in worker._epoll.poll(0)] == [number]
        worker._proceed(number, ready=True)
        assert handled == [(number, b"1"), (number, b"2")]
        theirs.close()
        worker.respond(number, b"response", close=False)
        assert worker._sessions == {}
        assert ours.fileno() == -1


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


POST = "POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n{}\r\n"
XML = "Content-Type: text/xml\r\n"
UNSUPPORTED, TYPE = "415 Unsupported Media Type", "Content-Type: {}\r\n"


@pytest.mark.parametrize(
    ("received", "status"),
    [
        pytest.param(POST.format("/RPC2", XML), None, id="RPC2"),
        pytest.param(POST.format("/RPC2/1999", XML), None, id="1999"),
        pytest.param(POST.format("/?x=1", XML), None, id="query"),
        pytest.param(POST.format("/", f"{XML}Content-Encoding: identity\r\n"), None, id="identity"),
        pytest.param(POST.format("/", TYPE.format("application/xml")), None, id="application/xml"),
        pytest.param(POST.format("/", TYPE.format("Text/XML ; charset=utf-8")), None, id="charset"),
        pytest.param(POST.format("/x", XML), "404 Not Found", id="another path"),
        pytest.param(POST.format("//RPC2", XML), "404 Not Found", id="two slashes"),
        pytest.param(POST.format("/RPC2/", XML), "404 Not Found", id="a slash at the end"),
        pytest.param("GET / HTTP/1.0\r\n\r\n", "405 Method Not Allowed", id="GET"),
        pytest.param("post / HTTP/1.0\r\n\r\n", "501 Not Implemented", id="post"),
        pytest.param(f"POST / HTTP/1.0\r\n{XML}\r\n", "411 Length Required", id="no length"),
        pytest.param(
            f"POST / HTTP/1.1\r\nHost: localhost\r\n{XML}Transfer-Encoding: chunked\r\n\r\n",
            "411 Length Required",
            id="chunks",
        ),
        pytest.param(POST.format("/", f"{XML}Content-Encoding: gzip\r\n"), UNSUPPORTED, id="gzip"),
        pytest.param(POST.format("/", ""), UNSUPPORTED, id="no type"),
        *(
            pytest.param(POST.format("/", TYPE.format(kind)), UNSUPPORTED, id=kind)
            for kind in (
                "text/plain", "application/x-www-form-urlencoded", "multipart/form-data",
                "application/json", "text/html", "text/xml2", "text/plain; text/xml",
                "application/rss+xml", "*/*", "xml",
            )
        ),
        pytest.param(
            POST.format("/", f"{XML}Content-Type: text/plain\r\n"), UNSUPPORTED, id="two types"
        ),
        pytest.param(
            POST.format("/", f"{XML}Origin: http://evil.example\r\n"), "403 Forbidden", id="Origin"
        ),
        pytest.param(
            POST.format("/", XML).replace("localhost", "evil.example"),
            "421 Misdirected Request",
            id="Host",
        ),
    ],
)  # fmt: skip
def test_the_key_value_store_accepts_only_calls(received: str, status: str | None) -> None:
    """A POST of XML to one of its paths, with a length, and not from a page of another site."""
    admit = KeyValueWorker.__new__(KeyValueWorker).admit
    protocol = Protocol(PEER, REQUEST_TIMEOUT, IDLE_TIMEOUT, admit)
    protocol.receive_data(received.encode())
    assert bool(protocol.next_request()) is not bool(status)
    assert (protocol.error and protocol.error.status) == status


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_signal_ends_the_loop_and_raises_nothing(number: signal.Signals) -> None:
    """An exception would come wherever the worker just is: in a commit, or while it ends."""
    before = {each: signal.getsignal(each) for each in Worker.SIGNALS}
    worker: Any = Worker.__new__(Worker)
    worker.alive, worker.PIPE = True, os.pipe()
    os.set_blocking(worker.PIPE[1], False)
    try:
        worker.init_signals()
        signal.raise_signal(number)
        assert not worker.alive
    finally:
        signal.set_wakeup_fd(-1)
        for each, handler in before.items():
            signal.signal(each, handler)
        for descriptor in worker.PIPE:
            os.close(descriptor)
