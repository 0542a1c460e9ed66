"""A WSGI application in a few threads (PEP 3333), which never wait for a client.

worker.py: all of a request --> a thread: the application --> worker.py: to the client

A thread has the request when all of it is there, and leaves it to the worker to send the answer,
so the only thing that it can be slow at is the application.
"""

import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from functools import lru_cache
from io import BytesIO
from queue import SimpleQueue
from threading import Lock, Thread
from types import TracebackType
from typing import Any
from urllib.parse import unquote_to_bytes
from wsgiref.types import WSGIApplication, WSGIEnvironment
from wsgiref.util import FileWrapper, is_hop_by_hop

from gunicorn import SERVER_SOFTWARE  # type: ignore[import-untyped]

from services.http import worker
from services.http.heads import FIELD, LENGTH, Head
from services.http.session import Request, message
from services.http.worker import Connection

ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]
Fields = list[tuple[str, str]]
Waiting = SimpleQueue[tuple[Connection, Request] | None]  # None: the worker ends

STATUS = re.compile(r"[1-9][0-9]{2} [\t -~\x80-\xff]*")
FAILED = "500 Internal Server Error"
LARGE = 64 * 1024  # bytes of a body
LAST_WORDS = 0.25  # seconds that threads have to end when the worker does


class Gone(Exception):
    """Raised in an application that is still answering when its client has gone."""


class Worker(worker.Worker):
    """Hands requests to threads, and takes the answers from them."""

    def run(self) -> None:
        """Serve with as many threads as gunicorn's setting `threads` says, and one more.

        That has the requests with a large body, one at a time: an application can make tens of MiB
        of one, and there is not the room for as many of those as there are threads.
        """
        small: Waiting = SimpleQueue()
        large: Waiting = SimpleQueue()
        self._waiting = small, large
        self._lock = Lock()
        self._written: dict[Connection, Written] = {}
        self._name, self._port = self.sockets[0].sock.getsockname()[:2]
        # Daemons: nobody waits for an application that does not end.
        queues = [*self.cfg.threads * [small], large]
        threads = [Thread(target=self._work, args=[queue], daemon=True) for queue in queues]
        for thread in threads:
            thread.start()
        super().run()
        for queue in queues:
            queue.put(None)
        end = time.monotonic() + LAST_WORDS
        for thread in threads:
            thread.join(max(0, end - time.monotonic()))

    def carry_out(self, requests: Sequence[tuple[Connection, Request]]) -> None:
        """Give requests to the threads, and to clients what the threads have written."""
        for connection, request in requests:
            self._waiting[len(request.body) > LARGE].put((connection, request))
        with self._lock:
            written, self._written = self._written, {}
        for connection, new in written.items():
            self.answered(connection, new.data, new.whole, new.last)

    def write(
        self, connection: Connection, parts: Iterable[bytes], whole: bool, last: bool
    ) -> None:
        """Have the worker send more of an answer; called in a thread, which goes on at once."""
        with self._lock:
            asleep = not self._written
            new = self._written.setdefault(connection, Written())
            for part in parts:
                new.data += part
            new.whole, new.last = whole, last
        if asleep:
            os.write(self.PIPE[1], b"w")

    def _work(self, queue: Waiting) -> None:
        """Answer one request after the other, in a thread."""
        while waiting := queue.get():
            connection, request = waiting
            start = time.monotonic()
            answer = Answer(self, connection, request.head)
            environ = self._environ(connection, request)
            try:
                answer.give(self.wsgi, environ)
            except Gone:
                answer.fail()
            except BaseException:
                self.log.exception("%s %s", request.head.method, request.head.target)
                answer.fail()
            took = timedelta(seconds=time.monotonic() - start)
            self.log.access(answer, request.head.fields, environ, took)

    def _environ(self, connection: Connection, request: Request) -> WSGIEnvironment:
        """Return what PEP 3333 has an application know."""
        return {
            **variables(request.head),
            "REMOTE_ADDR": connection.peer[0],
            "REMOTE_PORT": str(connection.peer[1]),
            "SERVER_NAME": self._name,
            "SERVER_PORT": str(self._port),
            "wsgi.input": BytesIO(request.body),
        }


class Written:
    """What a thread has written and the worker has not taken yet."""

    __slots__ = ("data", "last", "whole")

    def __init__(self) -> None:
        self.data = bytearray()
        self.whole = False
        self.last = False


@lru_cache(maxsize=128)  # as many as there are heads
def variables(head: Head) -> WSGIEnvironment:
    """Return the variables that are the same for all requests with the same head."""
    fields = {
        f"HTTP_{name.upper().replace('-', '_')}": value
        for name, value in head.fields.items()
        # X_Y and X-Y would be the same variable, and HTTP_PROXY is a setting of programs that an
        # application may start.
        if "_" not in name and name not in ("proxy", "content-type", "content-length")
    }
    content = {
        name: head.fields[field]
        for name, field in (("CONTENT_TYPE", "content-type"), ("CONTENT_LENGTH", "content-length"))
        if field in head.fields
    }
    return {
        **fields,
        **content,
        "REQUEST_METHOD": head.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(head.path).decode("latin-1"),
        "QUERY_STRING": head.query,
        "RAW_URI": head.target,
        "SERVER_PROTOCOL": f"HTTP/1.{head.minor}",
        "SERVER_SOFTWARE": SERVER_SOFTWARE,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input_terminated": True,  # a body that came in chunks has no CONTENT_LENGTH
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
    }


class Answer:
    """The answer to one request, as HTTP has it.

    `status`, `headers` and `sent`, the bytes of the body, are what gunicorn's log looks at.
    """

    def __init__(self, server: Worker, connection: Connection, head: Head) -> None:
        self.status: str | None = None
        self.headers: Fields = []
        self.sent = 0
        self._server = server
        self._connection = connection
        self._head = head
        self._begun = False
        self._whole = False
        self._last = head.last
        self._chunked = False
        self._left: int | None = None  # bytes of a body whose length is announced

    def give(self, application: WSGIApplication, environ: WSGIEnvironment) -> None:
        """Have the application answer; raises what that raises, or Gone."""
        blocks: Iterable[bytes] = ()
        try:
            blocks = application(environ, self.start_response)
            for block in blocks:
                self.write(block)
            self._end()
        finally:
            if hasattr(blocks, "close"):
                blocks.close()

    def start_response(
        self, status: str, headers: Fields, exc_info: ExcInfo | None = None, /
    ) -> Callable[[bytes], Any]:
        """Take status and header fields; `exc_info` is for those that replace the first."""
        if exc_info and self._begun and exc_info[1]:
            raise exc_info[1]
        if self.status and not exc_info:
            raise AssertionError("start_response is called a second time without exc_info")
        # A line break would begin a field, or a body, of an attacker's making.
        if not STATUS.fullmatch(status):
            raise ValueError(f"not a status: {status!r:.100}")
        for name, value in headers:
            if not FIELD.fullmatch(f"{name}:{value}"):
                raise ValueError(f"not a header field: {name!r:.100}")
        self.status, self.headers = status, headers
        return self.write

    def write(self, block: bytes) -> None:
        """Send a block of the body; what goes beyond its announced length is left out."""
        if not block or self._whole:
            return
        if self._connection.session.ended:
            raise Gone
        parts = [] if self._begun else [self._begin()]
        if self._left is not None:
            block = block[: self._left]
            self._left -= len(block)
        if not self._whole:
            self.sent += len(block)
            self._whole = self._left == 0
            parts += [b"%x\r\n" % len(block), block, b"\r\n"] if self._chunked else [block]
        self._server.write(self._connection, parts, self._whole, self._last)

    def fail(self) -> None:
        """Say that there is a fault if nothing has been said yet, or break off."""
        if self._whole:
            return
        self._whole = True
        if not self._begun:
            self.status, self.headers = FAILED, [("Content-Length", "0")]
            self._server.write(self._connection, [self._begin()], True, self._last)
        else:
            self._server.write(self._connection, [], True, True)

    def _begin(self) -> bytes:
        """Return the head of the answer, and settle how its body is framed (RFC 9112, 6.3)."""
        if not self.status:
            raise AssertionError("start_response is not called before the first block")
        code = int(self.status[:3])
        # No length is stated where no answer has a body (RFC 9110, 8.6).
        never = code < 200 or code == 204
        fields = [
            (name, value)
            for name, value in self.headers
            if not is_hop_by_hop(name) and not (never and name.lower() == "content-length")
        ]
        lengths = {value.strip() for name, value in fields if name.lower() == "content-length"}
        if len(lengths) > 1 or not all(map(LENGTH.fullmatch, lengths)):
            raise ValueError(f"not one length: {lengths}")
        self._last = self._last or code < 200 or not self._server.alive
        if never or code == 304 or self._head.method == "HEAD":
            self._whole = True
        elif lengths:
            self._left = int(lengths.pop())
        elif self._head.minor:
            self._chunked = True
            fields.append(("Transfer-Encoding", "chunked"))
        self._begun = True
        return message(self.status, fields, last=self._last)

    def _end(self) -> None:
        """Send what is left to be sent after the last block."""
        if self._whole:
            return
        parts = [] if self._begun else [self._begin()]
        if self._chunked:
            parts.append(b"0\r\n\r\n")
        self._whole = True
        # Where a part of the announced length is missing, only the end of the connection says so.
        self._server.write(self._connection, parts, True, self._last or bool(self._left))
