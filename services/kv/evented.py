"""The key-value store, event-driven: a worker of gunicorn's that serves everybody in one thread.

It goes from turn to turn, as services/http/worker.py has it: hear whoever has something to say;
carry out the calls that are complete, with one commit for all that write; answer them. While the
disk is busy with that commit nobody is heard, and all that comes meanwhile is the next turn: the
more there is to do, the more writes share a commit. gunicorn's own workers take each call to its
end, or have a thread for each, and threads that wait for one disk wait for one another most of the
time.
"""

from collections.abc import Sequence

from services.http import worker
from services.http.heads import Head
from services.http.refused import Refused
from services.http.session import Request, message
from services.http.worker import Connection


class Worker(worker.Worker):
    """One thread with all connections; `wsgi`, the application, is given the calls of a turn."""

    def admit(self, head: Head) -> None:
        """Refuse what is no call in XML-RPC: that is a POST with a length."""
        if head.path not in ("/", "/RPC2"):
            raise Refused("404 Not Found", "Calls are made at / and at /RPC2.")
        if head.method != "POST":
            raise Refused("405 Method Not Allowed", "A call is a POST.", ("Allow", "POST"))
        if head.fields.get("content-encoding", "identity") != "identity":
            raise Refused("415 Unsupported Media Type", "A call is not compressed.")
        if "content-length" not in head.fields:
            raise Refused("411 Length Required", "A call says how long it is.")

    def carry_out(self, requests: Sequence[tuple[Connection, Request]]) -> None:
        """Answer the calls of a turn."""
        calls = [((connection, request.head), request.body) for connection, request in requests]
        for (connection, head), answer in self.wsgi(calls):
            last = head.last or not self.alive
            fields = [("Content-Type", "text/xml"), ("Content-Length", str(len(answer)))]
            response = bytearray(message("200 OK", fields, last))
            response += answer
            self.answered(connection, response, last=last)
