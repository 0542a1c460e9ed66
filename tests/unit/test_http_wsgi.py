"""WSGI applications in threads, and how their answers are written, without a socket."""

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment
from wsgiref.validate import validator

import pytest

from services.http.heads import Head, parse
from services.http.session import Request, Session
from services.http.worker import Connection
from services.http.wsgi import Answer, Gone, Worker

Application = Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]
GET = b"GET /a%20b/%FF?c=d HTTP/1.1\r\nHost: x"


@dataclass
class Written:
    """What an answer has its worker write."""

    alive: bool = True
    parts: list[bytes] = field(default_factory=list)
    whole: bool = False
    last: bool = False

    def write(
        self, _connection: Connection, parts: Iterable[bytes], whole: bool, last: bool
    ) -> None:
        """Take more of an answer."""
        assert not self.whole
        self.parts.append(b"".join(parts))
        self.whole, self.last = whole, last

    @property
    def wire(self) -> tuple[bytes, list[bytes], bytes]:
        """The first line, the fields without the date, and the body."""
        head, _, body = b"".join(self.parts).partition(b"\r\n\r\n")
        first, *fields = head.split(b"\r\n")
        return first, [line for line in fields if not line.startswith(b"Date: ")], body


def connection() -> Connection:
    """Return one without a socket."""
    client: Any = None
    return Connection(client, ("192.0.2.1", 1234), Session(60))


def environ(head: Head, body: bytes = b"") -> WSGIEnvironment:
    """Return the environment of a request."""
    worker: Any = Worker.__new__(Worker)
    worker._name, worker._port = "127.0.0.1", 8080
    found: WSGIEnvironment = worker._environ(connection(), Request(head, body))
    return found


def answered(application: Application, head: bytes = GET) -> Written:
    """Return what an application's answer to a request is."""
    written: Any = Written()
    Answer(written, connection(), parse(head)).give(application, environ(parse(head)))
    assert isinstance(written, Written)
    return written


def saying(*blocks: bytes, status: str = "200 OK", **fields: str) -> Application:
    """Return an application that answers with these blocks."""

    def application(_environ: WSGIEnvironment, start: StartResponse) -> Iterator[bytes]:
        start(status, [(name.replace("_", "-"), value) for name, value in fields.items()])
        yield from blocks

    return application


def test_a_body_of_a_known_length_ends_with_its_last_byte() -> None:
    """It is whole then, whatever the application still does; and what is beyond is left out."""
    written = answered(saying(b"", b"one", b"two!!", b"three", Content_Length="6", X="y"))
    assert written.wire == (b"HTTP/1.1 200 OK", [b"Content-Length: 6", b"X: y"], b"onetwo")
    assert (written.whole, written.last, len(written.parts)) == (True, False, 2)


def test_a_body_that_is_too_short_ends_with_the_connection() -> None:
    """Nothing else can tell the client."""
    written = answered(saying(b"one", Content_Length="6"))
    assert (written.wire[2], written.whole, written.last) == (b"one", True, True)


def test_a_body_without_a_length_comes_in_chunks() -> None:
    """One for each block, as soon as it is there."""
    written = answered(saying(b"one", b"", b"three" * 4))
    assert written.wire[1:] == (
        [b"Transfer-Encoding: chunked"],
        b"3\r\none\r\n14\r\n" + b"three" * 4 + b"\r\n0\r\n\r\n",
    )
    assert (written.whole, written.last, len(written.parts)) == (True, False, 3)


def test_to_a_client_of_http_1_0_it_ends_with_the_connection() -> None:
    """There were no chunks then."""
    written = answered(saying(b"one", b"two"), b"GET / HTTP/1.0")
    assert written.wire[1:] == ([b"Connection: close"], b"onetwo")
    assert (written.whole, written.last) == (True, True)


@pytest.mark.parametrize(
    ("head", "status", "length"),
    [
        pytest.param(b"HEAD / HTTP/1.1\r\nHost: x", "200 OK", True, id="HEAD"),
        pytest.param(GET, "304 Not Modified", True, id="304"),
        pytest.param(GET, "204 No Content", False, id="204"),
    ],
)
def test_some_answers_have_no_body(head: bytes, status: str, length: bool) -> None:
    """Whatever the application says; and some not even its length (RFC 9110, 8.6)."""
    for blocks in ((b"one",), ()):
        written = answered(saying(*blocks, status=status, Content_Length="3"), head)
        fields = [b"Content-Length: 3"] if length else []
        assert written.wire == (f"HTTP/1.1 {status}".encode(), fields, b"")
        assert (written.whole, written.last) == (True, False)


def test_a_worker_that_stops_says_that_the_answer_is_the_last() -> None:
    """The client need not find out."""
    written: Any = Written(alive=False)
    Answer(written, connection(), parse(GET)).give(saying(b"x"), {})
    assert b"Connection: close" in written.wire[1]
    assert written.last


def test_the_connection_is_not_the_applications_business() -> None:
    """Fields about it are left out (PEP 3333): with one of them, its body would be framed anew."""
    application = saying(b"x", Transfer_Encoding="gzip", Connection="upgrade", Content_Length="1")
    assert answered(application).wire[1] == [b"Content-Length: 1"]


@pytest.mark.parametrize(
    "application",
    [
        pytest.param(saying(b"x", X="y\r\nZ: injected"), id="a line break in a field"),
        pytest.param(saying(b"x", **{"X: y\r\nZ": "z"}), id="a line break in a name"),
        pytest.param(saying(b"x", status="200 OK\r\nX: y"), id="a line break in the status"),
        pytest.param(saying(b"x", status="OK"), id="no status"),
        pytest.param(saying(b"x", Content_Length="-1"), id="a negative length"),
        pytest.param(saying(b"x", Content_Length="1", content_length="2"), id="two lengths"),
    ],
)
def test_no_application_can_break_the_framing(application: Application) -> None:
    """It has a fault then, and nothing of it is sent."""
    written: Any = Written()
    answer = Answer(written, connection(), parse(GET))
    with pytest.raises(ValueError, match="not "):
        answer.give(application, {})
    assert written.parts == []
    answer.fail()
    assert written.wire[0] == b"HTTP/1.1 500 Internal Server Error"
    assert written.whole


def test_an_application_that_fails_midway_ends_the_connection() -> None:
    """Its client must not take what it has for all."""

    def application(_environ: WSGIEnvironment, start: StartResponse) -> Iterator[bytes]:
        start("200 OK", [])
        yield b"one"
        raise ZeroDivisionError

    written: Any = Written()
    answer = Answer(written, connection(), parse(GET))
    with pytest.raises(ZeroDivisionError):
        answer.give(application, {})
    answer.fail()
    assert written.wire[2] == b"3\r\none\r\n"
    assert (written.whole, written.last) == (True, True)


def test_an_application_can_change_its_mind_before_the_first_block() -> None:
    """With exc_info, as PEP 3333 has it; after that, its exception is raised again."""

    def application(_environ: WSGIEnvironment, start: StartResponse) -> Iterator[bytes]:
        start("200 OK", [("X", "1")])
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            start("500 Oh", [("X", "2")], sys.exc_info())
        yield b"x"
        try:
            raise KeyError
        except KeyError:
            start("500 Oh", [("X", "3")], sys.exc_info())

    written: Any = Written()
    with pytest.raises(KeyError):
        Answer(written, connection(), parse(GET)).give(application, {})
    assert written.wire[:2] == (b"HTTP/1.1 500 Oh", [b"X: 2", b"Transfer-Encoding: chunked"])


def test_an_application_ends_when_its_client_has_gone() -> None:
    """And is closed, as PEP 3333 has it."""
    closed = threading.Event()
    gone = connection()

    class Blocks:
        def __iter__(self) -> Iterator[bytes]:
            yield b"one"
            gone.session.ended = "gone"
            while True:
                yield b"more"

        def close(self) -> None:
            closed.set()

    def application(_environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        start("200 OK", [])
        return Blocks()

    written: Any = Written()
    with pytest.raises(Gone):
        Answer(written, gone, parse(GET)).give(application, {})
    assert closed.is_set()


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(GET, id="GET"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4", id="POST"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked", id="chunks"),
    ],
)
def test_it_is_a_server_as_wsgi_has_it(head: bytes) -> None:
    """The standard library's validator finds nothing to complain about."""
    seen = b""

    def application(found: WSGIEnvironment, start: StartResponse) -> list[bytes]:
        nonlocal seen
        seen = found["wsgi.input"].read(10)
        start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
        return [b"ok"]

    written: Any = Written()
    answer = Answer(written, connection(), parse(head))
    answer.give(validator(application), environ(parse(head), b"body"))
    assert (written.wire[2], seen) == (b"ok", b"body")


def test_an_application_is_told_what_was_asked() -> None:
    """As PEP 3333 names it; fields that could be taken for something else are left out."""
    head = parse(GET + b"\r\nX-Y: 1\r\nX_Y: 2\r\nProxy: http://evil\r\nCookie: a\r\nCOOKIE: b")
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
        "HTTP_COOKIE": "a,b",
    }
    others = {name for name in found if name.isupper()} - set(wanted)
    assert {name: found[name] for name in wanted} == wanted
    assert others == {"SERVER_SOFTWARE"}
