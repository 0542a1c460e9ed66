"""A gunicorn worker that serves all connections in one thread: the sockets of the HTTP servers.

Slow clients keep nobody waiting: an incomplete request costs only its bytes, and so does a response
that was not read yet. gunicorn's own workers give each client a thread from its first byte on. The
workers based on this one handle requests between two iterations (kv/worker.py) or in threads.
"""

import errno
import logging
import os
import select
import socket
import time

from gunicorn.workers import base  # type: ignore[import-untyped]

from services import acknowledgments, addresses, listeners, runtime
from services.http.limits import MAX_EXPIRED, Sessions
from services.http.protocol import Protocol
from services.http.request import Request

SEND_BUFFER = 64 * 1024  # bytes
MAX_ACCEPTED = 64  # at a time: a flood of connections must not starve those that are open
TICK = 0.5  # seconds between two checks of all timeouts
READABLE = select.EPOLLIN
WRITABLE = select.EPOLLOUT
NOTHING = select.EPOLLONESHOT  # but an error or a hang-up once: those are reported unasked

log = logging.getLogger("http")


class Worker(base.Worker):  # type: ignore[misc]
    """One thread with all connections, by their descriptors."""

    # gunicorn's own handler of SIGINT and SIGQUIT raises SystemExit, wherever the worker just is.
    handle_quit = base.Worker.handle_exit

    @classmethod
    def setup(cls) -> None:
        """Read the settings; gunicorn calls this in its own process, before it starts a worker."""
        cls.request_timeout = runtime.setting("WIRELAB_SILENCE_TIMEOUT", "10", runtime.positive)

    def admit(self, request: Request) -> None:
        """Raise HTTPError for a request that is not acceptable, whatever its body is."""

    def handle(self, descriptor: int, request: Request) -> None:
        """Handle a request, now or later, and call `respond`."""
        raise NotImplementedError

    def work(self) -> None:
        """Do what a worker has to do at the end of each iteration."""

    def run(self) -> None:
        """Serve until gunicorn says to stop, then drain open connections for graceful_timeout."""
        self._clients: dict[int, socket.socket] = {}
        self._events: dict[int, int] = {}  # that epoll is asked to report of each client
        self._sessions = Sessions()
        self._next_check = 0.0
        self._listener: socket.socket = self.sockets[0].sock
        self._listener.setblocking(False)
        # No SO_KEEPALIVE: each connection has a deadline, also that of a client that has vanished.
        listeners.limit_send_buffer(self._listener, SEND_BUFFER)
        with select.epoll() as self._epoll:
            self._epoll.register(self._listener, select.EPOLLIN)
            self._epoll.register(self.PIPE[0], select.EPOLLIN)
            while self.alive:
                self._iterate()
            self._epoll.unregister(self._listener)
            # A client may have sent a request already: answer it, then close the connection.
            end = time.monotonic() + self.cfg.graceful_timeout - TICK
            while self._clients and time.monotonic() < end:
                self._iterate()

    def respond(self, descriptor: int, *parts: bytes, last: bool = True, close: bool) -> None:
        """Send parts of a response; with `close`, close the connection after the last one."""
        self._sessions[descriptor].respond(*parts, last=last, close=close)
        self._proceed(descriptor)

    def postpone(self, descriptor: int, size: int) -> None:
        """Have a request handled again once there is room for its response of `size` bytes."""
        self._sessions[descriptor].postpone(size)
        self._proceed(descriptor)

    def _iterate(self) -> None:
        timeout = 0 if self._sessions.first_waiting() else self._next_check - time.monotonic()
        for descriptor, _ in self._epoll.poll(max(0, timeout)):
            if descriptor in self._clients:
                self._proceed(descriptor, ready=True)
            elif descriptor == self.PIPE[0]:
                os.read(descriptor, SEND_BUFFER)  # written by a signal, or to have `work` called
            elif descriptor == self._listener.fileno():
                self._accept()
        while waiting := self._sessions.first_waiting():
            self._sessions[waiting].reserve()
            self._proceed(waiting)
        self.work()
        if time.monotonic() >= self._next_check:
            self._check()

    def _accept(self) -> None:
        for _ in range(MAX_ACCEPTED):
            try:
                if len(self._clients) >= self.cfg.worker_connections:
                    raise OSError(errno.EMFILE, "the maximum of open connections is reached")
                client, peer = self._listener.accept()
            except OSError as error:
                if error.errno in listeners.NO_CAPACITY:
                    log.warning("accept: %s", error)
                    self._epoll.modify(self._listener, 0)  # until the next check
                return
            log.debug("connection from %s", listeners.text(peer))
            client.setblocking(False)
            self._epoll.register(client, READABLE)
            peer = addresses.unmapped(peer[0]), peer[1]
            protocol = Protocol(peer, self.request_timeout, self.cfg.keepalive, self.admit)
            descriptor = client.fileno()
            self._clients[descriptor], self._sessions[descriptor] = client, protocol
            self._events[descriptor] = READABLE

    def _proceed(self, descriptor: int, ready: bool = False) -> None:
        """Receive or send what is possible, handle the next request, and wait for what is next."""
        client, protocol = self._clients[descriptor], self._sessions[descriptor]
        try:
            if ready and not protocol.data_to_send():
                if protocol.request or protocol.needs:  # what else it sends stays in the kernel
                    self._wait_for(descriptor, NOTHING)
                    return
                protocol.receive_data(client.recv(protocol.receive_size))
            if outgoing := protocol.data_to_send():
                protocol.sent(client.send(outgoing))
            if protocol.closing and not protocol.data_to_send():
                # To close while there are bytes to receive would send RST, and the client would
                # lose the response (RFC 9112, 9.6). This sends FIN, and waits for the client's.
                client.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            pass
        except OSError as error:
            protocol.close(str(error))
        if request := protocol.next_request():
            request.keep_alive &= self.alive
            self.handle(descriptor, request)
        elif ready and not (protocol.data_to_send() or protocol.closed):
            acknowledgments.acknowledge(client)  # for the rest of the request to come at once
        self._sessions.count(descriptor)
        if protocol.request or not protocol.closed:
            idle = NOTHING if protocol.needs else READABLE
            self._wait_for(descriptor, WRITABLE if protocol.data_to_send() else idle)
        else:
            if refused := protocol.error:
                log.info(
                    "%s: %s: %s", listeners.text(protocol.peer), refused.status, refused.detail
                )
            log.debug(
                "connection from %s closed: %s", listeners.text(protocol.peer), protocol.closed
            )
            del self._clients[descriptor], self._sessions[descriptor], self._events[descriptor]
            client.close()  # epoll forgets it too
        for evicted in self._sessions.evict():
            self._proceed(evicted)

    def _wait_for(self, descriptor: int, events: int) -> None:
        # Mostly they are the same as before, and the system call would be one of four per request.
        if self._events[descriptor] != events:
            self._events[descriptor] = events
            self._epoll.modify(descriptor, events)

    def _check(self) -> None:
        """Expire connections, accept again, and tell gunicorn that the worker is alive."""
        self.notify()
        if self.ppid != os.getppid():
            self.alive = False  # gunicorn is gone
        if self.alive:
            self._epoll.modify(self._listener, select.EPOLLIN)
        expired = self._sessions.check_timeouts(time.monotonic())
        stalled = self._sessions.evict_stalled(time.monotonic(), acknowledgments.in_kernel)
        for descriptor in {*expired, *stalled}:
            self._proceed(descriptor)
        if len(expired) < MAX_EXPIRED:  # otherwise there are more, for the next iteration
            self._next_check = time.monotonic() + TICK
