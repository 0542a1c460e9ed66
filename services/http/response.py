"""Responses: heads, errors, and what a WSGI application answers (PEP 3333)."""

import json
import re
import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any
from wsgiref.handlers import format_date_time
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from services.http.request import HTTPError, Request

Headers = list[tuple[str, str]]

STATUS = re.compile(r"[1-9][0-9]{2} [\t -~\x80-\xff]*")
LINES = re.compile(r"(?:[-!#$%&'*+.^_`|~0-9A-Za-z]++: [\t -~\x80-\xff]*+\r\n)*+")
LENGTH = re.compile("[ \t]*[0-9]+[ \t]*")
# About the connection, and so the server's (PEP 3333, RFC 9110, 7.6.1).
HOP_BY_HOP = {
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailers",
    "transfer-encoding", "upgrade",
}  # fmt: skip

http_date = lru_cache(maxsize=1)(format_date_time)  # of a second, since the epoch


def response_head(
    status: str, lines: str, close: bool, version: str = "HTTP/1.1", dated: bool = False
) -> bytes:
    """Return the head of a response; `close` if the connection ends after its body.

    `lines` are its headers, and have a Date if it is `dated`. To a client of HTTP/1.0 it has to say
    also that the connection stays (RFC 9112, C.2.2).
    """
    date = "" if dated else f"Date: {http_date(int(time.time()))}\r\n"
    if close or version == "HTTP/1.0":
        lines += f"Connection: {'close' if close else 'keep-alive'}\r\n"
    return f"HTTP/1.1 {status}\r\n{date}{lines}\r\n".encode("latin-1")


def header_lines(status: str, headers: Headers) -> str:
    """Return headers as lines; raises ValueError for what an application may not say with them.

    And TypeError for what is no str.

    A line break would begin another header, or a body, which an attacker has written.
    """
    names = "".join([name for name, _ in headers])
    lines = "".join([": ".join(header) + "\r\n" for header in headers])
    valid = STATUS.fullmatch(status) and LINES.fullmatch(lines)
    if not valid or lines.count("\n") > len(headers) or ":" in names:
        raise ValueError(f"not a status and headers: {status!r:.50}, {lines!r:.200}")
    return lines


def checked(application: WSGIApplication) -> WSGIApplication:
    """Return `application`, checked for a server that would send anything, as wsgiref does."""

    def run(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: Headers, exc_info: Any = None, /) -> Any:
            header_lines(status, headers)
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
    head = response_head(error.status, header_lines(error.status, headers), close=True)
    return head + (text if body else b"")


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
        self._lines = ""  # its headers
        self._dated = False
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
                    return
            self.write(b"", last=True)
        finally:
            if hasattr(blocks, "close"):
                blocks.close()

    def start_response(self, status: str, headers: Headers, exc_info: Any = None, /) -> Any:
        """Take status and headers; with `exc_info` they may replace the first ones."""
        if exc_info and self._started:
            raise exc_info[1] or AssertionError("the response has started, it is not replaced")
        if self.status and not exc_info:
            raise AssertionError("start_response is called a second time without exc_info")
        names = [name.lower() for name, _ in headers]
        dropped = HOP_BY_HOP
        if status < "200" or status.startswith("204"):  # these have no length (RFC 9110, 8.6)
            dropped = HOP_BY_HOP | {"content-length"}
        if not dropped.isdisjoint(names):
            headers = [each for each in headers if each[0].lower() not in dropped]
            names = [name.lower() for name, _ in headers]
        lines, left = header_lines(status, headers), None
        if "content-length" in names:
            length = headers[names.index("content-length")][1]
            if not LENGTH.fullmatch(length) or names.count("content-length") > 1:
                raise ValueError(f"not one Content-Length: {length!r:.50}")
            left = int(length)
        self.status, self._lines, self._left = status, lines, left
        self._dated = "date" in names
        return self.write

    def fail(self) -> None:
        """Respond with status 500 if nothing was sent yet, or else end the connection."""
        if not self._started:
            self.status = ""  # so that the response can be started anew
            self.start_response("500 Internal Server Error", [("Content-Length", "0")])
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
        self._close = self._close or code < 200
        if code < 200 or code in (204, 304) or self._request.method == "HEAD":
            self._complete, self._left = True, None
        elif self._left is None and self._request.version == "HTTP/1.1":
            self._chunked = True
            self._lines += "Transfer-Encoding: chunked\r\n"
        elif self._left is None:
            self._close = True  # the end of the connection is that of the body
        self._started = True
        version = self._request.version
        return response_head(self.status, self._lines, self._close, version, self._dated)
