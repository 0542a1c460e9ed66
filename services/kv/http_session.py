"""One HTTP connection without its socket: bytes in, calls out; answers in, bytes out.

received bytes --> head --> body: a call --> its answer --> unsent bytes, and again

As much of HTTP/1.1 as XML-RPC needs (RFC 9112): POST with a Content-Length. Any other request is
refused with a status, and the connection ends: nobody can tell where the next one would start.
"""

import re
import time
from email.utils import formatdate
from functools import lru_cache
from typing import NamedTuple

from services import runtime

LONGEST_HEAD = 8 * 1024  # bytes
LONGEST_BODY = 1024 * 1024  # bytes
LINGER_SECONDS = 2.0
# For a request from its first byte to its last, and for an answer until it is taken.
REQUEST_SECONDS = runtime.setting("WIRELAB_SILENCE_SECONDS", "10", runtime.positive)

REQUEST_LINE = re.compile(r"([!-~]+) (?:http://[^/ ]*)?(/[!-~]*) HTTP/1\.([01])")
FIELD = re.compile(r"([-!#$%&'*+.^_`|~0-9A-Za-z]+):[ \t]*([\t -~\x80-\xff]*?)[ \t]*")


class Refused(Exception):
    """A request that holds no call; its text is the HTTP status."""


class Head(NamedTuple):
    """What the head of a request says about the body, and about the connection after it."""

    length: int  # bytes
    last: bool  # there is to be no other request on this connection
    waits: bool  # the body comes when the client is told to continue


class Session:
    """The server's side of one connection.

    `unsent` holds what is to be sent; nothing should be received while it is not empty, nor while
    the session is `answering`: a call was taken and has no answer yet. Once it is `closing`, what
    is unsent is the last. `ended` says why the connection is over; None while it is not.
    """

    def __init__(self, idle_seconds: float) -> None:
        self.unsent = b""
        self.answering = False
        self.closing = False
        self.ended: str | None = None
        self._received = bytearray()
        self._head: Head | None = None
        self._idle_seconds = idle_seconds
        self._allow(idle_seconds)

    @property
    def held(self) -> int:
        """How many bytes the server keeps for the client."""
        call = self._head.length if self._head and self.answering else 0
        return call + len(self._received) + len(self.unsent)

    def receive(self, data: bytes) -> None:
        """Take bytes from the client (none: its FIN)."""
        if not data:
            self.ended = "closed by the client"
        elif not self.closing:
            # A request has its time from its first byte on, not anew with each.
            if not self._received and not self._head:
                self._allow(REQUEST_SECONDS)
            self._received += data

    def call(self) -> bytes | None:
        """Return the next call once all of it is there, and the one before is answered."""
        if self.answering or self.unsent or self.closing or self.ended:
            return None
        try:
            body = self._body()
        except Refused as refused:
            self.refuse(str(refused))
            return None
        self.answering = body is not None
        return body

    def answer(self, body: bytes, last: bool = False) -> None:
        """Answer the call; if that is the `last` answer, tell the client so."""
        self.closing = last or (self._head is not None and self._head.last)
        self.unsent = message("200 OK", "text/xml", body, self.closing)
        self.answering = False
        self._head = None
        self._allow(REQUEST_SECONDS)

    def refuse(self, status: str) -> None:
        """Answer with a status that says why there is no call, and end the connection."""
        # To HEAD no response has a body (RFC 9110, 9.3.2).
        text = b"" if self._received.startswith(b"HEAD ") else f"{status}\n".encode()
        self.closing = True
        self.unsent = message(status, "text/plain", text, self.closing)
        self._received.clear()
        self._allow(REQUEST_SECONDS)

    def sent(self, count: int) -> None:
        """Take note that the first `count` bytes of `unsent` have been sent."""
        self.unsent = self.unsent[count:]
        if self.unsent:
            return
        if self.closing:
            self._allow(LINGER_SECONDS)
        elif not self._head:  # that was an answer, and not leave to continue
            self._allow(REQUEST_SECONDS if self._received else self._idle_seconds)

    def overdue(self, now: float) -> bool:
        """Whether the client takes too long. Then its request is refused, or it is over."""
        if now <= self._deadline or self.answering:
            return False
        if (self._received or self._head) and not self.unsent and not self.closing:
            self.refuse("408 Request Timeout")
        else:
            self.ended = "it took too long"
        return True

    def _allow(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds

    def _body(self) -> bytes | None:
        """Take the next body from what was received; raises Refused where there will be none."""
        if not self._head:
            # Some clients send a line end too many after a body (RFC 9112, 2.2).
            while self._received.startswith(b"\r\n"):
                del self._received[:2]
            end = self._received.find(b"\r\n\r\n", 0, LONGEST_HEAD)
            if end < 0:
                if len(self._received) >= LONGEST_HEAD:
                    raise Refused("431 Request Header Fields Too Large")
                return None
            self._head = parse_head(bytes(self._received[:end]))
            del self._received[: end + 4]
            if self._head.waits and not self._received:
                self.unsent = b"HTTP/1.1 100 Continue\r\n\r\n"
        if len(self._received) < self._head.length:
            return None
        body = bytes(self._received[: self._head.length])
        del self._received[: self._head.length]
        return body


@lru_cache(maxsize=128)  # clients send the same heads again and again
def parse_head(head: bytes) -> Head:
    """Understand the head of a request; raises Refused where no call can follow."""
    start, *lines = head.decode("latin-1").split("\r\n")
    request = REQUEST_LINE.fullmatch(start)
    pairs = [(found[1].lower(), found[2]) for line in lines if (found := FIELD.fullmatch(line))]
    if not request or len(pairs) < len(lines):
        raise Refused("400 Bad Request")
    method, target, minor = request.groups()
    names, fields = [name for name, _ in pairs], dict(pairs)
    if names.count("host") > 1 or (minor == "1" and "host" not in fields):
        raise Refused("400 Bad Request")
    if target.partition("?")[0] not in ("/", "/RPC2"):
        raise Refused("404 Not Found")
    if method != "POST":
        raise Refused("405 Method Not Allowed")
    if fields.get("content-encoding", "identity") != "identity":
        raise Refused("415 Unsupported Media Type")
    if "transfer-encoding" in fields or "content-length" not in fields:
        raise Refused("411 Length Required")
    length = fields["content-length"]
    if names.count("content-length") > 1 or not (length.isascii() and length.isdigit()):
        raise Refused("400 Bad Request")
    if len(length) > len(str(LONGEST_BODY)) or int(length) > LONGEST_BODY:
        raise Refused("413 Content Too Large")
    return Head(
        length=int(length),
        last=minor == "0" or "close" in fields.get("connection", "").lower(),
        waits=fields.get("expect", "").lower() == "100-continue",
    )


def message(status: str, media_type: str, body: bytes, last: bool) -> bytes:
    """Return a response."""
    fields = [
        f"HTTP/1.1 {status}",
        f"Date: {http_date(int(time.time()))}",
        f"Content-Type: {media_type}",
        f"Content-Length: {len(body)}",
    ]
    if last:
        fields.append("Connection: close")
    if status.startswith("405"):
        fields.append("Allow: POST")
    return "\r\n".join([*fields, "", ""]).encode() + body


@lru_cache(maxsize=1)
def http_date(second: int) -> str:
    """Return a time in seconds since the epoch as HTTP writes it (RFC 9110, 5.6.7)."""
    return formatdate(second, usegmt=True)
