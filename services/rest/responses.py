"""What a WSGI application answers, taken far enough to know whether it can (PEP 3333)."""

import re
from collections.abc import Callable, Generator, Iterable
from itertools import chain
from types import TracebackType
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class HeldStart:
    """A `start_response` that holds status and headers back until they are certain.

    A handler often calls `start_response("200 OK", ...)` first and only then works out the body.
    If that fails, nothing has been promised to the server yet. (PEP 3333 has `exc_info` for this,
    but gunicorn adds the second headers to the first.)
    """

    def __init__(self, start_response: StartResponse) -> None:
        self.start_response = start_response
        self.held: tuple[str, list[tuple[str, str]]] | None = None
        self.sent = False
        self.written: list[bytes] = []

    def __call__(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None, /
    ) -> Callable[[bytes], object]:
        """Hold status and headers; called again, with `exc_info`, it replaces them."""
        if self.held and not exc_info:
            raise AssertionError("start_response is called a second time without exc_info")
        if self.sent and exc_info and exc_info[1]:
            raise exc_info[1]
        # A line break in a value would begin a header, or a body, of the attacker's making.
        if _CONTROL.search("".join([status, *chain.from_iterable(headers)])):
            raise ValueError("a control character in a response header")
        self.held = status, headers
        return self.written.append

    def send(self) -> None:
        """Pass on what is held."""
        if not self.held:
            raise AssertionError("start_response is not called before the first block")
        self.sent = True
        self.start_response(*self.held)


def started(
    application: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse
) -> Generator[bytes, None, None]:
    """Call `application` up to its first block, so that all it raises until then is raised here.

    For a generator that is the point at which it has called `start_response`.
    """
    blocks = answer(application, environ, start_response)
    next(blocks)
    return blocks


def answer(
    application: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse
) -> Generator[bytes, None, None]:
    """Yield an empty block once the answer is certain, and then the blocks of the answer.

    However it ends, the server calls close(), which runs the `finally`.
    """
    start = HeldStart(start_response)
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
        for file in chain.from_iterable(environ.get("files", {}).values()):
            file.close()
