"""One HTTP connection of the key-value store, without its socket."""

import time
from email.utils import parsedate_to_datetime
from http.client import HTTPMessage, parse_headers
from io import BytesIO

import pytest

from services.kv.http_session import LONGEST_BODY, LONGEST_HEAD, REQUEST_SECONDS, Session

IDLE = 60.0
FOREVER = 3600.0


@pytest.fixture
def session() -> Session:
    """Return the session of a client that has just connected."""
    return Session(IDLE)


def request(body: bytes = b"call", start: str = "POST / HTTP/1.1", **fields: str | None) -> bytes:
    """Return a request with the usual fields, with others, and without those that are None."""
    given = {"Host": "x", "Content_Length": str(len(body)), **fields}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in given.items() if value]
    return "\r\n".join([start, *lines, "", ""]).encode("latin-1") + body


def take(session: Session) -> tuple[str, HTTPMessage, bytes]:
    """Send what is unsent; return status, fields and body of the one response that it is."""
    stream = BytesIO(session.unsent)
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
            assert session.call() is None
        status, fields, body = take(session)
        assert session.closing
        assert (fields["Connection"], fields["Content-Type"]) == ("close", "text/plain")
        assert body == f"{status}\n".encode()
        found.add(status)
    (status,) = found
    return status


def test_a_call_is_taken_when_all_of_it_is_there(session: Session) -> None:
    """Wherever the stream is cut."""
    received = request(b"the call")
    for cut in range(1, len(received)):
        session.receive(received[:cut])
        assert session.call() is None
        assert session.unsent == b""
        session.receive(received[cut:])
        assert session.call() == b"the call"
        session.answer(b"the answer")
        session.sent(len(session.unsent))


def test_an_answer_is_a_response_of_http(session: Session) -> None:
    """With its length, its type and the time; the connection stays for the next call."""
    session.receive(request())
    session.call()
    session.answer("Zoë".encode())
    status, fields, body = take(session)
    assert (status, body) == ("200 OK", "Zoë".encode())
    assert (fields["Content-Type"], fields["Content-Length"]) == ("text/xml", "4")
    assert abs(parsedate_to_datetime(fields["Date"]).timestamp() - time.time()) < 60
    assert "Connection" not in fields
    assert not session.closing


def test_calls_that_are_sent_ahead_are_taken_one_by_one(session: Session) -> None:
    """The next is taken when the answer to the one before has been sent."""
    session.receive(request(b"1") + request(b"2") + b"\r\n\r\n" + request(b"3"))
    for number in (b"1", b"2", b"3"):
        assert session.call() == number
        assert session.answering
        assert session.call() is None
        session.answer(number)
        assert session.call() is None
        assert take(session)[2] == number
    assert session.call() is None


@pytest.mark.parametrize(
    "received",
    [
        pytest.param(request(start="POST /RPC2 HTTP/1.1"), id="the other path"),
        pytest.param(request(start="POST /RPC2?x=1 HTTP/1.1"), id="a query"),
        pytest.param(request(start="POST http://x:1/RPC2 HTTP/1.1"), id="an absolute target"),
        pytest.param(request(Content_Encoding="identity"), id="not encoded"),
        pytest.param(request(Content_Length="\t4  "), id="blanks around a value"),
        pytest.param(request().replace(b"Content-Length", b"cONTENT-lENGTH"), id="another case"),
        pytest.param(request(X_Name="Zoë; a=\t!"), id="a field in Latin-1"),
        pytest.param(request(User_Agent="x" * (LONGEST_HEAD - 100)), id="a long head"),
        pytest.param(b"\r\n" + request(), id="a line end in front"),
    ],
)
def test_what_is_a_call_in_another_form_is_taken(session: Session, received: bytes) -> None:
    """RFC 9112 has a server understand all of these."""
    session.receive(received)
    assert session.call() == b"call"


@pytest.mark.parametrize(
    ("received", "status"),
    [
        pytest.param(request(start="GET / HTTP/1.1"), "405 Method Not Allowed", id="GET"),
        pytest.param(request(start="post / HTTP/1.1"), "405 Method Not Allowed", id="post"),
        pytest.param(request(start="POST /x HTTP/1.1"), "404 Not Found", id="another path"),
        pytest.param(request(start="POST //RPC2 HTTP/1.1"), "404 Not Found", id="two slashes"),
        pytest.param(request(b"", Content_Length=None), "411 Length Required", id="no length"),
        pytest.param(request(b"", Transfer_Encoding="chunked"), "411 Length Required", id="chunks"),
        pytest.param(
            request(b"", Content_Encoding="gzip"), "415 Unsupported Media Type", id="gzip"
        ),
        pytest.param(
            request(b"", Content_Length=str(LONGEST_BODY + 1)), "413 Content Too Large", id="large"
        ),
        pytest.param(
            request(b"", Content_Length="9" * 5000), "413 Content Too Large", id="very large"
        ),
        pytest.param(request(b"", Content_Length="-1"), "400 Bad Request", id="negative length"),
        pytest.param(request(b"", Content_Length="+1"), "400 Bad Request", id="signed length"),
        pytest.param(request(b"", Content_Length="1_0"), "400 Bad Request", id="underscore"),
        pytest.param(request(b"", Content_Length="\xb2"), "400 Bad Request", id="superscript"),
        pytest.param(request(b"", Content_Length="4, 4"), "400 Bad Request", id="a list"),
        pytest.param(
            request(b"", Content_Length="4\r\nContent-Length: 5"),
            "400 Bad Request",
            id="two lengths",
        ),
        pytest.param(request(b"", Host=None), "400 Bad Request", id="no host"),
        pytest.param(request(b"", Host="x\r\nHost: y"), "400 Bad Request", id="two hosts"),
        pytest.param(request(b"", X="a\r\n b"), "400 Bad Request", id="a folded line"),
        pytest.param(request(b"", X="a\nY: b"), "400 Bad Request", id="a bare line feed"),
        pytest.param(request(b"", X="a\0"), "400 Bad Request", id="a NUL"),
        pytest.param(b"POST / HTTP/1.1\r\nHost : x\r\n\r\n", "400 Bad Request", id="blank, colon"),
        pytest.param(b"POST / HTTP/1.1\r\nHost\r\n\r\n", "400 Bad Request", id="no colon"),
        pytest.param(b"POST / HTTP/1.1\r\n: x\r\n\r\n", "400 Bad Request", id="no name"),
        pytest.param(request(b"", start="POST / HTTP/2.0"), "400 Bad Request", id="HTTP/2"),
        pytest.param(request(b"", start="POST /"), "400 Bad Request", id="no version"),
        pytest.param(request(b"", start="POST  / HTTP/1.1"), "400 Bad Request", id="two blanks"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\r\n\r\n", "400 Bad Request", id="TLS"),
        pytest.param(
            b"x" * LONGEST_HEAD, "431 Request Header Fields Too Large", id="an endless head"
        ),
    ],
)
def test_what_can_be_no_call_is_refused_with_a_status(received: bytes, status: str) -> None:
    """In a text that says so, and the connection ends: what follows cannot be trusted."""
    assert refusal(received) == status


def test_a_method_that_is_not_allowed_is_told_which_is(session: Session) -> None:
    """And the response to HEAD has no body."""
    session.receive(request(b"", start="HEAD / HTTP/1.1"))
    assert session.call() is None
    status, fields, body = take(session)
    assert (status, fields["Allow"], body) == ("405 Method Not Allowed", "POST", b"")


def test_after_a_refusal_nothing_is_kept_of_what_is_still_sent(session: Session) -> None:
    """A client may go on sending a body that was refused: until it ends, or the time is up."""
    session.receive(request(b"x" * 10_000, Content_Length=str(LONGEST_BODY + 1)))
    assert session.call() is None
    take(session)
    for _ in range(100):
        session.receive(b"x" * 10_000)
        assert session.call() is None
    assert session.held == 0
    session.receive(b"")
    assert session.ended == "closed by the client"


@pytest.mark.parametrize(
    ("received", "last"),
    [
        pytest.param(request(Connection="close"), True, id="close"),
        pytest.param(request(Connection="TE, Close"), True, id="close among others"),
        pytest.param(request(Connection="keep-alive"), False, id="keep-alive"),
        pytest.param(request(start="POST / HTTP/1.0"), True, id="HTTP/1.0"),
    ],
)
def test_a_client_says_whether_it_will_call_again(
    session: Session, received: bytes, last: bool
) -> None:
    """If not, the connection ends with the answer, which says so."""
    session.receive(received)
    session.call()
    session.answer(b"")
    assert session.closing is last
    assert (take(session)[1]["Connection"] == "close") is last


def test_a_server_that_stops_says_that_the_answer_is_the_last(session: Session) -> None:
    """What the client has sent ahead is not carried out then."""
    session.receive(request(b"1") + request(b"2"))
    session.call()
    session.answer(b"", last=True)
    assert take(session)[1]["Connection"] == "close"
    assert session.call() is None


def test_a_client_that_waits_is_told_to_continue(session: Session) -> None:
    """It sends the body after that (RFC 9110, 10.1.1), and gets its answer."""
    received = request(b"call", Expect="100-continue")
    session.receive(received[:-4])
    assert session.call() is None
    assert session.unsent == b"HTTP/1.1 100 Continue\r\n\r\n"
    session.sent(len(session.unsent))
    session.receive(b"call")
    assert session.call() == b"call"
    session.answer(b"")
    assert take(session)[0] == "200 OK"


def test_a_client_that_waits_with_what_is_refused_is_told_so_at_once(session: Session) -> None:
    """So it need not send a body that is too large."""
    session.receive(request(b"", Expect="100-continue", Content_Length=str(LONGEST_BODY + 1)))
    assert session.call() is None
    assert take(session)[0] == "413 Content Too Large"


def test_what_is_unsent_is_what_the_kernel_did_not_take(session: Session) -> None:
    """Until all of it is sent no other call is taken."""
    session.receive(request() + request())
    session.call()
    session.answer(b"answer")
    whole = session.unsent
    session.sent(10)
    assert session.unsent == whole[10:]
    assert session.call() is None
    session.sent(len(whole) - 10)
    assert session.call() == b"call"


def test_all_that_is_held_for_a_client_is_counted(session: Session) -> None:
    """What is received, the call that is being answered, and what is unsent."""
    session.receive(request(b"x" * 1000)[:-1])
    session.call()
    assert session.held == 999
    session.receive(b"x" + request())
    session.call()
    assert session.held == 1000 + len(request())
    session.answer(b"y" * 2000)
    assert session.held == len(session.unsent) + len(request()) > 2000


def test_a_request_has_its_time_from_its_first_byte_on(session: Session) -> None:
    """A byte now and then does not get it more."""
    first, *others = request(b"x" * 50)[:-1]
    session.receive(bytes([first]))
    deadline = session._deadline
    for byte in others:
        session.receive(bytes([byte]))
        assert session.call() is None
    assert session._deadline == deadline
    assert not session.overdue(deadline)
    assert session.overdue(deadline + 1)
    assert take(session)[0] == "408 Request Timeout"


@pytest.mark.parametrize("calls", [0, 1])
def test_an_idle_connection_has_more_time(session: Session, calls: int) -> None:
    """And ends without a word: there is no request to be answered."""
    for _ in range(calls):
        session.receive(request())
        session.call()
        session.answer(b"")
        take(session)
    assert not session.overdue(time.monotonic() + IDLE - 1)
    assert session.overdue(time.monotonic() + IDLE + 1)
    assert (session.unsent, session.ended) == (b"", "it took too long")


def test_an_answer_that_is_not_taken_ends_the_connection(session: Session) -> None:
    """The client has as long as for a request; one byte now and then does not get it more."""
    session.receive(request())
    session.call()
    session.answer(b"answer")
    session.sent(1)
    assert not session.overdue(time.monotonic() + REQUEST_SECONDS - 1)
    assert session.overdue(time.monotonic() + REQUEST_SECONDS + 1)
    assert session.ended


def test_a_call_that_is_being_answered_is_not_overdue(session: Session) -> None:
    """It is the server that takes its time."""
    session.receive(request())
    session.call()
    assert not session.overdue(time.monotonic() + FOREVER)
    session.answer(b"")
    assert take(session)[0] == "200 OK"
