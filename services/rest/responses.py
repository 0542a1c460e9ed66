"""Starts the response of a WSGI application once it is certain that there is one (PEP 3333)."""

import re
from collections.abc import Callable, Generator, Iterable
from itertools import chain
from types import TracebackType
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class DeferredStart:
    """A `start_response` that keeps status and headers until the handler has its first block.

    A handler often calls `start_response("200 OK", ...)` first and then makes the body. If that
    fails, an error can still be sent. (PEP 3333 has `exc_info` for this, but gunicorn adds the
    second headers to the first.)
    """

    def __init__(self, start_response: StartResponse) -> None:
        self.start_response = start_response
        self.deferred: tuple[str, list[tuple[str, str]]] | None = None
        self.sent = False
        self.written: list[bytes] = []

    def __call__(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None, /
    ) -> Callable[[bytes], object]:
        """Keep status and headers; a second call, with `exc_info`, replaces them."""
        if self.deferred and not exc_info:
            raise AssertionError("start_response is called a second time without exc_info")
        if self.sent and exc_info and exc_info[1]:
            raise exc_info[1]
        # A line break would begin another header, or a body, which an attacker has written.
        text = "".join([status, *chain.from_iterable(headers)])
        if not text.isprintable() and _CONTROL.search(text):  # the first is quick
            raise ValueError("a control character in a response header")
        self.deferred = status, headers
        return self.written.append

    def send(self) -> None:
        """Pass on status and headers."""
        if not self.deferred:
            raise AssertionError("start_response is not called before the first block")
        self.sent = True
        self.start_response(*self.deferred)


def started(
    application: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse
) -> Generator[bytes, None, None]:
    """Call `application` and return its blocks; raises what it raises before the first one.

    A generator calls `start_response` when it is asked for its first block.
    """
    blocks = answer(application, environ, start_response)
    next(blocks)
    return blocks


def answer(
    application: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse
) -> Generator[bytes, None, None]:
    """Yield an empty block once the first one is there, and then all blocks of the response.

    However that ends, the server calls close(), which runs the `finally`.
    """
    start = DeferredStart(start_response)
    blocks: Iterable[bytes] = ()
    try:
        blocks = application(environ, start)
        iterator = iter(blocks)
        first = next(iterator, b"")
        start.send()
        yield b""
        yield from start.written
        yield first
        yield from iterator
    finally:
        if hasattr(blocks, "close"):
            blocks.close()
        if files := environ.get("files"):
            for file in chain.from_iterable(files.values()):
                file.close()
