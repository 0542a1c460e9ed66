"""The key-value store, event-driven: a gunicorn worker that serves all clients in one thread.

An iteration, as services/http/worker.py has it, receives from the clients that are ready, makes the
calls that are complete, with one commit for all that write, and answers them. While the disk is
busy with that commit nobody is served, and what arrives meanwhile is handled in the next iteration:
the more there is to do, the more writes share a commit. gunicorn's own workers make one call after
the other, or have a thread for each, and threads that wait for one disk mostly wait for each other.
"""

from collections.abc import Sequence

from services.http import worker
from services.http.errors import HTTPError
from services.http.request import Request
from services.http.response import response_head
from services.http.worker import Connection
from services.kv.app import KeyValueServer, database_file
from services.kv.store import Store


class Worker(worker.Worker):
    """One thread with all connections and with the store."""

    def load_wsgi(self) -> None:
        """Open the store: here it takes the place of a WSGI application."""
        self._server = KeyValueServer(Store(database_file()))

    def admit(self, request: Request) -> None:
        """Raise HTTPError for what is no XML-RPC call: that is a POST with a length."""
        if request.path not in ("/", "/RPC2"):
            raise HTTPError("404 Not Found", "Calls are made at / and at /RPC2.")
        if request.method != "POST":
            raise HTTPError("405 Method Not Allowed", "A call is a POST.", ("Allow", "POST"))
        if request.headers.get("content-encoding", "identity") != "identity":
            raise HTTPError("415 Unsupported Media Type", "A call may not be compressed.")
        if "content-length" not in request.headers:
            raise HTTPError("411 Length Required", "A call needs a Content-Length.")

    def handle(self, requests: Sequence[tuple[Connection, Request]]) -> None:
        """Answer the calls of one iteration."""
        calls = [((connection, request), request.body) for connection, request in requests]
        for (connection, request), answer in self._server(calls):
            close = not request.keep_alive or not self.alive
            headers = [("Content-Type", "text/xml"), ("Content-Length", str(len(answer)))]
            head = response_head("200 OK", headers, close)
            self.respond(connection, head, answer, close=close)
