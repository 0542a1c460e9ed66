"""A gateway in front of a store: it passes calls on, and a check decides what happens in between.

So two clients are interleaved, or an answer is lost, at the same place in each run.
"""

import http.client
import json
import sys
import threading
import xmlrpc.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, NamedTuple

from clients.addresses import Address
from lab.workshop.client import Recording

MAX_RECORDED = 12  # requests and answers: as many as a picture shows
POLL_SECONDS = 0.02

Fate = Literal["pass", "lose the answer", "lose the call"]


class Call(NamedTuple):
    """A call: `result` is None before it was made, and a Fault if that is its answer."""

    method: str
    arguments: tuple[Any, ...]
    result: Any = None


class Dialect(NamedTuple):
    """How calls are read: of a path and a body, and the result of an answer; ValueError if none."""

    name: str
    media_type: str
    call: Callable[[str, bytes], Call]
    result: Callable[[bytes], Any]


def xml_call(_path: str, body: bytes) -> Call:
    """Return a call of kv; ValueError for what is none."""
    try:
        arguments, method = xmlrpc.client.loads(body, use_builtin_types=True)
    except Exception as error:  # noqa: BLE001 - Expat's, and whatever values are made with
        raise ValueError(type(error).__name__) from None
    return Call(method or "", arguments)


def xml_result(answer: bytes) -> Any:
    """Return what an answer of kv says: a value, or a Fault."""
    try:
        (value,), _ = xmlrpc.client.loads(answer, use_builtin_types=True)
    except xmlrpc.client.Fault as fault:
        return fault
    return value


def json_call(path: str, body: bytes) -> Call:
    """Return a call of etcd's gateway: its method is the end of the path; ValueError for others."""
    return Call(path.rpartition("/")[2], (json.loads(body),))


XML_RPC = Dialect("XML-RPC", "text/xml", xml_call, xml_result)
ETCD = Dialect("etcd's gateway", "application/json", json_call, json.loads)


class Gateway(ThreadingHTTPServer):
    """Listens on loopback, and passes calls on to `kv`, one at a time.

    `before` is given each call before it is passed on, and says what becomes of it; `after` is
    given each that was made, before its client has the answer.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(
        self,
        kv: Address,
        dialect: Dialect,
        recording: Recording,
        before: Callable[[Call], Fate],
        after: Callable[[Call], object],
    ) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.kv, self.dialect, self.recording = kv, dialect, recording
        self.before, self.after = before, after
        self.one_at_a_time = threading.Lock()

    @property
    def address(self) -> Address:
        """Where it listens."""
        return Address("127.0.0.1", self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Show what is wrong in here; a client that has gone is nothing of that kind."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """One connection of a client, and one to kv."""

    server: Gateway
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        """Connect to kv."""
        super().setup()
        self.kv = http.client.HTTPConnection(*self.server.kv)

    def finish(self) -> None:
        """Close both connections."""
        self.kv.close()
        super().finish()

    def do_POST(self) -> None:
        """Pass a call on, or not."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        dialect = self.server.dialect
        try:
            call = dialect.call(self.path, body)
        except ValueError as error:
            self.send_error(400, f"Not a call of {dialect.name}: {error}")
            return
        with self.server.one_at_a_time:
            fate = self.server.before(call)
            lines = [self.requestline, *map(": ".join, self.headers.items()), "", ""]
            self.record("upstream", "\r\n".join(lines).encode(), body)
            if fate == "lose the call":
                self.close_connection = True
                return
            self.kv.request("POST", self.path, body, {"Content-Type": dialect.media_type})
            response = self.kv.getresponse()
            answer = response.read()
            self.server.after(call._replace(result=dialect.result(answer)))
            if fate == "lose the answer":
                self.close_connection = True
                return
            lines = [
                f"HTTP/1.1 {response.status} {response.reason}",
                f"Content-Type: {dialect.media_type}",
                f"Content-Length: {len(answer)}",
                "",
                "",
            ]
            head = "\r\n".join(lines).encode()
            self.record("downstream", head, answer)
        self.wfile.write(head + answer)

    def record(self, stream: Literal["upstream", "downstream"], head: bytes, body: bytes) -> None:
        """Record a message, unless there are enough already."""
        recording = self.server.recording
        if len(recording.records) < MAX_RECORDED:
            client, server = Address(*self.client_address[:2]), self.server.kv
            recording.add("data", stream, str(client), str(server), head + body)

    def log_message(self, *_: object) -> None:
        """Log nothing: what happens is in the recording."""


@contextmanager
def gateway(
    kv: Address,
    recording: Recording,
    before: Callable[[Call], Fate] = lambda _: "pass",
    after: Callable[[Call], object] = lambda _: None,
    dialect: Dialect = XML_RPC,
) -> Iterator[Address]:
    """Run a gateway in a thread, and lend where it listens."""
    with Gateway(kv, dialect, recording, before, after) as server:
        thread = threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,), daemon=True)
        thread.start()
        try:
            yield server.address
        finally:
            server.shutdown()
            thread.join()
