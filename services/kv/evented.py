"""The key-value store, event-driven: a worker of gunicorn's that serves everybody in one thread.

It goes from turn to turn: hear whoever has something to say; carry out the calls that are
complete, with one commit for all that write; answer them. While the disk is busy with that commit
nobody is heard, and all that comes meanwhile is the next turn: the more there is to do, the more
writes share a commit. gunicorn's own workers take each call to its end, or have a thread for each,
and threads that wait for one disk wait for one another most of the time.

gunicorn listens, starts this worker, and starts another when it is to reload or this one died.
"""

import errno
import logging
import select
import socket
import time
from collections import deque
from dataclasses import dataclass

from gunicorn.workers import base  # type: ignore[import-untyped]

from services.kv.http_session import Session

CHUNK = 64 * 1024  # bytes
ACCEPTS = 64  # connections in one go: those that are there already have their turn in between
TURN = 1024 * 1024  # bytes of calls that are enough for one turn
MOST_HELD = 16 * 1024 * 1024  # bytes, for all connections together
FAIR_SHARE = 16 * 1024  # bytes, which each may have even so
SWEEP_SECONDS = 0.5

log = logging.getLogger("kv")


@dataclass(eq=False, slots=True)
class Connection:
    """A client, and what epoll is to report of it."""

    client: socket.socket
    peer: str
    session: Session
    events: int = select.EPOLLIN


class Worker(base.Worker):  # type: ignore[misc]
    """One thread with all connections; `wsgi`, the application, is given the calls of a turn."""

    def run(self) -> None:
        """Serve until gunicorn says to stop; then those still connected, for a moment."""
        self._connections: dict[int, Connection] = {}
        self._calls: deque[tuple[Connection, bytes]] = deque()
        self._next_sweep = 0.0
        self._listener: socket.socket = self.sockets[0].sock
        self._listener.setblocking(False)
        # An accepted connection inherits this. Nagle's algorithm would hold back an answer that
        # has to be sent in two parts until the first is acknowledged.
        self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with select.epoll() as self._epoll:
            self._epoll.register(self._listener, select.EPOLLIN)
            self._epoll.register(self.PIPE[0], select.EPOLLIN | select.EPOLLET)  # a signal came
            while self.alive:
                self._turn()
            self._epoll.unregister(self._listener)
            # A client may have sent its next call already; its answer says that it is the last.
            end = time.monotonic() + self.cfg.graceful_timeout - SWEEP_SECONDS
            while self._connections and time.monotonic() < end:
                self._turn()
            for connection in list(self._connections.values()):
                connection.session.ended = "the server stops"
                self._hang_up(connection)

    def _turn(self) -> None:
        for descriptor, _ in self._epoll.poll(0 if self._calls else SWEEP_SECONDS):
            if connection := self._connections.get(descriptor):
                self._hear(connection)
            elif descriptor == self._listener.fileno():
                self._accept()
        calls: list[tuple[Connection, bytes]] = []
        size = 0
        while self._calls and size < TURN:
            calls.append(self._calls.popleft())
            size += len(calls[-1][1])
        for connection, answer in self.wsgi(calls):
            connection.session.answer(answer, last=not self.alive)
            self._go_on(connection)
        if (now := time.monotonic()) > self._next_sweep:
            self._next_sweep = now + SWEEP_SECONDS
            self._sweep(now)

    def _accept(self) -> None:
        """Take new connections from the kernel's queue."""
        for _ in range(ACCEPTS):
            try:
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
            connection = Connection(client, "{}:{}".format(*peer), Session(self.cfg.keepalive))
            log.info("connection from %s", connection.peer)
            self._epoll.register(client, select.EPOLLIN)
            self._connections[client.fileno()] = connection

    def _hear(self, connection: Connection) -> None:
        """Receive from a client, unless there is something to be sent to it first."""
        session = connection.session
        if session.answering:
            return  # what else it has to say stays in the kernel until then
        try:
            if not session.unsent:
                session.receive(connection.client.recv(CHUNK))
        except BlockingIOError:
            pass
        except OSError as error:
            session.ended = str(error)
        if session.held > FAIR_SHARE and self._held() > MOST_HELD:
            session.refuse("503 Service Unavailable")
        self._go_on(connection)

    def _go_on(self, connection: Connection) -> None:
        """Send what there is to be sent, then see whether the next call is there."""
        session = connection.session
        send(connection)
        if (body := session.call()) is not None:
            self._calls.append((connection, body))
        if session.unsent and session.held > FAIR_SHARE and self._held() > MOST_HELD:
            session.ended = "it does not take its answer"
        if session.ended:
            self._hang_up(connection)
            return
        events = select.EPOLLOUT if session.unsent else select.EPOLLIN
        if events != connection.events:
            self._epoll.modify(connection.client, events)
            connection.events = events

    def _held(self) -> int:
        """Return how many bytes are kept for all clients together."""
        return sum(connection.session.held for connection in self._connections.values())

    def _sweep(self, now: float) -> None:
        """Let nobody take too long, and tell gunicorn that the worker is not stuck."""
        self.notify()
        if self.alive:
            self._epoll.modify(self._listener, select.EPOLLIN)
        for connection in list(self._connections.values()):
            if connection.session.overdue(now):
                self._go_on(connection)

    def _hang_up(self, connection: Connection) -> None:
        log.info("connection from %s ended: %s", connection.peer, connection.session.ended)
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
