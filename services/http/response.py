"""Responses: heads, errors, and what a WSGI application answers (PEP 3333)."""

import json
import re
import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any
from wsgiref.handlers import format_date_time
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment
from wsgiref.util import is_hop_by_hop

from services.http.request import HTTPError, Request

Headers = list[tuple[str, str]]

STATUS = re.compile(r"[1-9][0-9]{2} [\t -~\x80-\xff]*")
HEADER = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+: [\t -~\x80-\xff]*")
LENGTH = re.compile("[0-9]+")

http_date = lru_cache(maxsize=1)(format_date_time)  # of a second, since the epoch


def response_head(status: str, headers: Headers, close: bool, version: str = "HTTP/1.1") -> bytes:
    """Return the head of a response; `close` if the connection ends after its body.

    To a client of HTTP/1.0 it has to say also that the connection stays (RFC 9112, C.2.2).
    """
    if "date" not in [name.lower() for name, _ in headers]:
        headers = [("Date", http_date(int(time.time()))), *headers]
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers])
    if close or version == "HTTP/1.0":
        lines += f"Connection: {'close' if close else 'keep-alive'}\r\n"
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode("latin-1")


def check_head(status: str, headers: Headers) -> None:
    """Raise ValueError for what an application may not say.

    A line break would begin another header, or a body, which an attacker has written.
    """
    lines = [f"{name}: {value}" for name, value in headers]
    if not STATUS.fullmatch(status) or not all(map(HEADER.fullmatch, lines)):
        raise ValueError(f"not a status and headers: {status!r:.50}, {lines!r:.200}")


def checked(application: WSGIApplication) -> WSGIApplication:
    """Return `application`, checked for a server that would send anything, as wsgiref does."""

    def run(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: Headers, exc_info: Any = None, /) -> Any:
            check_head(status, headers)
            return start_response(status, headers, exc_info)

        return application(environ, start)

    return run


def error_response(error: HTTPError, body: bool) -> bytes:
    """Return an error as problem details (RFC 9457); a response to HEAD has no body."""
    code, title = error.status.split(" ", 1)
    problem = {"type": "about:blank", "title": title, "status": int(code), "detail": error.detail}
    text = json.dumps(problem, indent=2).encode() + b"\n"
    length = ("Content-Length", str(len(text)))
    headers = [("Content-Type", "application/problem+json"), length, *error.headers]
    return response_head(error.status, headers, close=True) + (text if body else b"")


class NoRoom(BaseException):
    """There is no room for a response yet, of as many bytes as its argument says.

    It is no Exception, as an application that calls write() may catch those (PEP 3333).
    """


class Response:
    """The response of a WSGI application to one request; `send` sends it in parts.

    `has_room` says whether a first block of that many bytes may be sent now. If not, `run` raises
    NoRoom, and the request may be handled again later.
    """

    def __init__(
        self,
        request: Request,
        send: Callable[..., None],
        has_room: Callable[[int], bool] = lambda _: True,
    ) -> None:
        self.status = ""
        self.sent = 0  # bytes of the body
        self._request, self._send, self._has_room = request, send, has_room
        self._headers: Headers = []
        self._started = self._complete = self._chunked = False
        self._close = not request.keep_alive
        self._left: int | None = None  # bytes of the body until its Content-Length is reached

    def run(self, application: WSGIApplication, environ: WSGIEnvironment) -> None:
        """Have the application respond; raises what that or `send` raises."""
        blocks: Iterable[bytes] = ()
        try:
            blocks = application(environ, self.start_response)
            for block in blocks:
                self.write(block)
                if self._complete:  # the rest is dropped, which may be endless
                    break
            self.write(b"", last=True)
        finally:
            if hasattr(blocks, "close"):
                blocks.close()

    def start_response(self, status: str, headers: Headers, exc_info: Any = None, /) -> Any:
        """Take status and headers; with `exc_info` they may replace the first ones."""
        if exc_info and self._started and exc_info[1]:
            raise exc_info[1]
        if self.status and not exc_info:
            raise AssertionError("start_response is called a second time without exc_info")
        check_head(status, headers)
        self.status, self._headers = status, headers
        return self.write

    def fail(self) -> None:
        """Respond with status 500 if nothing was sent yet, or else end the connection."""
        if not self._started:
            self.status, self._headers = "500 Internal Server Error", [("Content-Length", "0")]
            self.write(b"", last=True)
        elif not self._complete:
            self._complete = True
            self._send(last=True, close=True)

    def write(self, block: bytes, last: bool = False) -> None:
        """Send a block of the body; what exceeds the Content-Length is dropped."""
        if not isinstance(block, bytes):  # it would be the worker that fails, for all clients
            raise TypeError(f"a block of the body is a {type(block).__name__}, not bytes")
        if self._complete or not (block or last):
            return
        if not self._started and not self._has_room(len(block)):
            raise NoRoom(len(block))
        parts = [] if self._started else [self._start()]
        if not self._complete:
            if self._left is not None:
                block = block[: self._left]
                self._left -= len(block)
            self.sent += len(block)
            if block:
                parts += [b"%x\r\n" % len(block), block, b"\r\n"] if self._chunked else [block]
            if last and self._chunked:
                parts.append(b"0\r\n\r\n")
            self._complete = last or self._left == 0
        # If the body is shorter than its Content-Length, only the end of the connection says so.
        close = self._close or (last and bool(self._left))
        self._send(*parts, last=self._complete, close=close)

    def _start(self) -> bytes:
        """Return the head of the response, and decide how its body is framed (RFC 9112, 6.3)."""
        if not self.status:
            raise AssertionError("start_response is not called before the first block")
        code = int(self.status[:3])
        headers, lengths = [], set()
        for name, value in self._headers:
            if is_hop_by_hop(name):
                continue
            if name.lower() == "content-length":
                lengths.add(value.strip())
                if code < 200 or code == 204:  # these have none (RFC 9110, 8.6)
                    continue
            headers.append((name, value))
        if len(lengths) > 1 or not all(map(LENGTH.fullmatch, lengths)):
            raise ValueError(f"not one Content-Length: {lengths}")
        self._close = self._close or code < 200
        if code < 200 or code in (204, 304) or self._request.method == "HEAD":
            self._complete = True
        elif lengths:
            self._left = int(lengths.pop())
        elif self._request.version == "HTTP/1.1":
            self._chunked = True
            headers.append(("Transfer-Encoding", "chunked"))
        else:
            self._close = True  # the end of the connection is that of the body
        self._started = True
        return response_head(self.status, headers, self._close, self._request.version)
