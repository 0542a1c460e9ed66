"""One HTTP connection without its socket: bytes in, requests out; responses in, bytes out.

A driver calls `receive_data` with what it has received, then `next_request`; it sends what
`data_to_send` returns, and reports by `sent` how much the kernel took. While a request is handled,
or there is something to send, it receives nothing, and further requests stay in the kernel.
"""

import math
import time
from collections.abc import Callable, Iterator

from services.http.request import HTTPError, Request, body_size, read_body, read_head
from services.http.response import error_response
from services.runtime import Address

LINGER = 2.0  # seconds that a client has to close its side once it has the last response
CHUNK = 64 * 1024  # bytes to receive at once
SMALL = 4 * 1024  # bytes of a request or a response, which need no room to be reserved


class Protocol:
    """The server's side of one connection.

    `request_timeout` is the time in seconds for a request from its first byte to its last, and for
    a response until the client has read it; `idle_timeout` is the time between requests. `admit`
    may raise HTTPError for a request whose body is not there yet.

    `closed` says why the connection is over. Once `closing`, what there is to send is the last.
    `request` is being handled. After an `error` nobody can tell where the next request starts.

    A request with a large body waits until `reserve` is called, since all clients share the memory;
    so does one that `postpone` was called for. Meanwhile `needs` says how many bytes it needs, and
    nothing should be received: the rest of the request stays in the kernel, or with the client.
    Each time it waits, it may do so for as long as a request may take.
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
        self.needs = 0
        self.moved = 0  # bytes received and sent
        self.counted = 0  # bytes buffered when limits.py last looked
        self._reserved = 0
        self._request_timeout, self._idle_timeout = request_timeout, idle_timeout
        self._admit, self._clock = admit, clock
        self._received, self._outgoing = bytearray(), bytearray()
        self._incomplete: Request | None = None  # whose body has not arrived yet
        self._body: Iterator[bytes] | None = None  # reads it

    @property
    def buffered(self) -> int:
        """How many bytes of requests and responses are in memory, or have room reserved."""
        body = request.body if (request := self.request or self._incomplete) else b""
        return max(len(self._received) + len(body), self._reserved) + len(self._outgoing)

    @property
    def receive_size(self) -> int:
        """How many bytes to receive at once: little before it is known that there is room."""
        return CHUNK if self._reserved else SMALL

    @property
    def postponed(self) -> bool:
        """Whether what is next is a response, of a request that was handled already."""
        return bool(self._incomplete and not self._body)

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the client, or none for its FIN."""
        if not data:
            self.close("closed by the client")
        elif not self.closing:
            between = not self._received and not self._incomplete
            self._received += data
            self.moved += len(data)
            if between:
                self._skip_line_ends()

    def next_request(self) -> Request | None:
        """Return the next request once it is complete, and the one before has its response."""
        if self.request or self._outgoing or self.closing or self.needs:
            return None
        try:
            if not self._incomplete:
                if not self._received or not (request := read_head(self._received)):
                    return None
                self._incomplete = request
                self._admit(request)
                self._body = read_body(request, self._received)
                if (size := body_size(request)) > SMALL:
                    self._wait_for_room(size)
                    return None
            for data in self._body or ():  # none of a request that was postponed
                self._outgoing += data
                return None  # more has to arrive
        except HTTPError as error:
            self.abort(error)
            return None
        if self._body:
            self._reserved = 0
        self.request, self._incomplete, self._body = self._incomplete, None, None
        self.deadline = math.inf  # now it is the server that takes its time
        return self.request

    def reserve(self) -> None:
        """Go on: there is room for what this connection needs."""
        self._reserved, self.needs = self.needs, 0
        self.deadline = self._clock() + self._request_timeout

    def expect(self, size: int) -> None:
        """Reserve room for a response of `size` bytes."""
        if not self.closed:
            self._reserved = max(self._reserved, size)

    def postpone(self, size: int) -> None:
        """Have the request handled again once there is room for its response of `size` bytes."""
        if not self.closed:
            self._incomplete = self.request
            self._wait_for_room(size)
        self.request = None

    def has_room(self, size: int) -> bool:
        """Whether a response of `size` bytes needs no more room than was reserved for it."""
        return size <= max(SMALL, self._reserved)

    def respond(self, *parts: bytes, last: bool = True, close: bool = False) -> None:
        """Send parts of a response; `close` if the connection ends after the last one."""
        self._reserved = 0
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
        self.moved += count
        if self._outgoing or self._incomplete:
            return  # the deadline stays, also that of a request whose client was told to continue
        if self.request:
            self.deadline = math.inf
        elif self.closing:
            self.deadline = self._clock() + LINGER
        else:
            self.deadline = self._clock() + self._idle_timeout
            self._skip_line_ends()

    def abort(self, error: HTTPError) -> None:
        """Answer an incomplete request with an error; otherwise close the connection."""
        if self._outgoing or not (self._received or self._incomplete):
            self.close(error.detail)
            return
        request = self._incomplete
        to_head = request.method == "HEAD" if request else self._received.startswith(b"HEAD ")
        self.error, self._incomplete, self.needs = error, None, 0
        self._received.clear()
        self.respond(error_response(error, body=not to_head), close=True)

    def close(self, reason: str) -> None:
        """End the connection, and drop all that is buffered for it."""
        self.closed, self._incomplete = reason, None
        self.needs = self._reserved = 0
        self._received.clear()
        self._outgoing.clear()
        self.deadline = math.inf

    def _skip_line_ends(self) -> None:
        """Drop what some clients send after a body (RFC 9112, 2.2): it is not the next request."""
        self._received[:] = self._received.lstrip(b"\r\n")
        # The time of a request counts from its first byte, and does not start anew with each.
        if self._received:
            self.deadline = self._clock() + self._request_timeout

    def _wait_for_room(self, size: int) -> None:
        self.needs = size
        self.deadline = self._clock() + self._request_timeout
