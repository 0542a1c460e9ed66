"""The worker for WSGI applications (PEP 3333): it runs them in a few threads.

A thread gets complete requests, and leaves the sending to the worker: it never waits for a client.
"""

import os
import sys
import time
from functools import partial
from io import BytesIO
from queue import SimpleQueue
from threading import Lock, Thread
from urllib.parse import unquote_to_bytes
from wsgiref.types import WSGIEnvironment
from wsgiref.util import FileWrapper

from gunicorn import SERVER_SOFTWARE  # type: ignore[import-untyped]

from services.http import worker
from services.http.request import Request
from services.http.response import Response
from services.runtime import Address

LARGE = 64 * 1024  # bytes of a body, for which an application may need a hundred times that

Queue = SimpleQueue[tuple[int, Request] | None]  # None: the worker stops


class Worker(worker.Worker):
    """Passes requests to threads, and their responses to the clients."""

    def run(self) -> None:
        """Serve with as many threads as the setting `threads` says, and one for large bodies."""
        small, large = self._queues = Queue(), Queue()
        self._lock = Lock()
        self._sent: list[tuple[int, tuple[bytes, ...], bool, bool]] = []  # by the threads
        self._server: Address = self.sockets[0].sock.getsockname()[:2]
        queues = [*self.cfg.threads * [small], large]
        # Daemons: nobody waits for an application that does not end.
        threads = [Thread(target=self._work, args=[queue], daemon=True) for queue in queues]
        for thread in threads:
            thread.start()
        super().run()
        for queue in queues:
            queue.put(None)
        end = time.monotonic() + 0.25  # seconds
        for thread in threads:
            thread.join(max(0, end - time.monotonic()))

    def handle(self, descriptor: int, request: Request) -> None:
        """Pass a request to the threads."""
        self._queues[len(request.body) > LARGE].put((descriptor, request))

    def work(self) -> None:
        """Pass to the clients what the threads have sent."""
        with self._lock:
            sent, self._sent = self._sent, []
        for descriptor, parts, last, close in sent:
            self.respond(descriptor, *parts, last=last, close=close)

    def send(self, descriptor: int, *parts: bytes, last: bool, close: bool) -> None:
        """Have the worker send parts of a response; called in a thread, which does not wait."""
        if self._sessions[descriptor].closed and not last:
            raise BrokenPipeError("the client has closed the connection")
        with self._lock:
            self._sent.append((descriptor, parts, last, close))
            if len(self._sent) == 1:
                os.write(self.PIPE[1], b"w")

    def _work(self, queue: Queue) -> None:
        while item := queue.get():
            descriptor, request = item
            start = time.monotonic()
            peer = self._sessions[descriptor].peer
            response = Response(request, partial(self.send, descriptor))
            try:
                response.run(self.wsgi, make_environ(request, peer, self._server))
            except BaseException as error:
                if not isinstance(error, BrokenPipeError):
                    self.log.exception("%s %s", request.method, request.target)
                response.fail()
            target = request.target.replace('"', r"\"")
            worker.log.info(
                '%s "%s %s %s" %.3s %d bytes %d ms', peer[0], request.method, target,
                request.version, response.status, response.sent, 1000 * (time.monotonic() - start),
            )  # fmt: skip


def make_environ(request: Request, client: Address, server: Address) -> WSGIEnvironment:
    """Return what PEP 3333 tells an application about its request."""
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": request.method, "RAW_URI": request.target, "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(request.path).decode("latin-1"),
        "QUERY_STRING": request.query, "SERVER_PROTOCOL": request.version,
        "SERVER_NAME": server[0], "SERVER_PORT": str(server[1]), "SERVER_SOFTWARE": SERVER_SOFTWARE,
        "REMOTE_ADDR": client[0], "REMOTE_PORT": str(client[1]),
        "wsgi.version": (1, 0), "wsgi.url_scheme": "http", "wsgi.errors": sys.stderr,
        "wsgi.multithread": True, "wsgi.multiprocess": False, "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper, "wsgi.input": BytesIO(request.body),
        "wsgi.input_terminated": True,  # a chunked body has no CONTENT_LENGTH
    }  # fmt: skip
    for name, value in request.headers.items():
        if name in ("content-type", "content-length"):
            environ[name.upper().replace("-", "_")] = value
        # X_Y and X-Y would be the same variable, and HTTP_PROXY is a setting of programs that an
        # application may start.
        elif "_" not in name and name != "proxy":
            environ[f"HTTP_{name.upper().replace('-', '_')}"] = value
    return environ
