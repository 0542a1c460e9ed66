"""A worker of gunicorn's that hears everybody in one thread: the sockets of the HTTP servers.

It goes from turn to turn: hear whoever has something to say; have the requests that are complete
carried out; send what there is to be sent. A request costs nothing but its bytes until all of it
is there, and an answer nothing but its bytes until the client has taken it, so whoever is slow at
either keeps nobody waiting. gunicorn's own workers give a thread to a client from its first byte
on: as many slow ones as there are threads, and nobody else is served.

How requests are carried out is what the workers made of this one differ in: kv/evented.py does it
between two turns, wsgi.py in threads.

gunicorn listens, starts this worker, and starts another when it is to reload or this one died.
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
from itertools import islice

from gunicorn.workers import base  # type: ignore[import-untyped]

from services.http.heads import Head
from services.http.session import Request, Session

CHUNK = 64 * 1024  # bytes
SEND_BUFFER = 64 * 1024  # bytes that the kernel holds for a client
AT_ONCE = 64  # connections that are accepted, or given up, before others have their turn
TURN = 1024 * 1024  # bytes of requests that are enough for one turn
MOST_HELD = 8 * 1024 * 1024  # bytes, for all connections together
FAIR_SHARE = 4 * 1024  # bytes, which each may have even so
SWEEP_SECONDS = 0.5
GONE = select.EPOLLHUP | select.EPOLLERR  # which epoll reports whether asked to or not

log = logging.getLogger("http")


@dataclass(eq=False, slots=True)
class Connection:
    """A client, and what epoll is to report of it; None once it reports nothing more."""

    client: socket.socket
    peer: tuple[str, int]
    session: Session
    events: int | None = select.EPOLLIN
    held: int = 0  # bytes, as counted in the total


class Worker(base.Worker):  # type: ignore[misc]
    """One thread with all connections."""

    def carry_out(self, requests: Sequence[tuple[Connection, Request]]) -> None:
        """Have requests answered, now or later, and call `answered` for each that is.

        Called once in each turn, also without any requests.
        """
        raise NotImplementedError

    def admit(self, head: Head) -> None:
        """Raise Refused for a head that no answer can follow."""

    def run(self) -> None:
        """Serve until gunicorn says to stop; then those still connected, for a moment."""
        self._connections: dict[int, Connection] = {}
        self._requests: deque[tuple[Connection, Request]] = deque()
        self._held = 0
        self._next_sweep = 0.0
        self._behind = False  # there are others that take too long
        self._listener: socket.socket = self.sockets[0].sock
        self._listener.setblocking(False)
        # An accepted connection inherits what follows. Nagle's algorithm would hold back an answer
        # that has to be sent in two parts until the first is acknowledged.
        self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # The kernel would let the buffer of a client that reads nothing grow to 4 MiB: tcp(7).
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        with select.epoll() as self._epoll:
            self._epoll.register(self._listener, select.EPOLLIN)
            self._epoll.register(self.PIPE[0], select.EPOLLIN)
            while self.alive:
                self._turn()
            self._epoll.unregister(self._listener)
            # A client may have sent its next request already; its answer says that it is the last.
            end = time.monotonic() + self.cfg.graceful_timeout - SWEEP_SECONDS
            while self._connections and time.monotonic() < end:
                self._turn()

    def answered(
        self,
        connection: Connection,
        data: bytearray,
        whole: bool = True,
        last: bool = False,
    ) -> None:
        """Send an answer, or more of it; after the `last` one the connection ends."""
        connection.session.answer(data, whole, last)
        self._go_on(connection)
        if self._held > MOST_HELD:
            self._shed()

    def _turn(self) -> None:
        for descriptor, events in self._epoll.poll(
            0 if self._requests or self._behind else SWEEP_SECONDS
        ):
            if connection := self._connections.get(descriptor):
                self._hear(connection, events)
            elif descriptor == self._listener.fileno():
                self._accept()
            elif descriptor == self.PIPE[0]:
                os.read(self.PIPE[0], CHUNK)  # a signal came, or a thread has an answer
        requests: list[tuple[Connection, Request]] = []
        size = 0
        while self._requests and size < TURN:
            requests.append(self._requests.popleft())
            size += len(requests[-1][1].body)
        self.carry_out(requests)
        if (now := time.monotonic()) > self._next_sweep or self._behind:
            self._next_sweep = now + SWEEP_SECONDS
            self._sweep(now)

    def _accept(self) -> None:
        """Take new connections from the kernel's queue."""
        for _ in range(AT_ONCE):
            try:
                if len(self._connections) >= self.cfg.worker_connections:
                    raise OSError(errno.EMFILE, "there are as many connections as there may be")
                client, peer = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                log.warning("accept: %s", error)
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    # The connection stays in the queue while all descriptors are in use, and
                    # epoll would report it at once, over and over. The next sweep undoes this.
                    self._epoll.modify(self._listener, 0)
                    return
                continue
            client.setblocking(False)
            connection = Connection(client, peer[:2], Session(self.cfg.keepalive, self.admit))
            log.debug("connection from %s:%d", *connection.peer)
            self._epoll.register(client, select.EPOLLIN)
            self._connections[client.fileno()] = connection

    def _hear(self, connection: Connection, events: int) -> None:
        """Receive from a client, unless there is something to be sent to it first."""
        session = connection.session
        if session.answering and not session.unsent:
            # What else it has to say stays in the kernel until then.
            self._report(connection, 0)
            if events & GONE:
                session.ended = "reset by the client"
        elif not session.unsent:
            try:
                session.receive(connection.client.recv(CHUNK))
            except BlockingIOError:
                pass
            except OSError as error:
                session.ended = str(error)
        self._go_on(connection)
        if self._held > MOST_HELD:
            self._shed()

    def _go_on(self, connection: Connection) -> None:
        """Send what there is to be sent, then see whether the next request is there."""
        session = connection.session
        if not session.ended:
            send(connection)
        if not session.answering and (request := session.request()):
            self._requests.append((connection, request))
        held = session.held
        self._held += held - connection.held
        connection.held = held
        if session.ended:
            self._hang_up(connection)
        elif session.unsent:
            self._report(connection, select.EPOLLOUT)
        elif not session.answering:
            self._report(connection, select.EPOLLIN)

    def _report(self, connection: Connection, events: int) -> None:
        """Have epoll report these events of a client, and no others."""
        if connection.events != events:
            self._epoll.modify(connection.client, events)
            connection.events = events

    def _shed(self) -> None:
        """Have those give way that take longest, until there is room again.

        Not those that ask for room last: they may be the only ones that are quick. And not the
        last of the answers, which may be large all by itself.
        """
        large = [each for each in self._connections.values() if each.held > FAIR_SHARE]
        large.sort(key=lambda connection: connection.session.deadline)
        last = next((each for each in reversed(large) if each.session.unsent), None)
        for connection in large:
            if self._held < MOST_HELD * 3 // 4:
                return
            waits = connection.session.answering and not connection.session.unsent
            if connection is not last and not waits:
                connection.session.give_way()
                self._go_on(connection)

    def _sweep(self, now: float) -> None:
        """Let nobody take too long, and tell gunicorn that the worker is not stuck."""
        self.notify()
        if self.ppid != os.getppid():
            log.warning("gunicorn is gone")
            self.alive = False
        if self.alive:
            self._epoll.modify(self._listener, select.EPOLLIN)
        overdue = (each for each in self._connections.values() if each.session.overdue(now))
        late = list(islice(overdue, AT_ONCE))
        for connection in late:
            self._go_on(connection)
        self._behind = len(late) == AT_ONCE

    def _hang_up(self, connection: Connection) -> None:
        """Close the connection; if a request is being carried out, then once that is done."""
        session = connection.session
        if connection.events is not None:
            # A client that has gone would be reported over and over.
            self._epoll.unregister(connection.client)
            connection.events = None
        if session.answering:
            return
        if session.refused:
            log.info("%s:%d: %s: %s", *connection.peer, session.refused.status, session.refused)
        log.debug("connection from %s:%d ended: %s", *connection.peer, session.ended)
        self._held -= connection.held
        del self._connections[connection.client.fileno()]
        connection.client.close()


def send(connection: Connection) -> None:
    """Send what the kernel takes."""
    session = connection.session
    try:
        if session.unsent:
            session.sent(connection.client.send(session.unsent))
        if session.closing and not session.unsent:
            # To close while there are bytes to be received would be RST, and take the answer with
            # it (RFC 9112, 9.6). This is FIN; the client's own comes after all that it sends.
            connection.client.shutdown(socket.SHUT_WR)
    except BlockingIOError:
        pass
    except OSError as error:
        session.ended = str(error)
