"""A gunicorn worker that serves all connections in one thread: the sockets of the HTTP servers.

Each iteration receives from the clients that are ready, has the requests handled that are complete,
and sends the responses. An incomplete request costs only its bytes, and so does a response that the
client has not read yet: slow clients keep nobody waiting. gunicorn's own workers give each client a
thread from its first byte on, and as many slow clients as there are threads block all others.

The workers based on this one differ in how requests are handled: kv/worker.py does it between two
iterations, wsgi.py in threads.

gunicorn listens, starts this worker, and starts another when it reloads or when this one died.
"""

import errno
import logging
import os
import select
import socket
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from gunicorn.workers import base  # type: ignore[import-untyped]

from services import listeners, runtime
from services.http.limits import Sessions
from services.http.protocol import Protocol
from services.http.request import Request

CHUNK = 64 * 1024  # bytes
SEND_BUFFER = 64 * 1024  # bytes that the kernel buffers for a client
MAX_ACCEPTED = 64  # connections in one iteration: those that are open are served in between
MAX_REQUESTS = 1024 * 1024  # bytes of request bodies in one iteration
TICK = 0.5  # seconds between two checks of all timeouts
GONE = select.EPOLLHUP | select.EPOLLERR  # which epoll reports whether asked to or not

log = logging.getLogger("http")


@dataclass(eq=False, slots=True)
class Connection:
    """A client, and the events that epoll reports of it; None once it reports nothing more."""

    client: socket.socket
    peer: tuple[str, int]
    protocol: Protocol
    events: int | None = select.EPOLLIN


class Worker(base.Worker):  # type: ignore[misc]
    """One thread with all connections."""

    request_timeout: int  # seconds

    @classmethod
    def setup(cls) -> None:
        """Read the settings; gunicorn calls this before it starts a worker."""
        cls.request_timeout = runtime.setting("WIRELAB_SILENCE_TIMEOUT", "10", runtime.positive)

    def handle(self, requests: Sequence[tuple[Connection, Request]]) -> None:
        """Handle requests, now or later, and call `respond` for each.

        Called once in each iteration, also without any requests.
        """
        raise NotImplementedError

    def admit(self, request: Request) -> None:
        """Raise HTTPError for a request that is not acceptable, whatever its body is."""

    def run(self) -> None:
        """Serve until gunicorn says to stop, and those who are still connected a bit longer."""
        self._connections: dict[int, Connection] = {}
        self._sessions = Sessions()
        self._requests: deque[tuple[Connection, Request]] = deque()
        self._next_check = 0.0
        # No keepalive here: each client has a deadline, and one that has vanished misses it.
        self._listener: socket.socket = self.sockets[0].sock
        self._listener.setblocking(False)
        listeners.limit_buffer(self._listener, SEND_BUFFER)
        with select.epoll() as self._epoll:
            self._epoll.register(self._listener, select.EPOLLIN)
            self._epoll.register(self.PIPE[0], select.EPOLLIN)
            while self.alive:
                self._iterate()
            self._epoll.unregister(self._listener)
            # A client may have sent its next request already: it is answered, and then closed.
            end = time.monotonic() + self.cfg.graceful_timeout - TICK
            while self._connections and time.monotonic() < end:
                self._iterate()

    def respond(
        self, connection: Connection, *parts: bytes, complete: bool = True, close: bool = False
    ) -> None:
        """Send parts of a response; `close` if the connection ends once it is complete."""
        connection.protocol.respond(*parts, complete=complete, close=close)
        self._proceed(connection)
        self._evict()

    def _iterate(self) -> None:
        ready = self._epoll.poll(0 if self._requests or self._sessions.behind else TICK)
        for descriptor, events in ready:
            if connection := self._connections.get(descriptor):
                self._serve(connection, events)
            elif descriptor == self._listener.fileno():
                self._accept()
            elif descriptor == self.PIPE[0]:
                os.read(self.PIPE[0], CHUNK)  # a signal came, or a thread has a response
        requests: list[tuple[Connection, Request]] = []
        size = 0
        while self._requests and size < MAX_REQUESTS:
            requests.append(self._requests.popleft())
            size += len(requests[-1][1].body)
        self.handle(requests)
        if time.monotonic() > self._next_check or self._sessions.behind:
            self._check()

    def _accept(self) -> None:
        """Take new connections from the kernel's queue."""
        for _ in range(MAX_ACCEPTED):
            try:
                if len(self._connections) >= self.cfg.worker_connections:
                    raise OSError(errno.EMFILE, "the maximum of open connections is reached")
                client, peer = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                log.warning("accept: %s", error)
                if error.errno in listeners.NO_CAPACITY:
                    self._epoll.modify(self._listener, 0)  # until the next check
                return
            client.setblocking(False)
            protocol = Protocol(self.request_timeout, self.cfg.keepalive, self.admit)
            connection = Connection(client, peer[:2], protocol)
            log.debug("connection from %s:%d", *connection.peer)
            self._epoll.register(client, select.EPOLLIN)
            self._connections[client.fileno()] = connection
            self._sessions.open(client.fileno(), protocol)

    def _serve(self, connection: Connection, events: int) -> None:
        """Receive from a client, unless there is a response to send first."""
        protocol = connection.protocol
        if protocol.data_to_send():
            pass
        elif protocol.request:
            # What the client sends meanwhile stays in the kernel.
            self._watch(connection, 0)
            if events & GONE:
                protocol.close("reset by the client")
        else:
            try:
                protocol.receive_data(connection.client.recv(CHUNK))
            except BlockingIOError:
                pass
            except OSError as error:
                protocol.close(str(error))
        self._proceed(connection)
        self._evict()

    def _proceed(self, connection: Connection) -> None:
        """Send what there is to send, then see whether the next request is complete."""
        protocol = connection.protocol
        if not protocol.closed:
            send(connection)
        if request := protocol.next_request():
            self._requests.append((connection, request))
        self._sessions.count(connection.client.fileno())
        if protocol.closed:
            self._close(connection)
        elif protocol.data_to_send():
            self._watch(connection, select.EPOLLOUT)
        elif not protocol.request:
            self._watch(connection, select.EPOLLIN)

    def _watch(self, connection: Connection, events: int) -> None:
        """Have epoll report these events of a client, and no others."""
        if connection.events != events:
            self._epoll.modify(connection.client, events)
            connection.events = events

    def _evict(self) -> None:
        """Free memory if too much is buffered for all connections together."""
        for descriptor in self._sessions.evict():
            self._proceed(self._connections[descriptor])

    def _check(self) -> None:
        """Expire connections, accept again, and tell gunicorn that the worker is alive."""
        self._next_check = time.monotonic() + TICK
        self.notify()
        if self.ppid != os.getppid():
            log.warning("gunicorn is gone")
            self.alive = False
        if self.alive:
            self._epoll.modify(self._listener, select.EPOLLIN)
        for descriptor in self._sessions.check_timeouts():
            self._proceed(self._connections[descriptor])

    def _close(self, connection: Connection) -> None:
        """Close the connection; if its request is being handled, then once that is done."""
        protocol = connection.protocol
        if connection.events is not None:
            # A client that has gone would be reported over and over.
            self._epoll.unregister(connection.client)
            connection.events = None
        if protocol.request:
            return
        if protocol.error:
            log.info("%s:%d: %s: %s", *connection.peer, protocol.error.status, protocol.error)
        log.debug("connection from %s:%d closed: %s", *connection.peer, protocol.closed)
        self._sessions.close(connection.client.fileno())
        del self._connections[connection.client.fileno()]
        connection.client.close()


def send(connection: Connection) -> None:
    """Send what the kernel takes."""
    protocol = connection.protocol
    try:
        if outgoing := protocol.data_to_send():
            protocol.sent(connection.client.send(outgoing))
        if protocol.closing and not protocol.data_to_send():
            # To close while there are bytes to receive would send RST, and the client would lose
            # the response (RFC 9112, 9.6). This sends FIN; the client's own comes after all else.
            connection.client.shutdown(socket.SHUT_WR)
    except BlockingIOError:
        pass
    except OSError as error:
        protocol.close(str(error))
