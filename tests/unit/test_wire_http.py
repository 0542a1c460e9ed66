"""HTTP on the wire: where messages end, whatever pieces they come in, and what is none."""

from collections.abc import Iterator

import pytest

from services.wire import http
from services.wire.stream import MAX_KEPT, Message, Stream

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /b HTTP/1.1\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nHello"
CHUNKED = (
    b"PUT /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3;x=y\r\nHel\r\n2\r\nlo\r\n0\r\nTrailer: z\r\n\r\n"
)


def read(stream: Stream, data: bytes, size: int = 10**6) -> list[Message]:
    """Return the messages of a stream that comes in pieces of `size` bytes."""

    def found() -> Iterator[Message]:
        for at in range(0, len(data), size):
            yield from stream.receive_data(data[at : at + size])
        yield from stream.end()

    return list(found())


def summaries(messages: list[Message]) -> list[tuple[str, int]]:
    """Return what is said of messages in one line, and their sizes."""
    return [(message.summary, message.size) for message in messages]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10**6])
def test_pipelined_requests_come_apart(size: int) -> None:
    """Each is one message with its own size, in whatever pieces the stream came."""
    requests, _ = http.pair()
    messages = read(requests, GET + POST + b"\r\n" + CHUNKED + GET, size)
    assert summaries(messages) == [
        ("GET /a", len(GET)),
        ("POST /b, text/plain, 5 bytes", len(POST)),
        ("PUT /c, 5 bytes", len(CHUNKED) + 2),
        ("GET /a", len(GET)),
    ]
    assert messages[1].details == (
        "POST /b HTTP/1.1", "Content-Type: text/plain", "Content-Length: 5", "", "Hello",
    )  # fmt: skip
    assert messages[2].details[-1] == "Hello"


def test_responses_end_as_their_requests_say() -> None:
    """That to HEAD has no body, nor have 1xx, 204 and 304; one without a length ends at the FIN."""
    requests, responses = http.pair()
    read(requests, b"HEAD / HTTP/1.1\r\n\r\n" + GET * 4)
    messages = read(
        responses,
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"
        b"HTTP/1.1 100 Continue\r\n\r\n"
        b"HTTP/1.1 204 No Content\r\n\r\n"
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
        b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
    )
    assert [message.summary for message in messages] == [
        "200 OK", "100 Continue", "204 No Content", "304 Not Modified", "200 OK, 2 bytes",
        "200 OK, 13 bytes",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "summary"),
    [
        pytest.param(b"SSH-2.0-x\r\n", "not HTTP: 'SSH-2.0-x␍␊'", id="another protocol"),
        pytest.param(b"\0\1\2\n", "not HTTP: 00 01 02 0a", id="bytes"),
        pytest.param(
            b"GET / HTTP/9\r\n\r\n",
            "not HTTP: Expected dot: 'GET / HTTP/9␍␊␍␊'",
            id="version",
        ),
        pytest.param(
            b"GET / HTTP/1.1\nHost: x\n\n",
            "not HTTP: a line does not end with CR LF: 'GET / HTTP/1.1␊Host: x␊␊'",
            id="line ends",
        ),
        pytest.param(
            b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "not HTTP: the size of a chunk is no number: "
            "'GET / HTTP/1.1␍␊Transfer-Encoding: chunked␍␊␍␊zz␍␊'",
            id="chunk",
        ),
        pytest.param(
            b"GET / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc",
            "GET /, incomplete (40 bytes)",
            id="incomplete body",
        ),
        pytest.param(b"GET / HT", "'GET / HT', incomplete (8 bytes)", id="incomplete head"),
    ],
)
def test_what_is_not_http_is_said(data: bytes, summary: str) -> None:
    """It is one message with all of its bytes, and nothing is raised."""
    requests, _ = http.pair()
    assert summaries(read(requests, data)) == [(summary, len(data))]


def test_a_request_after_what_is_not_http_is_read() -> None:
    """Decoding starts again where a piece begins as a request does."""
    requests, _ = http.pair()
    messages = [
        message for data in (b"\0\n", b"\1", GET) for message in requests.receive_data(data)
    ]
    assert summaries(messages) == [("not HTTP: 00 0a", 2), ("01 (1 byte)", 1), ("GET /a", len(GET))]


def test_a_large_body_is_counted_and_its_beginning_kept() -> None:
    """The details say how much more there is."""
    requests, _ = http.pair()
    size = 10 * MAX_KEPT
    head = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % size
    (message,) = read(requests, head + b"x" * size)
    assert message.summary == "POST /, 655,360 bytes"
    assert message.details[-1] == "… 589,824 more bytes of the body"
    assert sum(map(len, message.details)) < 1000
