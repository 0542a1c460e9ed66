"""WSGI applications in threads, without a socket."""

from threading import Condition
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment
from wsgiref.validate import validator

import pytest

from services.http.protocol import Protocol
from services.http.request import parse_head
from services.http.wsgi import Worker, make_environ
from tests.unit.test_http_protocol import IDLE_TIMEOUT, REQUEST_TIMEOUT
from tests.unit.test_http_response import GET, Sent, response_to

CLIENT = ("192.0.2.1", 1234)
SERVER = ("127.0.0.1", 8080)


def environ(head: bytes, body: bytes = b"") -> WSGIEnvironment:
    """Return the environment of a request."""
    request = parse_head(head + b"\r\n")
    request.body += body
    return make_environ(request, CLIENT, SERVER)


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


def test_a_thread_learns_that_its_client_has_gone() -> None:
    """When it sends more; that the response is complete the worker has to know in any case."""
    protocol = Protocol(CLIENT, REQUEST_TIMEOUT, IDLE_TIMEOUT)
    calls: list[tuple[object, ...]] = []
    worker: Any = Worker.__new__(Worker)
    worker._lock, worker._calls, worker._woken = Condition(), [], True
    worker._sessions = {7: protocol}
    worker.respond = lambda *arguments, **options: calls.append((*arguments, options))
    Worker.send(worker, 7, b"one", last=False, close=False)
    protocol.close("gone")
    with pytest.raises(BrokenPipeError):
        Worker.send(worker, 7, b"two", last=False, close=False)
    Worker.send(worker, 7, last=True, close=True)
    for call in worker._calls:
        call()
    assert calls == [
        (7, b"one", {"last": False, "close": False}),
        (7, {"last": True, "close": True}),
    ]
