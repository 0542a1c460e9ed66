"""The key-value store, event-driven: a gunicorn worker that serves all clients in one thread.

Each iteration of services/http/worker.py receives from the ready clients. Then all complete
calls are executed, with one commit for those that write. While the disk is busy with that commit
nobody is served, and what arrives meanwhile is handled in the next iteration: the more there is to
do, the more writes share a commit. gunicorn's own workers execute one call at a time, or have a
thread for each, and threads that wait for one disk mostly wait for each other.
"""

import os
from collections import deque

from services.http import worker
from services.http.request import HTTPError, Request
from services.http.response import response_head
from services.kv.app import KeyValueServer, database_file
from services.kv.store import Store

MAX_CALLS = 1024 * 1024  # bytes in one iteration: as Python objects they take several times that


class Worker(worker.Worker):
    """One thread with all connections and with the store."""

    def load_wsgi(self) -> None:
        """Open the store: here it takes the place of a WSGI application."""
        self._calls: deque[tuple[int, Request]] = deque()
        self._server = KeyValueServer(Store(database_file()))

    def admit(self, request: Request) -> None:
        """Raise HTTPError unless it is a POST with a Content-Length, to where calls are made."""
        if request.path not in ("/", "/RPC2"):
            raise HTTPError("Calls are made at / and at /RPC2.", "404 Not Found")
        if request.method != "POST":
            raise HTTPError("A call is a POST.", "405 Method Not Allowed", [("Allow", "POST")])
        if request.headers.get("content-encoding", "").lower() not in ("", "identity"):
            uncompressed = [("Accept-Encoding", "identity")]  # RFC 9110, 12.5.3
            raise HTTPError(
                "A call may not be compressed.", "415 Unsupported Media Type", uncompressed
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
            calls.append(((descriptor, not request.keep_alive), bytes(request.body)))
            size += len(request.body)
        for (descriptor, close), answer in self._server(calls):
            headers = [("Content-Type", "text/xml"), ("Content-Length", str(len(answer)))]
            self.respond(descriptor, response_head("200 OK", headers, close), answer, close=close)
        if self._calls:
            os.write(self.PIPE[1], b"w")  # for the next iteration not to wait
