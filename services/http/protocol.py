"""One HTTP connection without its socket: bytes in, requests out; responses in, bytes out.

A driver calls `receive_data` with what it has received, then `next_request`; it sends what
`data_to_send` returns, and reports by `sent` how much the kernel took. While a request is handled,
or there is something to send, it receives nothing, and further requests stay in the kernel.
"""

import math
import time
from collections.abc import Callable, Iterator

from services.http.request import HTTPError, Request, read_body, read_head
from services.http.response import error_response
from services.runtime import Address

LINGER = 2.0  # seconds that a client has to close its side once it has the last response


class Protocol:
    """The server's side of one connection.

    `request_timeout` is the time in seconds for a request from its first byte to its last, and for
    a response until the client has read it; `idle_timeout` is the time between requests. `admit`
    may raise HTTPError for a request whose body is not there yet.

    `closed` says why the connection is over. Once `closing`, what there is to send is the last.
    `request` is being handled. After an `error` nobody can tell where the next request starts.
    """

    def __init__(
        self,
        peer: Address,
        request_timeout: float,
        idle_timeout: float,
        admit: Callable[[Request], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.peer = peer
        self.closed: str | None = None
        self.closing = False
        self.request: Request | None = None
        self.error: HTTPError | None = None
        self.deadline = clock() + idle_timeout
        self.counted = 0  # bytes buffered when limits.py last looked
        self._request_timeout, self._idle_timeout = request_timeout, idle_timeout
        self._admit, self._clock = admit, clock
        self._received, self._outgoing = bytearray(), bytearray()
        self._incomplete: Request | None = None  # whose body has not arrived yet
        self._body: Iterator[bytes] | None = None  # reads it

    @property
    def buffered(self) -> int:
        """How many bytes of requests and responses are in memory."""
        body = request.body if (request := self.request or self._incomplete) else b""
        return len(self._received) + len(self._outgoing) + len(body)

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the client, or none for its FIN."""
        if not data:
            self.close("closed by the client")
        elif not self.closing:
            # The time of a request counts from its first byte, and does not start anew with each.
            if not self._received and not self._incomplete:
                self.deadline = self._clock() + self._request_timeout
            self._received += data

    def next_request(self) -> Request | None:
        """Return the next request once it is complete, and the one before has its response."""
        if self.request or self._outgoing or self.closing or not self._received:
            return None
        try:
            if not self._body:
                if not (request := read_head(self._received)):
                    return None
                self._incomplete = request
                self._admit(request)
                self._body = read_body(request, self._received)
            for data in self._body:
                self._outgoing += data
                return None  # more has to arrive
        except HTTPError as error:
            self.abort(error)
            return None
        self.request, self._incomplete, self._body = self._incomplete, None, None
        self.deadline = math.inf  # now it is the server that takes its time
        return self.request

    def respond(self, *parts: bytes, last: bool = True, close: bool = False) -> None:
        """Send parts of a response; `close` if the connection ends after the last one."""
        if parts and not self.closed:
            if not self._outgoing:
                self.deadline = self._clock() + self._request_timeout
            for part in parts:
                self._outgoing += part
        if last:
            self.request = None
            self.closing = close
        self.sent(0)

    def data_to_send(self) -> bytearray:
        """Return the bytes to send, and keep them until `sent` says that the kernel has them."""
        return self._outgoing

    def sent(self, count: int) -> None:
        """Drop the first `count` bytes to send; after the last one, set the client's deadline."""
        del self._outgoing[:count]
        if self._outgoing or self._incomplete:
            return  # the deadline stays, also that of a request whose client was told to continue
        if self.request:
            self.deadline = math.inf
        elif self.closing:
            self.deadline = self._clock() + LINGER
        else:
            timeout = self._request_timeout if self._received else self._idle_timeout
            self.deadline = self._clock() + timeout

    def abort(self, error: HTTPError) -> None:
        """Answer an incomplete request with an error; otherwise close the connection."""
        if self._outgoing or not (self._received or self._incomplete):
            self.close(error.detail)
            return
        request = self._incomplete
        to_head = request.method == "HEAD" if request else self._received.startswith(b"HEAD ")
        self.error, self._incomplete = error, None
        self._received.clear()
        self.respond(error_response(error, body=not to_head), close=True)

    def close(self, reason: str) -> None:
        """End the connection, and drop all that is buffered for it."""
        self.closed, self._incomplete = reason, None
        self._received.clear()
        self._outgoing.clear()
        self.deadline = math.inf
