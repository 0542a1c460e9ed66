"""One HTTP connection, without its socket."""

import json
import time
from email.utils import parsedate_to_datetime
from http.client import HTTPMessage, parse_headers
from io import BytesIO

import pytest

from services.http.heads import LONGEST_START, MOST_FIELDS, Head
from services.http.refused import Refused
from services.http.session import (
    LONGEST_BODY,
    LONGEST_HEAD,
    REQUEST_SECONDS,
    Session,
    message,
)

IDLE = 60.0
FOREVER = 3600.0


@pytest.fixture
def session() -> Session:
    """Return the session of a client that has just connected."""
    return Session(IDLE)


def request(
    body: bytes = b"body", start: str = "POST / HTTP/1.1", /, **fields: str | None
) -> bytes:
    """Return a request with the usual fields, with others, and without those that are None."""
    given = {"Host": "x", "Content_Length": str(len(body)), **fields}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in given.items() if value]
    return "\r\n".join([start, *lines, "", ""]).encode("latin-1") + body


def chunked(body: bytes) -> bytes:
    """Return a request whose body comes in chunks."""
    return request(body, Content_Length=None, Transfer_Encoding="chunked")


def answer(session: Session, body: bytes = b"", last: bool = False) -> None:
    """Answer the request that was taken."""
    assert session.taken
    last = last or session.taken.head.last
    fields = [("Content-Length", str(len(body)))]
    session.answer(bytearray(message("200 OK", fields, last) + body), last=last)


def body_of(session: Session) -> bytes | None:
    """Return the body of the next request, or None if there is none yet."""
    taken = session.request()
    return taken.body if taken else None


def take(session: Session) -> tuple[str, HTTPMessage, bytes]:
    """Send what is unsent; return status, fields and body of the one response that it is."""
    stream = BytesIO(bytes(session.unsent))
    session.sent(len(session.unsent))
    start = stream.readline().decode().removesuffix("\r\n")
    return start.removeprefix("HTTP/1.1 "), parse_headers(stream), stream.read()


def refusal(received: bytes) -> str:
    """Return the status with which a session refuses what it received, whole or byte by byte."""
    found = set()
    for step in (len(received), 1):
        session = Session(IDLE)
        for start in range(0, len(received), step):
            session.receive(received[start : start + step])
            assert session.request() is None
        status, fields, body = take(session)
        assert session.closing
        assert fields["Connection"] == "close"
        assert fields["Content-Type"] == "application/problem+json"
        problem = json.loads(body)
        assert (f"{problem['status']} {problem['title']}", problem["type"]) == (
            status,
            "about:blank",
        )
        assert session.refused
        assert problem["detail"] == str(session.refused)
        found.add(status)
    (status,) = found
    return status


def test_a_request_is_taken_when_all_of_it_is_there(session: Session) -> None:
    """Wherever the stream is cut."""
    received = request(b"the body")
    for cut in range(1, len(received)):
        session.receive(received[:cut])
        assert session.request() is None
        assert not session.unsent
        session.receive(received[cut:])
        assert body_of(session) == b"the body"
        answer(session, b"the answer")
        session.sent(len(session.unsent))


def test_an_answer_is_a_response_of_http(session: Session) -> None:
    """With its length and the time; the connection stays for the next request."""
    session.receive(request())
    session.request()
    answer(session, "Zoë".encode())
    status, fields, body = take(session)
    assert (status, body) == ("200 OK", "Zoë".encode())
    assert fields["Content-Length"] == "4"
    assert abs(parsedate_to_datetime(fields["Date"]).timestamp() - time.time()) < 60
    assert "Connection" not in fields
    assert not session.closing


def test_requests_that_are_sent_ahead_are_taken_one_by_one(session: Session) -> None:
    """The next is taken when the answer to the one before has been sent."""
    session.receive(request(b"1") + request(b"2") + b"\r\n" + request(b"3"))
    for number in (b"1", b"2", b"3"):
        assert body_of(session) == number
        assert session.answering
        assert session.request() is None
        answer(session, number)
        assert session.request() is None
        assert take(session)[2] == number
    assert session.request() is None


@pytest.mark.parametrize(
    "received",
    [
        pytest.param(request(b"body", "POST /x/y?x=1 HTTP/1.1"), id="a query"),
        pytest.param(request(b"body", "POST http://x/x HTTP/1.1"), id="an absolute target"),
        pytest.param(request(b"body", "POST HTTP://X HTTP/1.1"), id="one without a path"),
        pytest.param(request(b"body", "OPTIONS * HTTP/1.1"), id="an asterisk"),
        pytest.param(request(Content_Length="\t4  "), id="blanks around a value"),
        pytest.param(request().replace(b"Content-Length", b"cONTENT-lENGTH"), id="another case"),
        pytest.param(request(X_Name="Zoë; a=\t!"), id="a field in Latin-1"),
        pytest.param(request(User_Agent="x" * (LONGEST_HEAD - 100)), id="a long head"),
        pytest.param(request(Host="[::1]:80"), id="an address of IPv6"),
        pytest.param(b"\r\n" + request(), id="a line end in front"),
        pytest.param(chunked(b"4\r\nbody\r\n0\r\n\r\n"), id="one chunk"),
        pytest.param(chunked(b"1\r\nb\r\n003\r\nody\r\n00\r\n\r\n"), id="two chunks"),
        pytest.param(chunked(b"4;a=b;c\r\nbody\r\n0;d\r\n\r\n"), id="extensions"),
        pytest.param(chunked(b"4\r\nbody\r\n0\r\nX: y\r\nZ:\r\n\r\n"), id="trailers"),
        pytest.param(request(b"body", "POST / HTTP/1.0", Host=None), id="HTTP/1.0"),
    ],
)
def test_a_request_in_any_form_is_taken(received: bytes) -> None:
    """RFC 9112 has a server understand all of these, wherever the stream is cut."""
    for step in (len(received), 1):
        session = Session(IDLE)
        for start in range(0, len(received), step):
            assert session.request() is None
            session.receive(received[start : start + step])
        assert body_of(session) == b"body"
        assert session.held == len(b"body")


def test_a_head_says_what_is_asked_for(session: Session) -> None:
    """Fields by their names in lower case; what comes more than once is one list."""
    received = request(b"", "GET /a%20b?c=d?e HTTP/1.1", Accept="x, y", X="1\r\nX: 2", N=" ")
    session.receive(received.replace(b"Content-Length: 0\r\n", b""))
    taken = session.request()
    assert taken
    head = taken.head
    assert (head.method, head.target) == ("GET", "/a%20b?c=d?e")
    assert (head.path, head.query, head.minor) == ("/a%20b", "c=d?e", 1)
    assert head.fields == {"host": "x", "accept": "x, y", "x": "1,2", "n": ""}
    assert (head.length, head.chunked, head.last, head.waits) == (0, False, False, False)


BAD = "400 Bad Request"
TOO_LARGE = "413 Content Too Large"
HEAD_TOO_LARGE = "431 Request Header Fields Too Large"


@pytest.mark.parametrize(
    ("received", "status"),
    [
        pytest.param(request(b"", Content_Length=str(LONGEST_BODY + 1)), TOO_LARGE, id="large"),
        pytest.param(request(b"", Content_Length="9" * 5000), TOO_LARGE, id="very large"),
        pytest.param(request(b"", X="x" * LONGEST_HEAD), HEAD_TOO_LARGE, id="a long field"),
        pytest.param(b"x" * LONGEST_HEAD, HEAD_TOO_LARGE, id="an endless head"),
        pytest.param(
            request(b"", X="\r\nX: ".join("x" * MOST_FIELDS)), HEAD_TOO_LARGE, id="many fields"
        ),
        pytest.param(
            request(b"", f"GET /{'x' * LONGEST_START} HTTP/1.1"),
            "414 URI Too Long",
            id="a long target",
        ),
        pytest.param(request(b"", "POST / HTTP/2.0"), BAD, id="HTTP/2"),
        pytest.param(request(b"", "POST /"), BAD, id="no version"),
        pytest.param(request(b"", "POST  / HTTP/1.1"), BAD, id="two blanks"),
        pytest.param(request(b"", ""), BAD, id="no first line"),
        pytest.param(request(b"", "GET * HTTP/1.1"), BAD, id="an asterisk"),
        pytest.param(request(b"", "GET x HTTP/1.1"), BAD, id="no path"),
        pytest.param(request(b"", "GET /x#y HTTP/1.1"), BAD, id="a fragment"),
        pytest.param(request(b"", "CONNECT x:1 HTTP/1.1"), BAD, id="CONNECT"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\r\n\r\n", BAD, id="TLS"),
        pytest.param(b"POST / HTTP/1.1\r\nHost\r\n\r\n", BAD, id="no colon"),
        pytest.param(b"POST / HTTP/1.1\r\n: x\r\n\r\n", BAD, id="no name"),
        pytest.param(b"GET / HTTP/1.1\nHost: x\n\n", BAD, id="bare line feeds"),
        pytest.param(request(b"", Content_Length="\xb2"), BAD, id="superscript"),
        pytest.param(chunked(b"x\r\n"), BAD, id="no size"),
        pytest.param(chunked(b"4" + b";" * 300), BAD, id="an endless line"),
        pytest.param(chunked(b"4\r\nbodyX\r\n"), BAD, id="no end of a chunk"),
        pytest.param(chunked(b"0\r\n" + b"x: y\r\n" * 17), BAD, id="endless trailers"),
        pytest.param(chunked(b"100001\r\n"), TOO_LARGE, id="a large chunk"),
        pytest.param(chunked(b"8001\r\n" + bytes(0x8001) + b"\r\nf8000\r\n"), TOO_LARGE, id="two"),
        pytest.param(chunked(b"1\r\nx\r\n" * 16385), TOO_LARGE, id="many chunks"),
    ],
)
def test_what_cannot_be_understood_is_refused_with_a_status(received: bytes, status: str) -> None:
    """In a text that says so, and the connection ends: what follows cannot be trusted."""
    assert refusal(received) == status


def test_a_head_can_be_refused_before_its_body_comes() -> None:
    """By what the session is made with, which knows what the server answers."""

    def admit(head: Head) -> None:
        raise Refused("405 Method Not Allowed", f"Not {head.method}.", ("Allow", "POST"))

    for method, body in (("PUT", b"Not PUT."), ("HEAD", b"")):
        session = Session(IDLE, admit)
        session.receive(request(b"", f"{method} / HTTP/1.1", Content_Length="4"))
        assert session.request() is None
        status, fields, text = take(session)
        assert (status, fields["Allow"]) == ("405 Method Not Allowed", "POST")
        assert body in text
        assert bool(text) == bool(body)


def test_after_a_refusal_nothing_is_kept_of_what_is_still_sent(session: Session) -> None:
    """A client may go on sending a body that was refused: until it ends, or the time is up."""
    session.receive(request(b"x" * 10_000, Content_Length=str(LONGEST_BODY + 1)))
    assert session.request() is None
    take(session)
    for _ in range(100):
        session.receive(b"x" * 10_000)
        assert session.request() is None
    assert session.held == 0
    session.receive(b"")
    assert session.ended == "closed by the client"


@pytest.mark.parametrize(
    ("received", "last"),
    [
        pytest.param(request(Connection="close"), True, id="close"),
        pytest.param(request(Connection="TE, Close"), True, id="close among others"),
        pytest.param(request(Connection="keep-alive"), False, id="keep-alive"),
        pytest.param(request(b"body", "POST / HTTP/1.0"), True, id="HTTP/1.0"),
    ],
)
def test_a_client_says_whether_it_will_call_again(
    session: Session, received: bytes, last: bool
) -> None:
    """If not, the connection ends with the answer, which says so."""
    session.receive(received)
    session.request()
    answer(session)
    assert session.closing is last
    assert (take(session)[1]["Connection"] == "close") is last


def test_a_server_that_stops_says_that_the_answer_is_the_last(session: Session) -> None:
    """What the client has sent ahead is not carried out then."""
    session.receive(request(b"1") + request(b"2"))
    session.request()
    answer(session, last=True)
    assert take(session)[1]["Connection"] == "close"
    assert session.request() is None


def test_a_client_that_waits_is_told_to_continue(session: Session) -> None:
    """It sends the body after that (RFC 9110, 10.1.1), and gets its answer."""
    received = request(b"body", Expect="100-continue")
    session.receive(received[:-4])
    assert session.request() is None
    assert session.unsent == b"HTTP/1.1 100 Continue\r\n\r\n"
    session.sent(len(session.unsent))
    session.receive(b"body")
    assert body_of(session) == b"body"
    answer(session)
    assert take(session)[0] == "200 OK"


def test_a_client_that_waits_with_what_is_refused_is_told_so_at_once(session: Session) -> None:
    """So it need not send a body that is too large."""
    session.receive(request(b"", Expect="100-continue", Content_Length=str(LONGEST_BODY + 1)))
    assert session.request() is None
    assert take(session)[0] == "413 Content Too Large"


def test_what_is_unsent_is_what_the_kernel_did_not_take(session: Session) -> None:
    """Until all of it is sent no other request is taken."""
    session.receive(request() + request())
    session.request()
    answer(session, b"answer")
    whole = bytes(session.unsent)
    session.sent(10)
    assert session.unsent == whole[10:]
    assert session.request() is None
    session.sent(len(whole) - 10)
    assert body_of(session) == b"body"


def test_all_that_is_held_for_a_client_is_counted(session: Session) -> None:
    """What is received, the request that is being answered, and what is unsent."""
    session.receive(request(b"x" * 1000)[:-1])
    session.request()
    assert session.held == 999
    session.receive(b"x" + request())
    session.request()
    assert session.held == 1000 + len(request())
    session.answer(bytearray(2000))
    assert session.held == len(session.unsent) + len(request()) > 2000


def test_a_request_has_its_time_from_its_first_byte_on(session: Session) -> None:
    """A byte now and then does not get it more."""
    first, *others = request(b"x" * 50)[:-1]
    session.receive(bytes([first]))
    deadline = session.deadline
    for byte in others:
        session.receive(bytes([byte]))
        assert session.request() is None
    assert session.deadline == deadline
    assert not session.overdue(deadline)
    assert session.overdue(deadline + 1)
    assert take(session)[0] == "408 Request Timeout"


@pytest.mark.parametrize("requests", [0, 1])
def test_an_idle_connection_has_more_time(session: Session, requests: int) -> None:
    """And ends without a word: there is no request to be answered."""
    for _ in range(requests):
        session.receive(request())
        session.request()
        answer(session)
        take(session)
    assert not session.overdue(time.monotonic() + IDLE - 1)
    assert session.overdue(time.monotonic() + IDLE + 1)
    assert (bytes(session.unsent), session.ended) == (b"", "it took too long")


def test_an_answer_that_is_not_taken_ends_the_connection(session: Session) -> None:
    """The client has as long as for a request; one byte now and then does not get it more."""
    session.receive(request())
    session.request()
    answer(session, b"answer")
    session.sent(1)
    assert not session.overdue(time.monotonic() + REQUEST_SECONDS - 1)
    assert session.overdue(time.monotonic() + REQUEST_SECONDS + 1)
    assert session.ended


def test_a_request_that_is_being_answered_is_not_overdue(session: Session) -> None:
    """It is the server that takes its time."""
    session.receive(request())
    session.request()
    assert not session.overdue(time.monotonic() + FOREVER)
    answer(session)
    assert take(session)[0] == "200 OK"


def test_an_answer_can_come_in_parts(session: Session) -> None:
    """Each has the time to be taken; while there is none, it is not the client that is slow."""
    session.receive(request() + request(b"next"))
    session.request()
    for part in (b"one", b"two"):
        session.answer(bytearray(part), whole=False)
        assert session.overdue(time.monotonic() + REQUEST_SECONDS + 1)
        session.ended = None
        assert bytes(session.unsent) == part
        session.sent(len(part))
        assert not session.overdue(time.monotonic() + FOREVER)
        assert session.request() is None
    session.answer(bytearray())
    assert body_of(session) == b"next"


def test_nothing_is_kept_for_a_client_that_has_gone(session: Session) -> None:
    """Its answer comes to nothing."""
    session.receive(request())
    session.request()
    session.ended = "gone"
    session.answer(bytearray(1000), whole=False)
    assert session.held == len(b"body")
    session.answer(bytearray(1000))
    assert session.held == 0


def test_a_client_gives_way_with_a_status_if_it_has_no_answer_yet(session: Session) -> None:
    """Else in the middle of it: there is no other way to say so."""
    session.receive(request(b"x" * 10_000)[:-1])
    session.request()
    session.give_way()
    assert take(session)[0] == "503 Service Unavailable"
    session = Session(IDLE)
    session.receive(request())
    session.request()
    session.answer(bytearray(10_000))
    session.give_way()
    assert (session.held, session.ended) == (0, "it does not take its answer")
