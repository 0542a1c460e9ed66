"""What a WSGI application answers, taken far enough to know whether it can (PEP 3333)."""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
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
        if any(_CONTROL.search(text) for text in (status, *chain.from_iterable(headers))):
            raise ValueError("a control character in a response header")
        self.held = status, headers
        return self.written.append

    def send(self) -> None:
        """Pass on what is held."""
        if not self.held:
            raise AssertionError("start_response is not called before the first block")
        self.sent = True
        self.start_response(*self.held)


class Response:
    """The blocks of an answer, and what is to be closed after it."""

    def __init__(self, blocks: Iterable[bytes], cleanup: ExitStack) -> None:
        self.blocks = blocks
        self.cleanup = cleanup

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.blocks)

    def close(self) -> None:
        """Close all of it; the server calls this however the answer ended."""
        self.cleanup.close()


def started(
    application: WSGIApplication,
    environ: WSGIEnvironment,
    start_response: StartResponse,
    cleanup: ExitStack,
) -> Iterator[bytes]:
    """Call `application` up to its first block, so that all it raises until then is raised here.

    For a generator that is the point at which it has called `start_response`.
    """
    start = HeldStart(start_response)
    blocks = application(environ, start)
    if hasattr(blocks, "close"):
        cleanup.callback(blocks.close)
    iterator = iter(blocks)
    first = next(iterator, b"")
    start.send()
    return chain(start.written, [first], iterator)
