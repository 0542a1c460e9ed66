"""The worker for WSGI applications (PEP 3333): it runs them in a few threads.

    worker.py: a complete request -> a thread: the application -> worker.py: to the client

A thread gets a request once it is complete, and leaves the sending of the response to the worker,
so it never waits for a client, only for the application.
"""

import os
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from io import BytesIO
from queue import SimpleQueue
from threading import Lock, Thread
from typing import NamedTuple
from urllib.parse import unquote_to_bytes
from wsgiref.types import WSGIEnvironment
from wsgiref.util import FileWrapper

from gunicorn import SERVER_SOFTWARE  # type: ignore[import-untyped]

from services.http import worker
from services.http.request import Request
from services.http.response import ClientGone, Response
from services.http.worker import Connection

Queue = SimpleQueue[tuple[Connection, Request] | None]  # None: the worker stops

LARGE = 64 * 1024  # bytes of a body
STOP_TIMEOUT = 0.25  # seconds that the threads have when the worker stops


class Part(NamedTuple):
    """A part of a response, on its way from a thread to the worker."""

    connection: Connection
    parts: Sequence[bytes]
    complete: bool
    close: bool


class Worker(worker.Worker):
    """Passes requests to threads, and their responses to the clients."""

    def run(self) -> None:
        """Serve with as many threads as gunicorn's setting `threads` says, and one more.

        The latter has the requests with a large body, one at a time: an application may use tens
        of MiB for one, and there is not enough memory for that in every thread.
        """
        small: Queue = SimpleQueue()
        large: Queue = SimpleQueue()
        self._queues = small, large
        self._lock = Lock()
        self._parts: list[Part] = []  # from the threads
        self._server: tuple[str, int] = self.sockets[0].sock.getsockname()[:2]
        # Daemons: nobody waits for an application that does not end.
        queues = [*self.cfg.threads * [small], large]
        threads = [Thread(target=self._work, args=[queue], daemon=True) for queue in queues]
        for thread in threads:
            thread.start()
        super().run()
        for queue in queues:
            queue.put(None)
        end = time.monotonic() + STOP_TIMEOUT
        for thread in threads:
            thread.join(max(0, end - time.monotonic()))

    def handle(self, requests: Sequence[tuple[Connection, Request]]) -> None:
        """Pass requests to the threads, and to the clients what the threads have sent."""
        for connection, request in requests:
            self._queues[len(request.body) > LARGE].put((connection, request))
        with self._lock:
            parts, self._parts = self._parts, []
        for part in parts:
            self.respond(part.connection, *part.parts, complete=part.complete, close=part.close)

    def send(self, connection: Connection, *parts: bytes, complete: bool, close: bool) -> None:
        """Have the worker send parts of a response; called in a thread, which does not wait."""
        if connection.protocol.closed and not complete:
            raise ClientGone
        with self._lock:
            wake = not self._parts
            self._parts.append(Part(connection, parts, complete, close))
        if wake:
            os.write(self.PIPE[1], b"w")

    def _work(self, queue: Queue) -> None:
        """Answer one request after the other, in a thread."""
        while item := queue.get():
            connection, request = item
            start = time.monotonic()
            response = Response(request, partial(self.send, connection), lambda: not self.alive)
            environ = make_environ(request, connection.peer, self._server)
            try:
                response.run(self.wsgi, environ)
            except ClientGone:
                response.fail()
            except BaseException:
                self.log.exception("%s %s", request.method, request.target)
                response.fail()
            duration = timedelta(seconds=time.monotonic() - start)
            self.log.access(response, request.headers, environ, duration)


def make_environ(
    request: Request, client: tuple[str, int], server: tuple[str, int]
) -> WSGIEnvironment:
    """Return what PEP 3333 tells an application about its request."""
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(request.path).decode("latin-1"),
        "QUERY_STRING": request.query,
        "RAW_URI": request.target,
        "SERVER_PROTOCOL": request.version,
        "SERVER_SOFTWARE": SERVER_SOFTWARE,
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1]),
        "REMOTE_ADDR": client[0],
        "REMOTE_PORT": str(client[1]),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(request.body),
        "wsgi.input_terminated": True,  # a chunked body has no CONTENT_LENGTH
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
    }
    for name, value in request.headers.items():
        if name in ("content-type", "content-length"):
            environ[name.upper().replace("-", "_")] = value
        # X_Y and X-Y would be the same variable, and HTTP_PROXY is a setting of programs that an
        # application may start.
        elif "_" not in name and name != "proxy":
            environ[f"HTTP_{name.upper().replace('-', '_')}"] = value
    return environ
