"""One HTTP connection without its socket: bytes in, requests out; responses in, bytes out.

    received bytes -> head -> body: a request -> its response -> outgoing bytes, and again

A driver calls `receive_data` with what it has received, and then `next_request`; it sends what
`data_to_send` returns, and reports by `sent` how much of that the kernel took. It receives nothing
while a request is being handled or there is something to send, so a client that does not read its
responses is not read from either.
"""

import math
import re
import time
from collections.abc import Callable

from services.http.chunks import Chunks
from services.http.errors import BadRequest, BodyTooLarge, HTTPError
from services.http.request import Request, parse
from services.http.response import error_response

MAX_HEAD = 16 * 1024  # bytes
MAX_BODY = 1024 * 1024  # bytes
LINGER = 2.0  # seconds that a client has to close its side once it has the last response

BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

Clock = Callable[[], float]


def admit_all(_request: Request) -> None:
    """Raise no HTTPError: the head of any request is acceptable."""


class Protocol:
    """The server's side of one connection.

    `request_timeout` is the time in seconds for a request from its first byte to its last, and for
    a response until the client has read it; `idle_timeout` is the time between requests. `admit`
    may raise HTTPError for a request of which only the head is there. After an error the
    connection ends: nobody can tell where the next request would start.

    `closed` is None, or says why the connection is over. Once `closing`, what there is to send is
    the last. `request` is being handled, and has no complete response yet. `error` says what was
    wrong with the last request. `deadline` is a reading of `clock`.
    """

    __slots__ = (
        "_admit", "_chunks", "_clock", "_head", "_idle_timeout", "_outgoing", "_received",
        "_request_timeout", "_scanned", "closed", "closing", "deadline", "error", "request",
    )  # fmt: skip

    def __init__(
        self,
        request_timeout: float,
        idle_timeout: float,
        admit: Callable[[Request], None] = admit_all,
        clock: Clock = time.monotonic,
    ) -> None:
        self.closed: str | None = None
        self.closing = False
        self.request: Request | None = None
        self.error: HTTPError | None = None
        self.deadline = clock() + idle_timeout
        self._request_timeout = request_timeout
        self._idle_timeout = idle_timeout
        self._admit = admit
        self._clock = clock
        self._received = bytearray()
        self._outgoing = bytearray()
        self._scanned = 0  # bytes of what was received in which no head ends
        self._head: Request | None = None  # a request whose body is not complete
        self._chunks: Chunks | None = None

    @property
    def buffered(self) -> int:
        """How many bytes of requests and responses are in memory."""
        return (
            len(self._received)
            + len(self._outgoing)
            + (len(self.request.body) if self.request else 0)
            + (len(self._chunks.body) if self._chunks else 0)
        )

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the client, or none for its FIN."""
        if not data:
            self.closed = "closed by the client"
        elif not self.closing:
            # The time of a request counts from its first byte, and does not start anew with each.
            if not self._received and not self._head:
                self._set_timeout(self._request_timeout)
            self._received += data

    def next_request(self) -> Request | None:
        """Return the next request once it is complete, and the one before it has its response."""
        if self.request or self._outgoing or self.closing or self.closed or not self._received:
            return None
        try:
            self.request = self._parse()
        except HTTPError as error:
            self.respond_with_error(error)
        if self.request:
            self._head = self._chunks = None
            self.deadline = math.inf  # now it is the server that takes its time
        return self.request

    def respond(self, *parts: bytes, complete: bool = True, close: bool = False) -> None:
        """Send parts of a response; `close` if the connection ends once it is complete."""
        if parts and not self.closed:
            if not self._outgoing:
                self._set_timeout(self._request_timeout)
            for part in parts:
                self._outgoing += part
        if complete:
            self.request = None
            self.closing = close
            if not self._outgoing:
                self._await_request()

    def respond_with_error(self, error: HTTPError) -> None:
        """Answer with an error, and end the connection."""
        head = self._head
        to_head = head.method == "HEAD" if head else self._received.startswith(b"HEAD ")
        response = error_response(error, head.path if head else None, body=not to_head)
        self._received.clear()
        self._head = self._chunks = None
        self.error = error
        self.respond(response, close=True)

    def data_to_send(self) -> bytearray:
        """Return the bytes to send, and keep them until `sent` says that the kernel has them."""
        return self._outgoing

    def sent(self, count: int) -> None:
        """Drop the first `count` bytes to send."""
        del self._outgoing[:count]
        if not self._outgoing:
            self._await_request()

    def expire(self) -> None:
        """Answer a request that is incomplete at its deadline with an error, or just close."""
        if (self._received or self._head) and not self._outgoing and not self.closing:
            detail = f"The request was not complete within {self._request_timeout} seconds."
            self.respond_with_error(HTTPError("408 Request Timeout", detail))
        else:
            self.close("timed out")

    def evict(self) -> None:
        """Drop what is buffered for the client, because the memory is needed for others."""
        if self._outgoing:
            self.close("evicted: the client does not read its response")
        else:
            detail = "The server has too many incomplete requests."
            self.respond_with_error(HTTPError("503 Service Unavailable", detail))

    def close(self, reason: str) -> None:
        """End the connection from our side, and drop all that is buffered for it."""
        self.closed = reason
        self.deadline = math.inf
        self._received.clear()
        self._outgoing.clear()
        self._head = self._chunks = None

    def _set_timeout(self, seconds: float) -> None:
        self.deadline = self._clock() + seconds

    def _await_request(self) -> None:
        """Set the timeout for what the client does next, now that it has been sent everything."""
        if self.closing:
            self._set_timeout(LINGER)
        elif self.request:
            self.deadline = math.inf
        elif not self._head:  # otherwise that was 100 Continue, and the request has its deadline
            self._set_timeout(self._request_timeout if self._received else self._idle_timeout)

    def _parse(self) -> Request | None:
        """Return the next request if it is complete, and remove it from what was received."""
        head = self._head or self._parse_head()
        if not head:
            return None
        if self._chunks:
            if not self._chunks.decode(self._received):
                return None
            head.body = bytes(self._chunks.body)
        elif len(self._received) < head.length:
            return None
        else:
            head.body = bytes(memoryview(self._received)[: head.length])
            del self._received[: head.length]
        return head

    def _parse_head(self) -> Request | None:
        """Return the next request, without its body, if its head is complete."""
        # Some clients send one line break too many after a body (RFC 9112, 2.2).
        start = 2 if self._received.startswith(b"\r\n") else 0
        end = self._received.find(b"\r\n\r\n", max(start, self._scanned), MAX_HEAD)
        if end < 0:
            if BARE_LINE_FEED.search(self._received, self._scanned):
                raise BadRequest("Invalid line break: a line has to end with CR LF.")
            if len(self._received) >= MAX_HEAD:
                detail = f"The head of a request may have at most {MAX_HEAD} bytes."
                raise HTTPError("431 Request Header Fields Too Large", detail)
            self._scanned = max(0, len(self._received) - 3)
            return None
        self._scanned = 0
        head = self._head = parse(bytes(self._received[start:end]))
        del self._received[: end + 4]
        self._admit(head)
        if head.length > MAX_BODY:
            raise BodyTooLarge(MAX_BODY)
        if head.chunked:
            self._chunks = Chunks(MAX_BODY)
        if head.expects_continue and (head.length or head.chunked) and not self._received:
            self._outgoing += CONTINUE
        return head
