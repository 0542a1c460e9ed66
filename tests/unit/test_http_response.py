"""Responses of WSGI applications, as HTTP."""

import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest

from services.http.request import parse_head
from services.http.response import NoRoom, Response

Application = Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]
GET = b"GET /a%20b/%FF?c=d HTTP/1.1\r\nHost: x\r\n"


class Sent:
    """What a response is sent with: it keeps all parts."""

    def __init__(self, gone: bool = False) -> None:
        self.parts: list[bytes] = []
        self.complete = False
        self.close = False
        self._gone = gone

    def __call__(self, *parts: bytes, last: bool, close: bool) -> None:
        """Take parts of a response."""
        assert not self.complete
        self.parts.append(b"".join(parts))
        self.complete, self.close = last, close
        if self._gone and not last:
            raise BrokenPipeError

    @property
    def wire(self) -> tuple[bytes, list[bytes], bytes]:
        """The status line, the headers without the date, and the body."""
        head, _, body = b"".join(self.parts).partition(b"\r\n\r\n")
        first, *headers = head.split(b"\r\n")
        return first, [line for line in headers if not line.startswith(b"Date: ")], body


def response_to(head: bytes, sent: Sent) -> Response:
    """Return the response to a request, before it is started."""
    return Response(parse_head(head + b"\r\n"), sent)


def sent_by(application: Application, head: bytes = GET) -> Sent:
    """Return what is sent when an application responds to a request."""
    sent = Sent()
    response_to(head, sent).run(application, {})
    return sent


def saying(*blocks: bytes, status: str = "200 OK", **headers: str) -> Application:
    """Return an application that responds with these blocks."""

    def application(_environ: WSGIEnvironment, start: StartResponse) -> Iterator[bytes]:
        start(status, [(name.replace("_", "-"), value) for name, value in headers.items()])
        yield from blocks

    return application


def test_a_body_of_a_known_length_ends_with_its_last_byte() -> None:
    """The response is complete then, and what exceeds it is dropped."""
    sent = sent_by(saying(b"", b"one", b"two!!", b"three", Content_Length="6", X="y"))
    assert sent.wire == (b"HTTP/1.1 200 OK", [b"Content-Length: 6", b"X: y"], b"onetwo")
    assert (sent.complete, sent.close, len(sent.parts)) == (True, False, 2)


def test_a_body_that_is_too_short_ends_with_the_connection() -> None:
    """Nothing else can tell the client."""
    sent = sent_by(saying(b"one", Content_Length="6"))
    assert (sent.wire[2], sent.complete, sent.close) == (b"one", True, True)


def test_a_body_without_a_length_is_chunked() -> None:
    """With a chunk for each block, as soon as it is there."""
    sent = sent_by(saying(b"one", b"", b"three" * 4))
    assert sent.wire[1:] == (
        [b"Transfer-Encoding: chunked"],
        b"3\r\none\r\n14\r\n" + b"three" * 4 + b"\r\n0\r\n\r\n",
    )
    assert (sent.complete, sent.close, len(sent.parts)) == (True, False, 3)


def test_to_a_client_of_http_1_0_it_ends_with_the_connection() -> None:
    """HTTP/1.0 has no chunks."""
    sent = sent_by(saying(b"one", b"two"), b"GET / HTTP/1.0\r\n")
    assert sent.wire[1:] == ([b"Connection: close"], b"onetwo")
    assert (sent.complete, sent.close) == (True, True)


@pytest.mark.parametrize(("length", "option"), [("6", b"keep-alive"), ("", b"close")])
def test_a_client_of_http_1_0_is_told_whether_its_connection_is_kept(
    length: str, option: bytes
) -> None:
    """If it asks for that, and the body has a length: the end of the connection is none then."""
    application = saying(b"onetwo", **({"Content_Length": length} if length else {}))
    sent = sent_by(application, b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n")
    assert sent.wire[1][-1] == b"Connection: " + option
    assert (sent.wire[2], sent.close) == (b"onetwo", option == b"close")


@pytest.mark.parametrize(
    ("head", "status", "length"),
    [
        pytest.param(b"HEAD / HTTP/1.1\r\nHost: x\r\n", "200 OK", True, id="HEAD"),
        pytest.param(GET, "304 Not Modified", True, id="304"),
        pytest.param(GET, "204 No Content", False, id="204"),
    ],
)
def test_some_responses_have_no_body(head: bytes, status: str, length: bool) -> None:
    """Whatever the application says; and some have no Content-Length (RFC 9110, 8.6)."""
    for blocks in ((b"one",), ()):
        sent = sent_by(saying(*blocks, status=status, Content_Length="3"), head)
        headers = [b"Content-Length: 3"] if length else []
        assert sent.wire == (f"HTTP/1.1 {status}".encode(), headers, b"")
        assert (sent.complete, sent.close) == (True, False)


def test_a_response_says_whether_the_connection_ends_after_it() -> None:
    """So that the client does not send its next request in vain."""
    sent = sent_by(saying(b"x"), GET + b"Connection: close\r\n")
    assert b"Connection: close" in sent.wire[1]
    assert sent.close


def test_after_a_response_that_is_none_the_connection_ends() -> None:
    """A client takes 1xx for interim, and would wait for another response."""
    sent = sent_by(saying(status="101 Switching Protocols"))
    assert sent.wire[1:] == ([b"Connection: close"], b"")
    assert (sent.complete, sent.close) == (True, True)


def test_headers_about_the_connection_are_the_servers() -> None:
    """An application's are dropped (PEP 3333): they could change where its body ends."""
    application = saying(b"x", Transfer_Encoding="gzip", Connection="upgrade", Content_Length="1")
    assert sent_by(application).wire[1] == [b"Content-Length: 1"]


@pytest.mark.parametrize("name", ["Date", "DATE", "date"])
def test_an_application_may_set_the_date(name: str) -> None:
    """There is one Date, and otherwise it is the server's (RFC 9110, 6.6.1)."""
    epoch = "Thu, 01 Jan 1970 00:00:00 GMT"
    [head, *_] = sent_by(saying(b"x", **{name: epoch})).parts
    assert re.findall(rb"(?im)^(date: .*)\r$", head) == [f"{name}: {epoch}".encode()]
    [head, *_] = sent_by(saying(b"x")).parts
    assert len(re.findall(rb"(?im)^date: .* GMT\r$", head)) == 1


@pytest.mark.parametrize(
    "application",
    [
        pytest.param(saying(b"x", X="y\r\nZ: injected"), id="line break in a value"),
        pytest.param(saying(b"x", **{"X: y\r\nZ": "z"}), id="line break in a name"),
        pytest.param(saying(b"x", status="200 OK\r\nX: y"), id="line break in the status"),
        pytest.param(saying(b"x", **{"X: y": "z"}), id="colon in a name"),
        pytest.param(saying(b"x", X="\x00"), id="NUL"),
        pytest.param(saying(b"x", X="\x7f"), id="DEL"),
        pytest.param(saying(b"x", status="OK"), id="no status"),
        pytest.param(lambda _environ, _start: [b"x"], id="not started"),
        pytest.param(saying(b"x", Content_Length="-1"), id="negative length"),
        pytest.param(saying(b"x", Content_Length="1", content_length="2"), id="two lengths"),
        pytest.param(saying(b"x", Content_Length="1", content_length="1"), id="one length twice"),
        pytest.param(saying("text"), id="text"),  # type: ignore[arg-type]
        pytest.param(saying("text", Content_Length="4"), id="text of a length"),  # type: ignore[arg-type]
    ],
)
def test_no_application_can_break_the_framing(application: Application) -> None:
    """The client gets status 500, and nothing of its response."""
    sent = Sent()
    response = response_to(GET, sent)
    with pytest.raises((AssertionError, TypeError, ValueError), match="not "):
        response.run(application, {})
    assert sent.parts == []
    response.fail()
    assert sent.wire[0] == b"HTTP/1.1 500 Internal Server Error"
    assert sent.complete


@pytest.mark.parametrize(
    ("head", "headers"),
    [
        pytest.param(GET.replace(b"GET", b"HEAD"), [], id="to HEAD"),
        pytest.param(GET, [("Content-Length", "3")], id="beyond its length"),
    ],
)
def test_a_body_that_is_dropped_may_be_endless(head: bytes, headers: list[tuple[str, str]]) -> None:
    """A thread that asked for all of it would never be free again."""

    def application(_environ: WSGIEnvironment, start: StartResponse) -> Iterator[bytes]:
        start("200 OK", headers)
        while True:
            yield b"x"

    assert len(sent_by(application, head).wire[2]) == (3 if headers else 0)


def test_an_application_that_fails_midway_ends_the_connection() -> None:
    """The client must not take what it got for the complete response."""

    def application(_environ: WSGIEnvironment, start: StartResponse) -> Iterator[bytes]:
        start("200 OK", [])
        yield b"one"
        raise ZeroDivisionError

    sent = Sent()
    response = response_to(GET, sent)
    with pytest.raises(ZeroDivisionError):
        response.run(application, {})
    response.fail()
    assert sent.wire[2] == b"3\r\none\r\n"
    assert (sent.complete, sent.close) == (True, True)


def test_an_application_can_replace_its_headers_before_the_first_block() -> None:
    """With exc_info (PEP 3333); after the first block, its exception is raised again."""

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

    sent = Sent()
    with pytest.raises(KeyError):
        response_to(GET, sent).run(application, {})
    assert sent.wire[:2] == (b"HTTP/1.1 500 Oh", [b"X: 2", b"Transfer-Encoding: chunked"])


@pytest.mark.parametrize(
    "first",
    [[("Content-Length", "1000")], [("Content-Length", "4")], []],
    ids=["short", "long", "chunked"],
)
def test_a_response_that_has_started_is_not_replaced(first: list[tuple[str, str]]) -> None:
    """Not without an exception either: its length would be another one than its head says."""

    def application(_environ: WSGIEnvironment, start: StartResponse) -> Iterator[bytes]:
        start("200 OK", first)
        yield b"par"
        start("503 Oh", [("Content-Length", "20")], (None, None, None))
        yield b"x" * 20

    sent = Sent()
    response = response_to(GET, sent)
    with pytest.raises(AssertionError, match="has started"):
        response.run(application, {})
    response.fail()
    assert response.status == "200 OK"
    assert b"x" not in sent.wire[2]
    assert (sent.complete, sent.close) == (True, True)


def test_headers_that_are_refused_replace_nothing() -> None:
    """Also if the application goes on as if they were not."""

    def application(_environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        start("200 OK", [("Content-Length", "5")])
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            lengths = [("Content-Length", "5"), ("Content-Length", "7")]
            with pytest.raises(ValueError, match="not one Content-Length"):
                start("500 Oh", lengths, sys.exc_info())
        return [b"hello"]

    sent = sent_by(application)
    assert sent.wire == (b"HTTP/1.1 200 OK", [b"Content-Length: 5"], b"hello")


@pytest.mark.parametrize("value", [b"abc", None, 5, ["a"]], ids=repr)
@pytest.mark.parametrize("where", ["name", "value"])
def test_headers_are_of_str(where: str, value: Any) -> None:
    """Nothing is made a text that is none (PEP 3333, "A Note on String Types")."""
    header: Any = (value, "x") if where == "name" else ("X", value)

    def application(_environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        start("200 OK", [("Content-Type", "text/plain"), header])
        return [b"hello"]

    with pytest.raises((TypeError, AttributeError)):
        response_to(GET, Sent()).run(application, {})


def test_an_application_that_catches_its_errors_does_not_catch_that_there_is_no_room() -> None:
    """The write() of PEP 3333 is called in the midst of it."""

    def application(_environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        try:
            start("200 OK", [])(b"large")
        except Exception:  # noqa: BLE001 - that is what they do
            start("500 Oh", [], sys.exc_info())
        return []

    sent = Sent()
    response = Response(parse_head(GET + b"\r\n"), sent, has_room=lambda _size: False)
    with pytest.raises(NoRoom, match="5"):
        response.run(application, {})
    assert sent.parts == []


def test_an_application_ends_when_its_client_has_gone() -> None:
    """And its blocks are closed (PEP 3333)."""
    closed = threading.Event()

    class Blocks:
        def __iter__(self) -> Iterator[bytes]:
            while True:
                yield b"more"

        def close(self) -> None:
            closed.set()

    def application(_environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        start("200 OK", [])
        return Blocks()

    sent = Sent(gone=True)
    response = response_to(GET, sent)
    with pytest.raises(BrokenPipeError):
        response.run(application, {})
    response.fail()
    assert sent.complete
    assert closed.is_set()
