"""The worker for WSGI applications (PEP 3333): it runs them in a few threads.

A thread gets complete requests, and leaves the sending to the worker: it never waits for a client.
Both sides hand over as much as there is at once: the worker the requests of an iteration, and a
thread its small responses, once no request waits.
"""

import os
import sys
import time
from collections.abc import Callable
from functools import lru_cache, partial
from io import BytesIO
from threading import Condition
from urllib.parse import unquote
from wsgiref.types import WSGIEnvironment
from wsgiref.util import FileWrapper

from gunicorn import SERVER_SOFTWARE  # type: ignore[import-untyped]

from services.addresses import bracketed
from services.http import worker
from services.http.protocol import SMALL
from services.http.request import Request
from services.http.response import NoRoom, Response
from services.http.threads import Pool
from services.runtime import Address

MAX_HELD = 64  # responses: then they are sent, whatever else the thread has to do

Item = tuple[int, Request]  # and the descriptor of its connection


class Worker(worker.Worker):
    """Passes requests to threads, and their responses to the clients."""

    def run(self) -> None:
        """Serve with as many threads as the setting `threads` says, and one for large bodies."""
        self._lock = Condition()
        self._calls: list[Callable[[], None]] = []  # that the threads want this one to make
        self._woken = False  # to make them
        self._server: Address = self.sockets[0].sock.getsockname()[:2]
        self._pools = [Pool(threads, self._answer, self._wake) for threads in (self.cfg.threads, 1)]
        self._requests: list[list[Item]] = [[], []]  # of this iteration, for either pool
        super().run()
        for pool in self._pools:  # nobody waits for an application that does not end
            pool.close(0.125)

    def handle(self, descriptor: int, request: Request) -> None:
        """Pass a request to the threads, at the end of the iteration."""
        self._requests[len(request.body) > SMALL].append((descriptor, request))

    def work(self) -> None:
        """Do what the threads want done, mostly send to clients, and pass new requests to them."""
        calls: list[Callable[[], None]] = []
        with self._lock:
            if self._woken:
                calls, self._calls, self._woken = self._calls, [], False
            self._lock.notify_all()  # there may be room now
        for call in calls:
            call()
        for pool, requests in zip(self._pools, self._requests, strict=True):
            if requests:
                pool.put(requests)
                requests.clear()

    def send(self, descriptor: int, *parts: bytes, last: bool, close: bool) -> None:
        """Have the worker send parts of a response; called in a thread, which does not wait.

        A small response is kept while other requests wait: theirs can be sent together with it.
        """
        if self._sessions[descriptor].closed and not last:
            raise BrokenPipeError("the client has closed the connection")
        call = partial(self.respond, descriptor, *parts, last=last, close=close)
        held = last and self._pools[0].queued and sum(map(len, parts)) <= SMALL
        self._later(call, at_once=not held)

    def _has_room(self, descriptor: int, request: Request, size: int) -> bool:
        """Whether a response of `size` bytes may begin; called in a thread."""
        sessions = self._sessions
        if size <= SMALL:
            return True
        with self._lock:
            if request.method in ("GET", "HEAD", "OPTIONS"):
                if not sessions.has_room_for(descriptor, size):
                    return False
            elif len(request.body) > SMALL:
                # It may change something, so it cannot be handled again (RFC 9110, 9.2.1), and this
                # thread waits for room. No other one has such requests.
                sessions.others_wait = True
                self._lock.wait_for(partial(sessions.has_room, size), self.request_timeout)
                sessions.others_wait = False
            sessions.granted += size
        self._later(partial(self._reserve, descriptor, size))
        return True

    def _reserve(self, descriptor: int, size: int) -> None:
        """Reserve the room for the response of a thread, which comes next."""
        with self._lock:
            self._sessions.granted -= size
        self._sessions[descriptor].expect(size)
        self._sessions.count(descriptor)

    def _later(self, call: Callable[[], None], at_once: bool = True) -> None:
        with self._lock:
            self._calls.append(call)
            if at_once or len(self._calls) == MAX_HELD:
                self._wake()

    def _wake(self) -> None:
        """Have the worker make the calls that there are."""
        with self._lock:
            if self._calls and not self._woken:
                self._woken = True
                os.write(self.PIPE[1], b"w")

    def _answer(self, item: Item) -> None:
        descriptor, request = item
        start = time.monotonic()
        peer = self._sessions[descriptor].peer
        has_room = partial(self._has_room, descriptor, request)
        response = Response(request, partial(self.send, descriptor), has_room)
        try:
            response.run(self.wsgi, make_environ(request, peer, self._server, self.cfg.workers))
        except NoRoom as error:
            self._later(partial(self.postpone, descriptor, *error.args))
            return
        except BaseException as error:
            if not isinstance(error, BrokenPipeError):
                self.log.exception("%s %s", request.method, request.target)
            response.fail()
        target = request.target.replace('"', r"\"")
        worker.log.info(
            '%s "%s %s %s" %.3s %d bytes %d ms', peer[0], request.method, target,
            request.version, response.status, response.sent, 1000 * (time.monotonic() - start),
        )  # fmt: skip


def make_environ(
    request: Request, client: Address, server: Address, workers: int = 1
) -> WSGIEnvironment:
    """Return what PEP 3333 tells an application about its request, and about its server."""
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": request.method, "RAW_URI": request.target, "SCRIPT_NAME": "",
        "PATH_INFO": unquote(request.path, "latin-1"),
        "QUERY_STRING": request.query, "SERVER_PROTOCOL": request.version,
        "SERVER_NAME": bracketed(server[0]), "SERVER_PORT": str(server[1]),
        "SERVER_SOFTWARE": SERVER_SOFTWARE,
        "REMOTE_ADDR": client[0], "REMOTE_PORT": str(client[1]),
        "wsgi.version": (1, 0), "wsgi.url_scheme": "http", "wsgi.errors": sys.stderr,
        "wsgi.multithread": True, "wsgi.multiprocess": workers > 1, "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper, "wsgi.input": BytesIO(request.body),
        "wsgi.input_terminated": True,  # a chunked body has no CONTENT_LENGTH
    }  # fmt: skip
    for name, value in request.headers.items():
        if key := variable(name):
            environ[key] = value
    return environ


@lru_cache(maxsize=64)  # most clients send some of a few
def variable(header: str) -> str | None:
    """Return the name that a header has in an environ, unless it is left out (RFC 3875, 4.1.18)."""
    # X_Y and X-Y would be the same variable, and HTTP_PROXY is a setting of programs that an
    # application may start.
    if "_" in header or header == "proxy":
        return None
    name = header.upper().replace("-", "_")
    return name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}"
