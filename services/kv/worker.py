"""The key-value store, event-driven: a gunicorn worker that serves all clients in one thread.

Each iteration of services/http/worker.py receives from the ready clients. Then all complete
calls are executed, with one commit for those that write. While the disk is busy with that commit
nobody is served, and what arrives meanwhile is handled in the next iteration: the more there is to
do, the more writes share a commit. gunicorn's own workers execute one call at a time, or have a
thread for each, and threads that wait for one disk mostly wait for each other.
"""

import os
from collections import deque
from email.message import Message
from functools import lru_cache

from services.http import browsers
from services.http.request import HTTPError, Request
from services.http.response import response_head
from services.kv.app import PATHS, KeyValueServer, open_store
from services.kv.listing import MAX_LISTING

MAX_CALLS = 1024 * 1024  # bytes in one iteration: as Python objects they take several times that
TYPES = ("text/xml", "application/xml")  # XML-RPC has the first one, and RFC 7303 made them equal

# Its descriptor, whether its connection ends with the response, and its version of HTTP.
Client = tuple[int, bool, str]


class Worker(browsers.Worker):
    """One thread with all connections and with the store."""

    def load_wsgi(self) -> None:
        """Open the store: here it takes the place of a WSGI application."""
        self._calls: deque[tuple[int, Request]] = deque()
        self._server: KeyValueServer[Client] = KeyValueServer(open_store())

    def admit(self, request: Request) -> None:
        """Raise HTTPError unless it is a POST of XML with a Content-Length, to a path of calls."""
        super().admit(request)
        if request.path not in PATHS:
            raise HTTPError(f"Calls are made at {', '.join(PATHS)}.", "404 Not Found")
        if request.method != "POST":
            raise HTTPError("A call is a POST.", "405 Method Not Allowed", [("Allow", "POST")])
        # A page of another site can send other types, or none, without asking first
        # (Fetch Standard, "CORS-safelisted request-header").
        kind = request.headers.get("content-type", "")
        if kind not in TYPES and kind.partition(";")[0].rstrip().lower() not in TYPES:
            raise HTTPError(
                f"A call is {' or '.join(TYPES)}, not {kind[:100]!r}.",
                "415 Unsupported Media Type",
                [("Accept", ", ".join(TYPES))],
            )
        if request.headers.get("content-encoding", "").lower() not in ("", "identity"):
            raise HTTPError(
                "A call may not be compressed.",
                "415 Unsupported Media Type",
                [("Accept-Encoding", "identity")],  # RFC 9110, 12.5.3
            )
        if "content-length" not in request.headers:
            raise HTTPError("A call needs a Content-Length.", "411 Length Required")

    def handle(self, descriptor: int, request: Request) -> None:
        """Keep a call for the end of the iteration."""
        self._calls.append((descriptor, request))

    def work(self) -> None:
        """Answer the calls of this iteration; those beyond MAX_CALLS wait for the next one."""
        calls = []
        size = 0
        while self._calls and size < MAX_CALLS:
            descriptor, request = self._calls.popleft()
            client = descriptor, not request.keep_alive, request.version
            kind = request.headers["content-type"]
            calls.append((client, request.path, bytes(request.body), charset_of(kind)))
            size += len(request.body)
        for (descriptor, close, version), parts, again in self._server(calls, self._has_room()):
            size = sum(map(len, parts))
            if again and not self._sessions.has_room_for(descriptor, size):
                self.postpone(descriptor, size)
                continue
            lines = f"Content-Type: text/xml\r\nContent-Length: {size}\r\n"
            head = response_head("200 OK", lines, close, version)
            self.respond(descriptor, head, *parts, close=close)
        if self._calls or (self._server.listings and self._has_room()):
            os.write(self.PIPE[1], b"w")  # for the next iteration not to wait

    def _has_room(self) -> bool:
        """Whether there is memory for a long response: it waits until others have been read."""
        return self._sessions.has_room(MAX_LISTING)


@lru_cache(maxsize=64)  # most clients send one of a few
def charset_of(content_type: str) -> str | None:
    """Return the charset of a Content-Type, if it has one."""
    if ";" not in content_type:
        return None
    message = Message()
    message["Content-Type"] = content_type
    return message.get_content_charset() or None
