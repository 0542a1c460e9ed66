"""A cluster of etcd, asked by its JSON gateway: which node, for how long, and what may be repeated.

A request that reads goes to one node after the other until there is an answer. One that writes goes
to another node only if the one before has certainly not passed it on: there was no connection, the
request did not leave in full, or the node has refused it. Once it has left in full, a lost answer
says nothing, and to send it again could undo what others have written since: so says etcd's own
client too, which does not repeat a write (client/v3/retry.go).

Source: etcd 3.5, "gRPC gateway"; api/v3rpc/rpctypes/error.go has the messages.
"""

import json
import socket
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from threading import Thread
from typing import Any

import httptools

from services import addresses
from services.kv.faults import Fault, Kind

Answer = dict[str, Any]

SECONDS = 2.0  # that a request may take, all attempts together
SECONDS_WHILE_FAILING = 0.5  # if the one before had no answer: many clients may wait in line
READ_SECONDS = 0.7  # that one node has to answer a read, before the next one is asked
CONNECT_SECONDS = 0.3
PAUSE = 0.05  # seconds between two rounds through all nodes

OK = 200
CHUNK = 64 * 1024  # bytes; the C library would map and unmap more anew for each answer
# A node that knows no leader refuses at once, and passes nothing on: v3rpc/interceptor.go.
HEAD = (
    "POST %s HTTP/1.1\r\nHost: %s\r\nGrpc-Metadata-hasleader: true\r\n"
    "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
)
PASSED_ON_NOTHING = ("etcdserver: no leader", "etcdserver: too many requests")
# Status codes of gRPC that say what is wrong with the request, or that there is no space for it:
# INVALID_ARGUMENT, RESOURCE_EXHAUSTED, FAILED_PRECONDITION, OUT_OF_RANGE.
REFUSALS = (3, 8, 9, 11)


class NotSent(Exception):
    """A node has certainly not carried out a request."""


class Lost(Exception):
    """A node may have carried out a request, and there is no answer that says so."""


class Etcd:
    """The nodes of a cluster; the one that has answered last is asked first."""

    def __init__(self, endpoints: Sequence[tuple[str, int]]) -> None:
        self._nodes = deque(Node(*endpoint) for endpoint in endpoints)
        self._failing = False

    def read(self, method: str, request: Mapping[str, Any]) -> Answer:
        """Send a request that changes nothing; raises Fault UNAVAILABLE if nobody answers it."""
        return self._ask(method, request, READ_SECONDS, again=True)

    def write(self, method: str, request: Mapping[str, Any]) -> Answer:
        """Send a request once.

        Raises Fault: STORAGE_FAILED if it was refused, UNAVAILABLE if it was not sent, UNKNOWN if
        it was and nobody knows what came of it.
        """
        return self._ask(method, request, SECONDS, again=False)

    def close(self) -> None:
        """Close all connections."""
        for node in self._nodes:
            node.close()

    def _ask(
        self, method: str, request: Mapping[str, Any], seconds: float, *, again: bool
    ) -> Answer:
        body = json.dumps(request).encode()
        limit = SECONDS_WHILE_FAILING if self._failing else SECONDS
        deadline = time.monotonic() + limit
        self._failing = True
        attempts = 0
        while (left := deadline - time.monotonic()) > 0:
            try:
                answer = self._nodes[0].ask(f"/v3/kv/{method}", body, min(left, seconds))
            except NotSent as error:
                problem = str(error)
            except Lost as error:
                problem = str(error)
                if not again:
                    self._nodes.rotate(-1)
                    raise Fault(Kind.UNKNOWN, problem) from None
            except Fault:  # an answer, too
                self._failing = False
                raise
            else:
                self._failing = False
                return answer
            self._nodes.rotate(-1)
            attempts += 1
            if attempts % len(self._nodes) == 0:
                time.sleep(PAUSE)
        raise Fault(Kind.UNAVAILABLE, problem)


class Node:
    """One node: its name looked up once, and a connection that is kept."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._name = addresses.join(host, port)
        self._address: Future[str] | None = None
        self._connection: socket.socket | None = None

    def ask(self, path: str, body: bytes, seconds: float) -> Answer:
        """Return the answer to a request; raises NotSent, Lost, or Fault for one that is refused.

        `seconds` is how long it may take, from here to the answer's first bytes.
        """
        deadline = time.monotonic() + seconds
        connection = self._connected(min(seconds, CONNECT_SECONDS))
        connection.settimeout(max(deadline - time.monotonic(), PAUSE))
        try:
            connection.sendall((HEAD % (path, self._name, len(body))).encode() + body)
        except OSError as error:  # so the kernel has not taken all of it
            self.close()
            raise NotSent(f"{self._name}: {reason(error)}") from None
        response = Response()
        try:
            while not response.complete:
                response.receive_data(connection.recv(CHUNK))
            answer: Answer = json.loads(response.body)
        except (OSError, httptools.HttpParserError, ValueError) as error:
            self.close()
            raise Lost(f"{self._name}: {reason(error)}") from None
        if response.status == OK:
            return answer
        message, code = str(answer.get("message")), answer.get("code")
        if message in PASSED_ON_NOTHING:
            raise NotSent(f"{self._name}: {message}")
        if code in REFUSALS:
            raise Fault(Kind.STORAGE_FAILED, message)
        raise Lost(f"{self._name}: {message}")

    def close(self) -> None:
        """Close the connection."""
        if self._connection:
            self._connection.close()
            self._connection = None

    def _connected(self, seconds: float) -> socket.socket:
        """Return the connection, or another one if the node has closed it; raises NotSent."""
        if self._connection and has_ended(self._connection):
            self.close()
        if not self._connection:
            where = self._looked_up(seconds), self._port
            try:
                self._connection = socket.create_connection(where, seconds)
            except OSError as error:
                self._address = None  # a container has another one when it has been started again
                raise NotSent(f"{self._name}: {reason(error)}") from None
            self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._connection

    def _looked_up(self, seconds: float) -> str:
        """Return the address of the node's host; raises NotSent if that takes too long.

        getaddrinfo(3) takes as long as it likes. So a thread calls it, and goes on meanwhile.
        """
        if not self._address:
            self._address = Future()
            Thread(target=look_up, args=(self._host, self._address), daemon=True).start()
        try:
            return self._address.result(seconds)
        except TimeoutError:
            raise NotSent(f"{self._name}: the name is still being looked up") from None
        except OSError as error:
            self._address = None
            raise NotSent(f"{self._name}: {reason(error)}") from None


class Response:
    """A response of HTTP, as it comes: http.client takes longer for one than all of our code."""

    def __init__(self) -> None:
        self.body = bytearray()
        self.complete = False
        self._parser = httptools.HttpResponseParser(self)

    @property
    def status(self) -> int:
        """Its status."""
        return int(self._parser.get_status_code())

    def receive_data(self, data: bytes) -> None:
        """Process what came; raises OSError at the end of the stream, HttpParserError."""
        if not data:
            raise ConnectionResetError(0, "the connection ended before the answer")
        self._parser.feed_data(data)

    def on_body(self, data: bytes) -> None:
        """Keep a part of the body: the parser calls this."""
        self.body += data

    def on_message_complete(self) -> None:
        """Note the end: the parser calls this."""
        self.complete = True


def look_up(host: str, found: "Future[str]") -> None:
    """Give a future the address of a host, or the OSError that comes instead."""
    try:
        (*_, address), *_ = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        found.set_result(str(address[0]))
    except OSError as error:
        found.set_exception(error)


def has_ended(connection: socket.socket) -> bool:
    """Whether the other side has closed: what is sent after that has no answer."""
    connection.settimeout(0)
    try:
        connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True  # the end, or bytes that nobody has asked for


def reason(error: Exception) -> str:
    """Return what went wrong, for the text of a fault: no name of a class."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return "the answer is not one of etcd"
