"""Updates of open pages, as server-sent events: each carries the new HTML of one element.

What has changed is rendered once for each view that somebody looks at, however many do. A stream
has no queue, but the newest HTML of each element that it is still to send: so a page that reads
slowly misses what has changed again meanwhile, costs no memory, and delays nobody. One that does
not read at all is closed by the kernel (TCP_USER_TIMEOUT, services/listeners.py).
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import NamedTuple

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from services.console.view import View

MAX_STREAMS = 200
KEEP_ALIVE_SECONDS = 15.0  # after which a stream is sent something, though nothing has changed
RETRY_MS = 1000  # after which a page comes again when its stream has ended


class Element(NamedTuple):
    """An element of the page, and how it is rendered.

    It is sent when `version` has changed, by default the HTML. One that is `inside` another is
    sent with that one where a stream begins.
    """

    id: str
    render: Callable[[], str]
    version: object = None
    inside: bool = False


Elements = Callable[[View], Iterable[Element]]


class TooManyStreams(Exception):
    """There are MAX_STREAMS already."""


class Stream:
    """The updates of one open page."""

    def __init__(self, view: View) -> None:
        self.view = view
        self._pending: dict[str, bytes] = {}  # events by their elements, in order
        self._added = asyncio.Event()

    def put(self, element: str, event: bytes) -> None:
        """Send an event next, instead of an older one of the same element."""
        self._pending.pop(element, None)  # it goes to the end: another one may contain it
        self._pending[element] = event
        self._added.set()

    async def read(self) -> AsyncGenerator[bytes, None]:
        """Yield the events as they come, without an end."""
        while True:
            try:
                await asyncio.wait_for(self._added.wait(), KEEP_ALIVE_SECONDS)
            except TimeoutError:
                yield b":\n\n"
                continue
            while self._pending:
                element = next(iter(self._pending))
                yield self._pending.pop(element)
            self._added.clear()


class Broadcast:
    """All streams. `on_change` is called when the first one begins, and when the last has ended."""

    def __init__(self, boot: str, elements: Elements, on_change: Callable[[], None]) -> None:
        self._begin = event("begin", boot, retry=RETRY_MS)
        self._elements, self._on_change = elements, on_change
        self._streams: set[Stream] = set()
        self._versions: dict[View, dict[str, object]] = {}  # what all streams of a view have

    def __len__(self) -> int:
        return len(self._streams)

    def open(self, view: View) -> Stream:
        """Begin a stream, with all elements; raises TooManyStreams."""
        if len(self) >= MAX_STREAMS:
            raise TooManyStreams
        stream = Stream(view)
        stream.put("", self._begin)
        self._streams.add(stream)
        self._versions.setdefault(view, {})
        self._send(view, self._elements, stream)
        if len(self) == 1:
            self._on_change()
        return stream

    def close(self, stream: Stream) -> None:
        """End a stream."""
        self._streams.discard(stream)
        if not any(each.view == stream.view for each in self._streams):
            self._versions.pop(stream.view, None)
        if not self._streams:
            self._on_change()

    def publish(self, elements: Elements) -> None:
        """Send those of the elements that have changed to all pages that show them."""
        for view in list(self._versions):
            self._send(view, elements)

    def _send(self, view: View, elements: Elements, newcomer: Stream | None = None) -> None:
        versions = self._versions[view]
        for element in elements(view):
            known = versions.get(element.id)
            wanted = newcomer is not None and not element.inside
            if known is not None and known == element.version and not wanted:
                continue
            html = element.render()
            version = html if element.version is None else element.version
            found = event("element", html)
            if known != version:
                versions[element.id] = version
                for stream in self._streams:
                    if stream.view == view and (stream is not newcomer or wanted):
                        stream.put(element.id, found)
            elif newcomer is not None and wanted:
                newcomer.put(element.id, found)


class EventStream(StreamingResponse):
    """The answer that is a stream; raises TooManyStreams instead of being made."""

    def __init__(self, broadcast: Broadcast, view: View) -> None:
        self._broadcast, self._stream = broadcast, broadcast.open(view)
        super().__init__(self._stream.read(), media_type="text/event-stream")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, until the page is closed."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._broadcast.close(self._stream)


def event(kind: str, text: str, retry: int | None = None) -> bytes:
    """Return a server-sent event (HTML, 9.2.6)."""
    first = "" if retry is None else f"retry: {retry}\n"
    lines = "".join(f"data: {line}\n" for line in text.splitlines())
    return f"{first}event: {kind}\n{lines}\n".encode()
