"""One HTTP connection without its socket: bytes in, requests out; answers in, bytes out.

received bytes --> head --> body: a request --> its answer --> unsent bytes, and again

What is no request that could be answered is refused with a status, and the connection ends: nobody
can tell where the next one would start.
"""

import json
import re
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple
from wsgiref.handlers import format_date_time

from services import runtime
from services.http.chunks import Chunks
from services.http.heads import Head, parse
from services.http.refused import Refused

LONGEST_HEAD = 16 * 1024  # bytes
LONGEST_BODY = 1024 * 1024  # bytes
LINGER_SECONDS = 2.0
# For a request from its first byte to its last, and for an answer until it is taken.
REQUEST_SECONDS = runtime.setting("WIRELAB_SILENCE_SECONDS", "10", runtime.positive)

BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Request(NamedTuple):
    """A request, all of it."""

    head: Head
    body: bytes


def take_all(_head: Head) -> None:
    """Refuse no request for what its head says."""


class Session:
    """The server's side of one connection.

    `unsent` holds what is to be sent; nothing should be received while it is not empty, nor while
    the session is `answering`: a request was taken and has no whole answer yet. Once it is
    `closing`, what is unsent is the last. `ended` says why the connection is over; None while it
    is not. `refused` says what was wrong with the last request, if it is known to be the last.
    """

    __slots__ = (
        "_admit", "_body", "_head", "_idle_seconds", "_received", "_seen", "closing", "deadline",
        "ended", "refused", "taken", "unsent",
    )  # fmt: skip

    def __init__(self, idle_seconds: float, admit: Callable[[Head], None] = take_all) -> None:
        """Make a session; `admit` may raise Refused for a head, before its body is there."""
        self.unsent = bytearray()
        self.taken: Request | None = None
        self.closing = False
        self.ended: str | None = None
        self.refused: Refused | None = None
        self.deadline = time.monotonic() + idle_seconds
        self._received = bytearray()
        self._seen = 0  # bytes of what was received that are known to hold no end of a head
        self._head: Head | None = None
        self._body: Chunks | None = None
        self._idle_seconds = idle_seconds
        self._admit = admit

    @property
    def answering(self) -> bool:
        """Whether a request was taken and has no whole answer yet."""
        return self.taken is not None

    @property
    def held(self) -> int:
        """How many bytes the server keeps for the client."""
        held = len(self._received) + len(self.unsent)
        if self.taken:
            held += len(self.taken.body)
        if self._body:
            held += len(self._body.body)
        return held

    def receive(self, data: bytes) -> None:
        """Take bytes from the client (none: its FIN)."""
        if not data:
            self.ended = "closed by the client"
        elif not self.closing:
            # A request has its time from its first byte on, not anew with each.
            if not self._received and not self._head:
                self._allow(REQUEST_SECONDS)
            self._received += data

    def request(self) -> Request | None:
        """Take the next request once all of it is there, and the one before is answered."""
        if not self._received or self.taken or self.unsent or self.closing or self.ended:
            return None
        try:
            body = self._next()
        except Refused as refused:
            self.refuse(refused)
            return None
        if body is not None and self._head:
            self.taken = Request(self._head, body)
            self._head = self._body = None
        return self.taken

    def answer(self, data: bytearray, whole: bool = True, last: bool = False) -> None:
        """Send an answer, or more of it; after the `last` one the connection ends.

        `data` is the session's from now on.
        """
        if self.unsent and not self.ended:
            self.unsent += data
        elif data and not self.ended:
            self._allow(REQUEST_SECONDS)
            self.unsent = data
        if whole:
            self.taken = None
            self.closing = last
            if not self.unsent:
                self._wait()

    def refuse(self, refused: Refused) -> None:
        """Answer with a status that says what is wrong (RFC 9457), and end the connection."""
        problem: dict[str, object] = {
            "type": "about:blank",
            "title": refused.status[4:],
            "status": int(refused.status[:3]),
            "detail": refused.detail,
        }
        if self._head:
            problem["instance"] = self._head.path
        body = json.dumps(problem, indent=2).encode() + b"\n"
        fields = [
            ("Content-Type", "application/problem+json"),
            ("Content-Length", str(len(body))),
            *refused.fields,
        ]
        # To HEAD no response has a body (RFC 9110, 9.3.2).
        to_head = self._head.method == "HEAD" if self._head else self._received[:5] == b"HEAD "
        self.refused = refused
        self.closing = True
        self.unsent += message(refused.status, fields, last=True)
        if not to_head:
            self.unsent += body
        self._received.clear()
        self._head = self._body = None
        self._allow(REQUEST_SECONDS)

    def give_way(self) -> None:
        """Let go of what is kept for the client, since others need the room."""
        if self.unsent:
            self.ended = "it does not take its answer"
            self.unsent.clear()
        else:
            self.refuse(Refused("503 Service Unavailable", "There is no room for all requests."))

    def sent(self, count: int) -> None:
        """Take note that the first `count` bytes of `unsent` have been sent."""
        del self.unsent[:count]
        if not self.unsent:
            self._wait()

    def overdue(self, now: float) -> bool:
        """Whether the client takes too long. Then its request is refused, or it is over."""
        if now <= self.deadline or (self.taken and not self.unsent):
            return False
        if (self._received or self._head) and not self.unsent and not self.closing:
            text = f"The request was not there within {REQUEST_SECONDS} seconds."
            self.refuse(Refused("408 Request Timeout", text))
        else:
            self.ended = "it took too long"
        return True

    def _allow(self, seconds: float) -> None:
        self.deadline = time.monotonic() + seconds

    def _wait(self) -> None:
        """Allow the client the time for what comes next, now that all has been sent."""
        if self.closing:
            self._allow(LINGER_SECONDS)
        elif not self.taken and not self._head:  # that was an answer, and not leave to continue
            self._allow(REQUEST_SECONDS if self._received else self._idle_seconds)

    def _next(self) -> bytes | None:
        """Return the next body, empty where there is none; None if more has to come."""
        head = self._head
        if not head:
            if not (head := self._take_head()):
                return None
            self._admit(head)
            if head.length > LONGEST_BODY:
                raise Refused.too_large(LONGEST_BODY)
            if head.chunked:
                self._body = Chunks(LONGEST_BODY)
            if head.waits and (head.length or head.chunked) and not self._received:
                self.unsent += CONTINUE
        if self._body:
            return bytes(self._body.body) if self._body.take(self._received) else None
        if len(self._received) < head.length:
            return None
        body = bytes(memoryview(self._received)[: head.length])
        del self._received[: head.length]
        return body

    def _take_head(self) -> Head | None:
        """Take the next head from what was received, once all of it is there."""
        # Some clients send a line end too many after a body (RFC 9112, 2.2).
        start = 2 if self._received.startswith(b"\r\n") else 0
        end = self._received.find(b"\r\n\r\n", max(start, self._seen), LONGEST_HEAD)
        if end < 0:
            if BARE_LINE_FEED.search(self._received, self._seen):
                raise Refused("400 Bad Request", "A line does not end with CR LF.")
            if len(self._received) >= LONGEST_HEAD:
                raise Refused(
                    "431 Request Header Fields Too Large",
                    f"A head may have at most {LONGEST_HEAD} bytes.",
                )
            self._seen = max(0, len(self._received) - 3)
            return None
        self._seen = 0
        self._head = parse(bytes(self._received[start:end]))
        del self._received[: end + 4]
        return self._head


def message(status: str, fields: Sequence[tuple[str, str]], last: bool) -> bytes:
    """Return the head of a response, after which its body comes."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in fields])
    ending = "Connection: close\r\n\r\n" if last else "\r\n"
    head = f"HTTP/1.1 {status}\r\nDate: {http_date(int(time.time()))}\r\n{lines}{ending}"
    return head.encode("latin-1")


@lru_cache(maxsize=1)
def http_date(second: int) -> str:
    """Return a time in seconds since the epoch as HTTP writes it (RFC 9110, 5.6.7)."""
    return format_date_time(second)
