"""HTTP/1.1: requests and responses of a stream, also pipelined and in chunks.

httptools (llhttp, the parser of Node.js) reads the heads. Where a message ends is decided here,
since the parser does not say it (RFC 9112, 6.3). Of a body the beginning is kept.
"""

import re
from collections import deque
from functools import partial

import httptools

from services.wire import xml_rpc
from services.wire.stream import (
    MAX_KEPT,
    MAX_LINE,
    MAX_LINES,
    MAX_SUMMARY,
    Message,
    NotDecodable,
    Reading,
    Stream,
    dump,
)
from services.wire.visible import counted, cut, line, lines, text_of

MAX_HEAD = 64 * 1024  # bytes
MAX_HEADERS = 500
MAX_HEADERS_SHOWN = 50  # lines of details
MAX_CHUNK_LINE = 4096  # bytes
MAX_TRAILERS = 100
MAX_PIPELINED = 1000  # requests whose method is remembered for their response
SIZE = re.compile(rb"[0-9A-Fa-f]{1,16}")
LENGTH = re.compile(r"[0-9]{1,18}")
START = re.compile(rb"[A-Z-]{3,20} [!-~]|HTTP/1\.")


class Head:
    """The head of a message, from the callbacks of the parser."""

    def __init__(self) -> None:
        self.target = self.reason = b""
        self.headers: list[tuple[str, str]] = []

    def on_url(self, data: bytes) -> None:
        """Add to the target of a request."""
        self.target += data

    def on_status(self, data: bytes) -> None:
        """Add to the reason phrase of a response."""
        self.reason += data

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note a header."""
        self.headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def value(self, name: str) -> str:
        """Return the last value of a header, "" if it is not there."""
        return next((value for key, value in reversed(self.headers) if key == name), "")


def pair() -> tuple[Stream, Stream]:
    """Return the two directions of a connection: a response depends on its request's method."""
    methods: deque[str] = deque(maxlen=MAX_PIPELINED)
    decoders = partial(requests, methods=methods), partial(responses, methods=methods)
    return Stream(decoders[0], begins), Stream(decoders[1], begins)


def begins(data: bytes) -> bool:
    """Whether a request or a response may begin with these bytes."""
    return bool(START.match(data))


def requests(stream: Stream, methods: deque[str]) -> Reading[None]:
    """Yield the requests of a client."""
    while True:
        raw = yield from head(stream)
        found = Head()
        parser = httptools.HttpRequestParser(found)
        feed(parser, raw)
        method = parser.get_method().decode("latin-1")
        methods.append(method)
        stream.about = line(f"{method} {found.target.decode('latin-1')}", MAX_SUMMARY)
        if "transfer-encoding" in dict(found.headers):
            body, size = yield from chunks(stream)
        else:
            length = content_length(found) or 0
            body, size = (yield from stream.take(length)), length
        yield described(stream.about, found, raw, body, size)


def responses(stream: Stream, methods: deque[str]) -> Reading[None]:
    """Yield the responses of a server."""
    while True:
        raw = yield from head(stream)
        found = Head()
        parser = httptools.HttpResponseParser(found)
        feed(parser, raw)
        status = parser.get_status_code()
        interim = status < 200 and status != 101
        method = methods.popleft() if methods and not interim else ""
        stream.about = line(f"{status} {found.reason.decode('latin-1')}".strip(), MAX_SUMMARY)
        length = content_length(found)
        if method == "HEAD" or status < 200 or status in (204, 304):
            body, size = b"", 0
        elif "transfer-encoding" in dict(found.headers):
            body, size = yield from chunks(stream)
        elif length is not None:
            body, size = (yield from stream.take(length)), length
        else:
            body, size = yield from stream.rest()
        yield described(stream.about, found, raw, body, size)
        if status == 101 or (method == "CONNECT" and 200 <= status < 300):
            raise NotDecodable("another protocol from here on")


def head(stream: Stream) -> Reading[bytes]:
    """Wait for a head, and return it with the empty line at its end."""
    found = b"\r\n"
    for _ in range(MAX_TRAILERS):
        found = yield from stream.until(b"\n", MAX_HEAD)
        if found != b"\r\n":  # an empty line before a message is ignored (RFC 9112, 2.2)
            break
    if not begins(found):
        raise NotDecodable("not HTTP")
    for _ in range(MAX_HEADERS):
        if len(found) > MAX_HEAD:
            raise NotDecodable(f"not HTTP: a head of more than {MAX_HEAD:,} bytes")
        if not found.endswith(b"\r\n"):
            raise NotDecodable("not HTTP: a line does not end with CR LF")
        if found.endswith(b"\r\n\r\n"):
            return found
        found += yield from stream.until(b"\n", MAX_HEAD)
    raise NotDecodable(f"not HTTP: more than {MAX_HEADERS} headers")


def feed(parser: httptools.HttpRequestParser | httptools.HttpResponseParser, raw: bytes) -> None:
    """Have a head parsed; raises NotDecodable."""
    try:
        parser.feed_data(raw)
    except httptools.HttpParserUpgrade:
        pass  # an offer
    except httptools.HttpParserError as error:
        raise NotDecodable(f"not HTTP: {error}") from None


def content_length(found: Head) -> int | None:
    """Return how many bytes the body has, None if no header says it; raises NotDecodable."""
    value = found.value("content-length").strip()
    if not value:
        return None
    if not LENGTH.fullmatch(value):
        raise NotDecodable("not HTTP: the Content-Length is no number")
    return int(value)


def chunks(stream: Stream) -> Reading[tuple[bytes, int]]:
    """Wait for a body in chunks (RFC 9112, 7.1); return its beginning, and its size."""
    body, size = bytearray(), 0
    while True:
        begin = yield from stream.until(b"\n", MAX_CHUNK_LINE)
        number = SIZE.match(begin)
        if not number:
            raise NotDecodable("not HTTP: the size of a chunk is no number")
        count = int(number[0], 16)
        if not count:
            break
        body += yield from stream.take(count, max(0, MAX_KEPT - len(body)))
        size += count
        if (yield from stream.take(2)) != b"\r\n":
            raise NotDecodable("not HTTP: a chunk does not end where its size says")
    for _ in range(MAX_TRAILERS):
        if not (yield from stream.until(b"\n", MAX_CHUNK_LINE)).strip():
            return bytes(body), size
    raise NotDecodable("not HTTP: too many trailers")


def described(about: str, found: Head, raw: bytes, body: bytes, size: int) -> Message:
    """Return a message, with what its body says if that is XML-RPC."""
    shown = lines(raw.decode("latin-1").rstrip(), MAX_HEADERS_SHOWN, MAX_LINE)
    if not size:
        return Message(about, tuple(shown))
    kind = found.value("content-type").partition(";")[0].strip()
    what = f", {kind}" if kind else ""
    summary = f"{about}{line(what, 60)}, {counted(size, 'byte')}"
    content = text_of(body)
    if kind.endswith("xml") and b"<method" in body[:1000]:
        try:
            if len(body) < size:
                raise xml_rpc.NotXMLRPC(f"only {MAX_KEPT:,} bytes of it are kept")
            document = xml_rpc.decode(body)
            summary = f"{about}: {document.summary}"
            shown += ["", *document.details]
        except xml_rpc.NotXMLRPC as error:
            shown += ["", f"not XML-RPC: {line(str(error), MAX_LINE)}"]
    if content is None:
        shown += ["", *dump(body, size)]
    else:
        shown += ["", *lines(content, MAX_LINES - len(shown), MAX_LINE)]
        if len(body) < size:
            shown.append(f"… {counted(size - len(body), 'more byte')} of the body")
    return Message(cut(summary, MAX_SUMMARY), tuple(shown))
