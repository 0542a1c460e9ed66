"""Responses on the wire: their heads, errors, and what a WSGI application answers (PEP 3333)."""

import json
import re
import time
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from types import TracebackType
from typing import Any, Protocol
from wsgiref.handlers import format_date_time
from wsgiref.types import WSGIApplication, WSGIEnvironment
from wsgiref.util import is_hop_by_hop

from services.http.errors import HTTPError
from services.http.request import HEADER, LENGTH, Request

ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]
Headers = list[tuple[str, str]]

STATUS = re.compile(r"[1-9][0-9]{2} [\t -~\x80-\xff]*")
FAILED = "500 Internal Server Error"


def response_head(status: str, headers: Sequence[tuple[str, str]], close: bool) -> bytes:
    """Return the head of a response; `close` if the connection ends after its body."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers])
    ending = "Connection: close\r\n\r\n" if close else "\r\n"
    head = f"HTTP/1.1 {status}\r\nDate: {http_date(int(time.time()))}\r\n{lines}{ending}"
    return head.encode("latin-1")


@lru_cache(maxsize=1)
def http_date(second: int) -> str:
    """Return a time in seconds since the epoch as HTTP writes it (RFC 9110, 5.6.7)."""
    return format_date_time(second)


def error_response(error: HTTPError, instance: str | None, body: bool) -> bytes:
    """Return an error as problem details (RFC 9457); to HEAD no response has a body."""
    problem: dict[str, object] = {
        "type": "about:blank",
        "title": error.status[4:],
        "status": int(error.status[:3]),
        "detail": error.detail,
    }
    if instance is not None:
        problem["instance"] = instance
    text = json.dumps(problem, indent=2).encode() + b"\n"
    headers = [
        ("Content-Type", "application/problem+json"),
        ("Content-Length", str(len(text))),
        *error.headers,
    ]
    return response_head(error.status, headers, close=True) + (text if body else b"")


class ClientGone(Exception):
    """Raised in an application that is still responding when its client has gone."""


class Send(Protocol):
    """What a response is sent with."""

    def __call__(self, *parts: bytes, complete: bool, close: bool) -> None:
        """Send parts of a response; `complete` with the last, `close` to end the connection then.

        Raises ClientGone if there is nobody who would read the next ones.
        """


class Response:
    """The response of a WSGI application to one request.

    `status`, `headers` and `sent`, the bytes of the body, are what gunicorn's log looks at.
    """

    def __init__(self, request: Request, send: Send, stopping: Callable[[], bool]) -> None:
        self.status: str | None = None
        self.headers: Headers = []
        self.sent = 0
        self._request = request
        self._send = send
        self._stopping = stopping
        self._started = False
        self._complete = False
        self._close = not request.keep_alive
        self._chunked = False
        self._left: int | None = None  # bytes of the body until its Content-Length is reached

    def run(self, application: WSGIApplication, environ: WSGIEnvironment) -> None:
        """Have the application respond; raises what that raises, or ClientGone."""
        blocks: Iterable[bytes] = ()
        try:
            blocks = application(environ, self.start_response)
            for block in blocks:
                self.write(block)
            self._finish()
        finally:
            if hasattr(blocks, "close"):
                blocks.close()

    def start_response(
        self, status: str, headers: Headers, exc_info: ExcInfo | None = None, /
    ) -> Callable[[bytes], Any]:
        """Take status and headers; with `exc_info` they may replace the first ones."""
        if exc_info and self._started and exc_info[1]:
            raise exc_info[1]
        if self.status and not exc_info:
            raise AssertionError("start_response is called a second time without exc_info")
        # A line break would begin another header, or a body, which an attacker has written.
        if not STATUS.fullmatch(status):
            raise ValueError(f"not a status: {status!r:.100}")
        for name, value in headers:
            if not HEADER.fullmatch(f"{name}:{value}"):
                raise ValueError(f"not a header: {name!r:.100}")
        self.status, self.headers = status, headers
        return self.write

    def write(self, block: bytes) -> None:
        """Send a block of the body; what exceeds the Content-Length is dropped."""
        if not block or self._complete:
            return
        parts = [] if self._started else [self._start()]
        if self._left is not None:
            block = block[: self._left]
            self._left -= len(block)
        if not self._complete:
            self.sent += len(block)
            self._complete = self._left == 0
            parts += [b"%x\r\n" % len(block), block, b"\r\n"] if self._chunked else [block]
        self._send(*parts, complete=self._complete, close=self._close)

    def fail(self) -> None:
        """Respond with status 500 if nothing was sent yet, or end the connection."""
        if self._complete:
            return
        self._complete = True
        if self._started:
            self._send(complete=True, close=True)
        else:
            self.status, self.headers = FAILED, [("Content-Length", "0")]
            self._send(self._start(), complete=True, close=self._close)

    def _start(self) -> bytes:
        """Return the head of the response, and decide how its body is framed (RFC 9112, 6.3)."""
        if not self.status:
            raise AssertionError("start_response is not called before the first block")
        code = int(self.status[:3])
        # These never have a body, nor a Content-Length (RFC 9110, 8.6).
        bodiless = code < 200 or code == 204
        headers = [
            (name, value)
            for name, value in self.headers
            if not is_hop_by_hop(name) and not (bodiless and name.lower() == "content-length")
        ]
        lengths = {value.strip() for name, value in headers if name.lower() == "content-length"}
        if len(lengths) > 1 or not all(map(LENGTH.fullmatch, lengths)):
            raise ValueError(f"not one Content-Length: {lengths}")
        self._close = self._close or code < 200 or self._stopping()
        if bodiless or code == 304 or self._request.method == "HEAD":
            self._complete = True
        elif lengths:
            self._left = int(lengths.pop())
        elif self._request.version == "HTTP/1.1":
            self._chunked = True
            headers.append(("Transfer-Encoding", "chunked"))
        else:
            self._close = True  # the end of the connection is that of the body
        self._started = True
        return response_head(self.status, headers, self._close)

    def _finish(self) -> None:
        """Send what is left to send after the last block."""
        if self._complete:
            return
        parts = [] if self._started else [self._start()]
        if self._chunked:
            parts.append(b"0\r\n\r\n")
        self._complete = True
        # If the body is shorter than its Content-Length, only the end of the connection says so.
        self._send(*parts, complete=True, close=self._close or bool(self._left))
