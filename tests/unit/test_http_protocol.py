"""One HTTP connection, without its socket."""

import json
import math
import time
from email.utils import parsedate_to_datetime
from http.client import HTTPMessage, parse_headers
from io import BytesIO

import pytest

from services.http.protocol import LINGER, Protocol
from services.http.request import MAX_BODY, MAX_CHUNKS, MAX_HEAD, MAX_HEADERS, HTTPError, Request
from services.http.response import response_head

PEER = ("192.0.2.1", 1234)
REQUEST_TIMEOUT = 10
IDLE_TIMEOUT = 60


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.now


class Unlimited(Protocol):
    """A connection of a server that always has room, unlike those of test_http_limits.py."""

    def next_request(self) -> Request | None:
        """Return the next request."""
        found = super().next_request()
        if not self.needs:
            return found
        self.reserve()
        return super().next_request()


@pytest.fixture
def clock() -> Clock:
    """Return the clock of the protocol."""
    return Clock()


@pytest.fixture
def protocol(clock: Clock) -> Protocol:
    """Return the protocol of a client that has just connected."""
    return Unlimited(PEER, REQUEST_TIMEOUT, IDLE_TIMEOUT, clock=clock)


def new_protocol() -> Protocol:
    """Return a protocol whose time stands still."""
    return Unlimited(PEER, REQUEST_TIMEOUT, IDLE_TIMEOUT, clock=Clock())


def request(
    body: bytes = b"body", request_line: str = "POST / HTTP/1.1", /, **headers: str | None
) -> bytes:
    """Return a request with the usual headers, with others, and without those that are None."""
    given = {"Host": "x", "Content_Length": str(len(body)), **headers}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in given.items() if value]
    return "\r\n".join([request_line, *lines, "", ""]).encode("latin-1") + body


def chunked(body: bytes) -> bytes:
    """Return a request with a chunked body."""
    return request(body, Content_Length=None, Transfer_Encoding="chunked")


def respond(protocol: Protocol, body: bytes = b"", close: bool = False) -> None:
    """Respond to the request that is being handled."""
    assert protocol.request
    close = close or not protocol.request.keep_alive
    head = response_head("200 OK", f"Content-Length: {len(body)}\r\n", close)
    protocol.respond(head, body, close=close)


def next_body(protocol: Protocol) -> bytes | None:
    """Return the body of the next request, or None if there is none yet."""
    found = protocol.next_request()
    return bytes(found.body) if found else None


def send_all(protocol: Protocol) -> tuple[str, HTTPMessage, bytes]:
    """Send everything; return status, headers and body of the one response that it is."""
    stream = BytesIO(bytes(protocol.data_to_send()))
    protocol.sent(len(protocol.data_to_send()))
    status_line = stream.readline().decode().removesuffix("\r\n")
    return status_line.removeprefix("HTTP/1.1 "), parse_headers(stream), stream.read()


def status_of_error(received: bytes) -> str:
    """Return the status of the error that `received` gets, in one piece or byte by byte."""
    found = set()
    for step in (len(received), 1):
        protocol = new_protocol()
        for start in range(0, len(received), step):
            protocol.receive_data(received[start : start + step])
            assert protocol.next_request() is None
        status, headers, body = send_all(protocol)
        assert protocol.closing
        assert headers["Connection"] == "close"
        assert headers["Content-Type"] == "application/problem+json"
        problem = json.loads(body)
        assert (f"{problem['status']} {problem['title']}", problem["type"]) == (
            status,
            "about:blank",
        )
        assert protocol.error
        assert problem["detail"] == protocol.error.detail
        found.add(status)
    (status,) = found
    return status


def test_a_request_is_returned_once_it_is_complete(protocol: Protocol) -> None:
    """Wherever the stream is split."""
    received = request(b"the body")
    for split in range(1, len(received)):
        protocol.receive_data(received[:split])
        assert protocol.next_request() is None
        assert not protocol.data_to_send()
        protocol.receive_data(received[split:])
        assert next_body(protocol) == b"the body"
        respond(protocol, b"the response")
        protocol.sent(len(protocol.data_to_send()))


def test_a_response_is_one_of_http(protocol: Protocol) -> None:
    """With its length and the time; the connection stays open for the next request."""
    protocol.receive_data(request())
    protocol.next_request()
    respond(protocol, "Zoë".encode())
    status, headers, body = send_all(protocol)
    assert (status, body) == ("200 OK", "Zoë".encode())
    assert headers["Content-Length"] == "4"
    assert abs(parsedate_to_datetime(headers["Date"]).timestamp() - time.time()) < 60
    assert "Connection" not in headers
    assert not protocol.closing


def test_pipelined_requests_are_returned_one_by_one(protocol: Protocol) -> None:
    """The next one is returned when the response to the one before has been sent."""
    protocol.receive_data(request(b"1") + request(b"2") + b"\r\n" + request(b"3"))
    for number in (b"1", b"2", b"3"):
        assert next_body(protocol) == number
        assert protocol.request
        assert protocol.next_request() is None
        respond(protocol, number)
        assert protocol.next_request() is None
        assert send_all(protocol)[2] == number
    assert protocol.next_request() is None


@pytest.mark.parametrize(
    "received",
    [
        pytest.param(request(b"body", "POST /x/y?x=1 HTTP/1.1"), id="query"),
        pytest.param(request(b"body", "POST http://x/x HTTP/1.1"), id="absolute target"),
        pytest.param(request(b"body", f"POST /{8000 * 'x'} HTTP/1.1"), id="long target"),
        pytest.param(request(User_Agent="x" * (MAX_HEAD - 100)), id="long head"),
        pytest.param(chunked(b"4\r\nbody\r\n0\r\n\r\n"), id="one chunk"),
        pytest.param(chunked(b"1\r\nb\r\n003\r\nody\r\n00\r\n\r\n"), id="two chunks"),
        pytest.param(chunked(b"4;a=b;c\r\nbody\r\n0;d\r\n\r\n"), id="chunk extensions"),
        pytest.param(chunked(b"4\r\nbody\r\n0\r\nX: y\r\nZ:\r\n\r\n"), id="trailers"),
        pytest.param(request(b"body", "POST / HTTP/1.0", Host=None), id="HTTP/1.0"),
    ],
)
def test_a_request_is_accepted_in_any_valid_form(received: bytes) -> None:
    """RFC 9112 has a server understand all of these, wherever the stream is split."""
    for step in (len(received), 1):
        protocol = new_protocol()
        for start in range(0, len(received), step):
            assert protocol.next_request() is None
            protocol.receive_data(received[start : start + step])
        assert next_body(protocol) == b"body"
        assert protocol.buffered == len(b"body")


def test_a_request_says_what_is_asked_for(protocol: Protocol) -> None:
    """Headers by their names in lower case; what is repeated is one list, cookies with semicolons.

    A Cookie header has no commas (RFC 6265, 4.2.1), so what follows one would be lost.
    """
    repeated = {"X": "1\r\nX: 2", "Cookie": "a=1; b=2\r\nCOOKIE: c=3"}
    received = request(b"", "GET /a%20b?c=d?e HTTP/1.1", Accept="x, y", N=" ", **repeated)
    protocol.receive_data(received.replace(b"Content-Length: 0\r\n", b""))
    found = protocol.next_request()
    assert found
    assert (found.method, found.target) == ("GET", "/a%20b?c=d?e")
    assert (found.path, found.query, found.version) == ("/a%20b", "c=d?e", "HTTP/1.1")
    cookies = "a=1; b=2; c=3"
    assert found.headers == {"host": "x", "accept": "x, y", "n": "", "x": "1,2", "cookie": cookies}
    assert (bytes(found.body), found.keep_alive) == (b"", True)


TOO_LATE = HTTPError("too late", "408 Request Timeout")
NO_SPACE = HTTPError("no space", "503 Service Unavailable")
BAD = "400 Bad Request"
NOT_IMPLEMENTED = "501 Not Implemented"
TOO_LARGE = "413 Content Too Large"
URI_TOO_LONG = "414 URI Too Long"
HEAD_TOO_LARGE = "431 Request Header Fields Too Large"
OTHER_VERSION = "505 HTTP Version Not Supported"


@pytest.mark.parametrize(
    ("received", "status"),
    [
        pytest.param(request(b"", Content_Length=str(MAX_BODY + 1)), TOO_LARGE, id="large"),
        pytest.param(request(b"", Content_Length="9" * 5000), BAD, id="overflow"),
        pytest.param(request(b"", X="x" * MAX_HEAD), HEAD_TOO_LARGE, id="long header"),
        pytest.param(b"x" * MAX_HEAD, URI_TOO_LONG, id="endless first line"),
        pytest.param(
            request(b"", X="\r\nX: ".join("x" * MAX_HEADERS)), HEAD_TOO_LARGE, id="many headers"
        ),
        pytest.param(request(b"", f"GET /{'x' * MAX_HEAD} HTTP/1.1"), URI_TOO_LONG, id="target"),
        pytest.param(request(b"", ""), BAD, id="no request line"),
        pytest.param(request(b"", "BREW / HTTP/1.1"), NOT_IMPLEMENTED, id="unknown method"),
        pytest.param(request(b"", "POST / HTTP/2.0"), OTHER_VERSION, id="HTTP/2"),
        pytest.param(chunked(b"4" + b";" * 300), BAD, id="endless line"),
        pytest.param(chunked(b"0\r\n" + b"x: y\r\n" * MAX_CHUNKS), TOO_LARGE, id="many trailers"),
        pytest.param(chunked(b"100001\r\n"), TOO_LARGE, id="large chunk"),
        pytest.param(chunked(b"8001\r\n" + bytes(0x8001) + b"\r\nf8000\r\n"), TOO_LARGE, id="two"),
        pytest.param(chunked(b"1\r\nx\r\n" * MAX_CHUNKS + b"1\r\n"), TOO_LARGE, id="many chunks"),
    ],
)
def test_an_invalid_request_gets_an_error(received: bytes, status: str) -> None:
    """With a text that says what is wrong, and the connection ends: the rest cannot be trusted.

    These are the limits, and one of each status; the grammar is that of test_http_grammar.py.
    """
    assert status_of_error(received) == status


def test_a_request_can_get_an_error_before_its_body_is_there() -> None:
    """From whoever made the protocol, and knows what the server serves."""

    def admit(found: Request) -> None:
        raise HTTPError(f"Not {found.method}.", "405 Method Not Allowed", [("Allow", "POST")])

    for method, body in (("PUT", b"Not PUT."), ("HEAD", b"")):
        protocol = Protocol(PEER, REQUEST_TIMEOUT, IDLE_TIMEOUT, admit)
        protocol.receive_data(request(b"", f"{method} / HTTP/1.1", Content_Length="4"))
        assert protocol.next_request() is None
        status, headers, text = send_all(protocol)
        assert (status, headers["Allow"]) == ("405 Method Not Allowed", "POST")
        assert body in text
        assert bool(text) == bool(body)


@pytest.mark.parametrize(
    "received", [b"HEAD / HTTP/1.1\r\n\r\n", b"HEAD / HTTP/1.1\r\n: x\r\n\r\n"]
)
def test_an_error_in_response_to_head_has_no_body(protocol: Protocol, received: bytes) -> None:
    """Also if the request is invalid (RFC 9110, 9.3.2)."""
    protocol.receive_data(received)
    assert protocol.next_request() is None
    status, _, text = send_all(protocol)
    assert (status, text) == (BAD, b"")


def test_after_an_error_nothing_is_buffered_of_what_the_client_still_sends(
    protocol: Protocol,
) -> None:
    """It may go on sending a body that is too large, until it ends or times out."""
    protocol.receive_data(request(b"x" * 10_000, Content_Length=str(MAX_BODY + 1)))
    assert protocol.next_request() is None
    send_all(protocol)
    for _ in range(100):
        protocol.receive_data(b"x" * 10_000)
        assert protocol.next_request() is None
    assert protocol.buffered == 0
    protocol.receive_data(b"")
    assert protocol.closed == "closed by the client"


@pytest.mark.parametrize(
    ("received", "close"),
    [
        pytest.param(request(Connection="close"), True, id="close"),
        pytest.param(request(Connection="TE, Close"), True, id="close among others"),
        pytest.param(request(Connection="x-close"), False, id="another option"),
        pytest.param(request(Connection="keep-alive"), False, id="keep-alive"),
        pytest.param(request(b"body", "POST / HTTP/1.0"), True, id="HTTP/1.0"),
        pytest.param(
            request(b"body", "POST / HTTP/1.0", Connection="keep-alive"),
            False,
            id="keep-alive, 1.0",
        ),
    ],
)
def test_a_client_says_whether_the_connection_stays_open(
    protocol: Protocol, received: bytes, close: bool
) -> None:
    """If not, it ends with the response, which says so."""
    protocol.receive_data(received)
    protocol.next_request()
    respond(protocol)
    assert protocol.closing is close
    assert (send_all(protocol)[1]["Connection"] == "close") is close


def test_a_server_that_stops_says_that_the_response_is_the_last(protocol: Protocol) -> None:
    """A request that the client has sent already is not handled then."""
    protocol.receive_data(request(b"1") + request(b"2"))
    protocol.next_request()
    respond(protocol, close=True)
    assert send_all(protocol)[1]["Connection"] == "close"
    assert protocol.next_request() is None


def test_a_client_that_expects_it_is_told_to_continue(protocol: Protocol, clock: Clock) -> None:
    """It sends the body after that (RFC 9110, 10.1.1), in the time of the request."""
    received = request(b"body", Expect="100-continue")
    protocol.receive_data(received[:-4])
    assert protocol.next_request() is None
    assert protocol.data_to_send() == b"HTTP/1.1 100 Continue\r\n\r\n"
    clock.now += 1
    protocol.sent(len(protocol.data_to_send()))
    assert protocol.deadline == clock.now - 1 + REQUEST_TIMEOUT
    protocol.receive_data(b"body")
    assert next_body(protocol) == b"body"
    respond(protocol)
    assert send_all(protocol)[0] == "200 OK"


def test_a_client_without_a_body_is_not_told_to_continue(protocol: Protocol) -> None:
    """There is nothing that it could be waiting to send."""
    protocol.receive_data(request(b"", Expect="100-continue"))
    assert next_body(protocol) == b""
    assert not protocol.data_to_send()


def test_a_client_that_expects_it_gets_an_error_instead(protocol: Protocol) -> None:
    """So it need not send a body that is too large."""
    protocol.receive_data(request(b"", Expect="100-continue", Content_Length=str(MAX_BODY + 1)))
    assert protocol.next_request() is None
    assert send_all(protocol)[0] == "413 Content Too Large"


def test_data_to_send_is_kept_until_the_kernel_has_taken_it(protocol: Protocol) -> None:
    """The next request is not returned before all of it is sent."""
    protocol.receive_data(request() + request())
    protocol.next_request()
    respond(protocol, b"response")
    response = bytes(protocol.data_to_send())
    protocol.sent(10)
    assert protocol.data_to_send() == response[10:]
    assert protocol.next_request() is None
    protocol.sent(len(response) - 10)
    assert next_body(protocol) == b"body"


def test_everything_that_is_buffered_for_a_client_is_counted(protocol: Protocol) -> None:
    """What was received, the request that is being handled, and what is to be sent."""
    protocol.receive_data(request(b"x" * 1000)[:-1])
    protocol.next_request()
    assert protocol.buffered == 999
    protocol.receive_data(b"x" + request())
    protocol.next_request()
    assert protocol.buffered == 1000 + len(request())
    protocol.respond(bytes(2000))
    assert protocol.buffered == len(protocol.data_to_send()) + len(request()) > 2000


def test_an_incomplete_chunked_body_is_counted(protocol: Protocol) -> None:
    """As the largest that it may become; then as what it is."""
    protocol.receive_data(chunked(b"3e8\r\n" + bytes(1000)))
    assert protocol.next_request() is None
    assert protocol.buffered == MAX_BODY
    protocol.receive_data(b"\r\n0\r\n\r\n")
    assert protocol.next_request()
    assert protocol.buffered == 1000


def test_the_time_of_a_request_counts_from_its_first_byte(protocol: Protocol, clock: Clock) -> None:
    """A byte now and then does not extend it."""
    clock.now += IDLE_TIMEOUT - 1
    began = clock.now
    for byte in request(b"x" * 50)[:-1]:
        protocol.receive_data(bytes([byte]))
        assert protocol.next_request() is None
        clock.now += 0.01
    assert protocol.deadline == began + REQUEST_TIMEOUT
    protocol.abort(TOO_LATE)
    assert send_all(protocol)[0] == "408 Request Timeout"
    assert protocol.deadline == clock.now + LINGER


@pytest.mark.parametrize("requests", [0, 1])
def test_an_idle_connection_has_more_time(protocol: Protocol, clock: Clock, requests: int) -> None:
    """And is closed without a response, as there is no request."""
    for _ in range(requests):
        protocol.receive_data(request())
        protocol.next_request()
        respond(protocol)
        clock.now += 1
        send_all(protocol)
    assert protocol.deadline == clock.now + IDLE_TIMEOUT
    protocol.abort(TOO_LATE)
    assert (bytes(protocol.data_to_send()), protocol.closed) == (b"", TOO_LATE.detail)


LINE_ENDS = [b"\r\n", b"\r", b"\n", b"\r\n\r\n\n"]


@pytest.mark.parametrize("line_ends", LINE_ENDS)
@pytest.mark.parametrize("ahead", [True, False])
def test_a_line_end_after_a_body_is_no_request(
    protocol: Protocol, clock: Clock, line_ends: bytes, ahead: bool
) -> None:
    """The connection is idle, and closed without a response; sent with the body, or later."""
    protocol.receive_data(request() + line_ends * ahead)
    assert next_body(protocol) == b"body"
    respond(protocol)
    send_all(protocol)
    responded = clock.now
    for _ in range(3):
        clock.now += IDLE_TIMEOUT / 4
        protocol.receive_data(line_ends)
        assert protocol.next_request() is None
    assert (protocol.buffered, protocol.deadline) == (0, responded + IDLE_TIMEOUT)
    protocol.abort(TOO_LATE)
    assert (bytes(protocol.data_to_send()), protocol.closed) == (b"", TOO_LATE.detail)


@pytest.mark.parametrize("line_ends", LINE_ENDS)
def test_the_time_of_a_request_does_not_count_from_a_line_end_before_it(
    protocol: Protocol, clock: Clock, line_ends: bytes
) -> None:
    """But from the first byte after it."""
    protocol.receive_data(line_ends)
    clock.now += 1
    protocol.receive_data(line_ends + b"POST")
    assert protocol.deadline == clock.now + REQUEST_TIMEOUT
    clock.now += 1
    protocol.receive_data(request()[4:])
    assert next_body(protocol) == b"body"


def test_endless_line_ends_neither_fill_memory_nor_keep_a_connection(
    protocol: Protocol, clock: Clock
) -> None:
    """It is closed when an idle one is."""
    deadline = protocol.deadline
    for _ in range(100):
        clock.now += IDLE_TIMEOUT / 100
        protocol.receive_data(b"\r\n" * 30_000)
        assert protocol.next_request() is None
        assert (protocol.buffered, protocol.deadline) == (0, deadline)


def test_a_response_that_the_client_does_not_read_ends_the_connection(
    protocol: Protocol, clock: Clock
) -> None:
    """It has as long as a request; to read a byte now and then does not extend that."""
    protocol.receive_data(request())
    protocol.next_request()
    respond(protocol, b"response")
    clock.now += 1
    protocol.sent(1)
    assert protocol.deadline == clock.now - 1 + REQUEST_TIMEOUT
    protocol.abort(TOO_LATE)
    assert protocol.closed == TOO_LATE.detail
    assert protocol.buffered == 0


def test_a_request_that_is_being_handled_has_no_deadline(protocol: Protocol) -> None:
    """It is the server that takes its time."""
    protocol.receive_data(request())
    protocol.next_request()
    assert protocol.deadline == math.inf
    respond(protocol)
    assert send_all(protocol)[0] == "200 OK"


def test_a_response_can_come_in_parts(protocol: Protocol, clock: Clock) -> None:
    """Each has its time to be read; while there is none, it is not the client that is slow."""
    protocol.receive_data(request() + request(b"next"))
    protocol.next_request()
    for part in (b"one", b"two"):
        protocol.respond(part, last=False)
        assert protocol.deadline == clock.now + REQUEST_TIMEOUT
        assert bytes(protocol.data_to_send()) == part
        protocol.sent(len(part))
        assert protocol.deadline == math.inf
        assert protocol.next_request() is None
        clock.now += 1
    protocol.respond()
    assert next_body(protocol) == b"next"


def test_nothing_is_buffered_for_a_client_that_has_gone(protocol: Protocol) -> None:
    """Its response is dropped."""
    protocol.receive_data(request())
    protocol.next_request()
    protocol.close("gone")
    protocol.respond(bytes(1000), last=False)
    assert protocol.buffered == len(b"body")
    protocol.respond(bytes(1000))
    assert protocol.buffered == 0


def test_a_closed_connection_does_not_expire_again(protocol: Protocol) -> None:
    """Its request may still be handled for long."""
    protocol.receive_data(request())
    protocol.next_request()
    protocol.respond(b"one", last=False)
    protocol.abort(TOO_LATE)
    assert (protocol.closed, protocol.deadline) == (TOO_LATE.detail, math.inf)


def test_an_evicted_client_gets_a_status_if_it_has_no_response_yet(protocol: Protocol) -> None:
    """Otherwise its response breaks off: there is no other way to say so."""
    protocol.receive_data(request(b"x" * 10_000)[:-1])
    protocol.next_request()
    protocol.abort(NO_SPACE)
    assert send_all(protocol)[0] == "503 Service Unavailable"
    protocol = new_protocol()
    protocol.receive_data(request())
    protocol.next_request()
    protocol.respond(bytes(10_000))
    protocol.abort(NO_SPACE)
    assert (protocol.buffered, protocol.closed) == (0, NO_SPACE.detail)
