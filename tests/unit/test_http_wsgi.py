"""WSGI applications in threads, without a socket."""

import os
import select
from collections.abc import Iterator
from threading import Condition
from types import SimpleNamespace
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment
from wsgiref.validate import validator

import pytest

from services.http.protocol import SMALL, Protocol
from services.http.request import parse_head
from services.http.wsgi import MAX_HELD, Worker, make_environ
from tests.unit.test_http_protocol import IDLE_TIMEOUT, REQUEST_TIMEOUT
from tests.unit.test_http_response import GET, Sent, response_to

CLIENT = ("192.0.2.1", 1234)
SERVER = ("127.0.0.1", 8080)


def environ(head: bytes, body: bytes = b"") -> WSGIEnvironment:
    """Return the environment of a request."""
    request = parse_head(head + b"\r\n")
    request.body += body
    return make_environ(request, CLIENT, SERVER)


def test_an_application_is_told_whether_there_are_other_processes() -> None:
    """What it keeps in its memory, those do not see (PEP 3333)."""
    request = parse_head(GET + b"\r\n")
    found = [make_environ(request, CLIENT, SERVER, workers) for workers in (1, 2)]
    assert [environ["wsgi.multiprocess"] for environ in found] == [False, True]


def test_the_host_of_a_url_is_host() -> None:
    """Also in HTTP/1.0, where there need be no other; so it is one that is checked."""
    found = environ(b"GET http://example.org:8080/a HTTP/1.0\r\n")
    assert (found["HTTP_HOST"], found["PATH_INFO"]) == ("example.org:8080", "/a")


def test_an_ipv6_server_has_a_name_in_brackets_and_an_ipv6_client_an_address_without() -> None:
    """So RFC 3875 has it, in 4.1.14 and 4.1.8."""
    found = make_environ(parse_head(GET + b"\r\n"), ("2001:db8::1", 1234), ("::1", 8080))
    assert (found["SERVER_NAME"], found["SERVER_PORT"]) == ("[::1]", "8080")
    assert (found["REMOTE_ADDR"], found["REMOTE_PORT"]) == ("2001:db8::1", "1234")


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(GET, id="GET"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n", id="POST"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n", id="chunked"),
    ],
)
def test_it_conforms_to_pep_3333(head: bytes) -> None:
    """The standard library's validator finds nothing to complain about."""
    seen = b""

    def application(found: WSGIEnvironment, start: StartResponse) -> list[bytes]:
        nonlocal seen
        seen = found["wsgi.input"].read(10)
        start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
        return [b"ok"]

    sent = Sent()
    response_to(head, sent).run(validator(application), environ(head, b"body"))
    assert (sent.wire[2], seen) == (b"ok", b"body")


def test_an_application_is_told_what_was_asked() -> None:
    """As PEP 3333 names it, without headers that could be taken for something else."""
    head = GET + b"X-Y: 1\r\nX_Y: 2\r\nProxy: http://evil\r\nCookie: a\r\nCOOKIE: b\r\n"
    found = environ(head, b"body")
    assert found["wsgi.input"].read() == b"body"
    wanted = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a b/\xff",
        "QUERY_STRING": "c=d",
        "RAW_URI": "/a%20b/%FF?c=d",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8080",
        "REMOTE_ADDR": "192.0.2.1",
        "REMOTE_PORT": "1234",
        "HTTP_HOST": "x",
        "HTTP_X_Y": "1",
        "HTTP_COOKIE": "a; b",
    }
    others = {name for name in found if name.isupper()} - set(wanted)
    assert {name: found[name] for name in wanted} == wanted
    assert others == {"SERVER_SOFTWARE"}


@pytest.fixture
def worker() -> Iterator[Any]:
    """Return a worker with one client, 7, and without threads; `passed` is what they would get.

    `responses` is what it sends.
    """
    made: Any = Worker.__new__(Worker)
    made.PIPE = os.pipe()
    made._lock, made._calls, made._woken = Condition(), [], False
    made._sessions = {7: Protocol(CLIENT, REQUEST_TIMEOUT, IDLE_TIMEOUT)}
    made.passed, made.responses = [[], []], []
    made._pools = [
        SimpleNamespace(put=lambda new, to=to: to.append([*new]), queued=True) for to in made.passed
    ]
    made._requests = [[], []]
    made.respond = lambda *arguments, **options: made.responses.append((*arguments, options))
    yield made
    for descriptor in made.PIPE:
        os.close(descriptor)


def woken(worker: Any) -> bool:
    """Whether a thread has woken up the worker."""
    return bool(select.select([worker.PIPE[0]], [], [], 0)[0])


def test_a_thread_learns_that_its_client_has_gone(worker: Any) -> None:
    """When it sends more; that the response is complete the worker has to know in any case."""
    worker.send(7, b"one", last=False, close=False)
    worker._sessions[7].close("gone")
    with pytest.raises(BrokenPipeError):
        worker.send(7, b"two", last=False, close=False)
    worker.send(7, last=True, close=True)
    worker.work()
    assert worker.responses == [
        (7, b"one", {"last": False, "close": False}),
        (7, {"last": True, "close": True}),
    ]


def test_small_responses_are_sent_together(worker: Any) -> None:
    """When the thread has no other request; an iteration before that does not send the first."""
    for _ in range(2):
        worker.send(7, bytes(SMALL), last=True, close=False)
    worker.work()
    assert (woken(worker), worker.responses) == (False, [])
    worker._wake()
    worker._wake()
    assert os.read(worker.PIPE[0], 10) == b"w"
    worker.work()
    assert len(worker.responses) == 2


@pytest.mark.parametrize(
    ("size", "last", "queued", "count"),
    [
        pytest.param(SMALL + 1, True, True, 1, id="large"),
        pytest.param(1, False, True, 1, id="incomplete"),
        pytest.param(1, True, True, MAX_HELD, id="many"),
        pytest.param(1, True, False, 1, id="with no request after it"),
    ],
)
def test_other_responses_do_not_wait(
    worker: Any, size: int, last: bool, queued: bool, count: int
) -> None:
    """Neither for memory, nor for what the application does in between, nor for the log."""
    worker._pools[0].queued = queued
    for number in range(count):
        assert not woken(worker)
        worker.send(7, bytes(size), last=last, close=False)
        assert len(worker._calls) == number + 1
    assert woken(worker)


def test_the_requests_of_an_iteration_are_passed_on_together(worker: Any) -> None:
    """Those with large bodies to their own thread; those that come when others are answered too."""
    small, large = parse_head(GET + b"\r\n"), parse_head(GET + b"\r\n")
    large.body += bytes(SMALL + 1)
    worker.respond = lambda *_, **__: worker.handle(9, small)
    worker.send(7, last=True, close=False)
    worker._wake()
    for number, request in enumerate((small, large, small)):
        worker.handle(number, request)
    assert worker.passed == [[], []]
    worker.work()
    worker.work()
    assert worker.passed == [[[(0, small), (2, small), (9, small)]], [[(1, large)]]]
