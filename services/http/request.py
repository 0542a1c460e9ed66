"""Requests: the grammar is httptools' (llhttp, the parser of Node.js), and the policy is ours.

What two programs could read differently is an error: where a proxy and a server disagree on where
a request ends, one client's bytes become another client's request (RFC 9112, 11.2). llhttp has no
limits, and reads on into the next request.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from types import SimpleNamespace

import httptools

MAX_HEAD = 16 * 1024  # bytes
MAX_HEADERS = 64
MAX_BODY = 1024 * 1024  # bytes
MAX_CHUNKS = 16 * 1024  # and trailers: each takes as much time as a small request
MAX_CHUNK_LINE = 256  # bytes of the size of a chunk with its extensions, or of a trailer

REQUEST_LINE = re.compile(rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+ [^\s#]+ HTTP/[0-9]\.[0-9](?=\r\n)")
ABSOLUTE = re.compile(r"http://([^/?]+)(.*)", re.IGNORECASE)
HOST = re.compile(
    r"(?a)(?:(?:[-.~!$&'()*+;=\w]++|%[\dA-Fa-f]{2})++|\[(?P<ipv6>[\dA-Fa-f:.]+)\])(?::\d*)?"
)
BODY_TOO_LARGE = "413 Content Too Large"
URI_TOO_LONG = "414 URI Too Long"
HEAD_TOO_LARGE = "431 Request Header Fields Too Large"
NOT_IMPLEMENTED = "501 Not Implemented"
VERSION_NOT_SUPPORTED = "505 HTTP Version Not Supported"


@dataclass(eq=False)
class HTTPError(Exception):
    """What a request gets instead of a response: what is wrong, a status, and more headers."""

    detail: str
    status: str = "400 Bad Request"
    headers: Sequence[tuple[str, str]] = ()


@dataclass(eq=False, slots=True)
class Request:
    """What a client asks for; `body` grows until all of it has arrived."""

    method: str
    target: str  # as it was sent
    path: str  # percent-encoded, without the query
    query: str
    version: str  # HTTP/1.1 or HTTP/1.0
    headers: Mapping[str, str]  # by their names in lower case; repeated ones are joined
    keep_alive: bool  # whether another request may follow on this connection
    body: bytearray = field(default_factory=bytearray)


class Headers(dict[str, str]):
    """Headers by their names in lower case, from the callbacks of a parser."""

    complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header, or append its value to that of an earlier one."""
        key, text = name.decode("latin-1").lower(), value.decode("latin-1").rstrip(" \t")
        if key in self:
            text = f"{self[key]}{'; ' if key == 'cookie' else ','}{text}"  # RFC 9113, 8.2.3
        self[key] = text

    def on_headers_complete(self) -> None:
        """Note that the parser has reached the end of the head."""
        self.complete = True


def read_head(received: bytearray) -> Request | None:
    """Remove the head of a request from what was received, and parse it, if it is complete."""
    if end := received.find(b"\r\n\r\n", 0, MAX_HEAD) + 1:
        request = parse_head(bytes(received[: end + 3]))
        del received[: end + 3]
        return request
    if received.count(b"\n") > received.count(b"\r\n"):
        raise HTTPError("A line has to end with CR LF.")
    if len(received) >= MAX_HEAD and received.find(b"\r\n", 0, MAX_HEAD) < 0:
        raise HTTPError(f"A request line has to be shorter than {MAX_HEAD} bytes.", URI_TOO_LONG)
    if len(received) >= MAX_HEAD:
        raise HTTPError(f"A head may have at most {MAX_HEAD} bytes.", HEAD_TOO_LARGE)
    return None


def parse_head(head: bytes) -> Request:
    """Parse the head of a request, with the empty line at its end; raises HTTPError."""
    if not (found := REQUEST_LINE.match(head)):
        raise HTTPError("A request begins with METHOD TARGET HTTP/1.1, or HTTP/1.0.")
    if not (request_line := found[0]).isascii():
        raise HTTPError("The target of the request is not ASCII: percent-encode it.")
    if head.count(b"\n") > MAX_HEADERS + 2:
        raise HTTPError(f"A request may have at most {MAX_HEADERS} headers.", HEAD_TOO_LARGE)
    method, target, version = request_line.decode().split(" ")
    if version not in ("HTTP/1.1", "HTTP/1.0"):
        if not version.startswith("HTTP/1."):
            raise HTTPError(f"HTTP/1.1 is supported, {version} is not.", VERSION_NOT_SUPPORTED)
        version = "HTTP/1.1"  # the highest that is known (RFC 9110, 2.5), to llhttp too
        head = f"{method} {target} {version}".encode() + head[len(request_line) :]
    headers = Headers()
    feed(httptools.HttpRequestParser(headers), head)
    if not headers.complete:
        raise HTTPError("The head of the request is invalid.")
    coding = headers.get("transfer-encoding")
    if coding is not None and version == "HTTP/1.0":
        raise HTTPError("Transfer-Encoding is not part of HTTP/1.0.")
    if coding is not None and coding.lower() != "chunked":
        raise HTTPError("The only transfer coding here is chunked.", NOT_IMPLEMENTED)
    path, _, query = origin_form(method, target, headers, version).partition("?")
    options = [option.strip() for option in headers.get("connection", "").lower().split(",")]
    keep_alive = "close" not in options and (version == "HTTP/1.1" or "keep-alive" in options)
    return Request(method, target, path, query, version, headers, keep_alive)


def origin_form(method: str, target: str, headers: Headers, version: str) -> str:
    """Return path and query of the target (RFC 9112, 3.2); a host in it is Host, too.

    If a URL and Host name different hosts, a server should follow the URL (3.2.2), and some follow
    Host. So that is an error here: "deceptive request routing" (RFC 9110, 15.5.1).
    """
    if method == "CONNECT":
        raise HTTPError("The method CONNECT is for proxies, and this is none.", NOT_IMPLEMENTED)
    host = headers.get("host")
    if (host is None and version == "HTTP/1.1") or (host and not is_host(host)):
        raise HTTPError("There has to be a header Host: a name or address, and maybe a port.")
    if target.startswith("/") or (target == "*" and method == "OPTIONS"):
        return target
    if not (absolute := ABSOLUTE.fullmatch(target)):
        raise HTTPError("The target of the request has to be a path or an http URL.")
    if not is_host(absolute[1]):  # as one with a user, too (RFC 9110, 4.2.4)
        raise HTTPError(f"The URL is of {absolute[1]!r:.100}, which is no host.")
    if headers.setdefault("host", absolute[1]).lower() != absolute[1].lower():
        raise HTTPError("The target of the request and the header Host name different hosts.")
    path = absolute[2] or ("*" if method == "OPTIONS" else "/")  # RFC 9110, 4.2.3
    return f"/{path}" if path.startswith("?") else path


def is_host(text: str) -> bool:
    """Whether `text` is a name or an address, and maybe a port (RFC 3986, 3.2.2, 3.2.3)."""
    if not (found := HOST.fullmatch(text)):
        return False
    with suppress(ValueError):
        return found["ipv6"] is None or bool(IPv6Address(found["ipv6"]))
    return False


def body_size(request: Request) -> int:
    """Return how many bytes the body has, or may have if it comes in chunks; raises HTTPError."""
    if "transfer-encoding" in request.headers:
        return MAX_BODY
    length = request.headers.get("content-length", "0")
    if len(length) > 20 or int(length) > MAX_BODY:  # int() raises ValueError from 4,301 digits on
        raise HTTPError(f"A body may have at most {MAX_BODY} bytes.", BODY_TOO_LARGE)
    return int(length)


def read_body(request: Request, received: bytearray) -> Iterator[bytes]:
    """Move the body from what was received; yield what to tell the client before more arrives."""
    length = body_size(request)
    waits = request.headers.get("expect", "").lower() == "100-continue" and not received
    if waits and length and request.version == "HTTP/1.1":
        yield b"HTTP/1.1 100 Continue\r\n\r\n"
    if "transfer-encoding" in request.headers:
        yield from read_chunks(request.body, received)
    else:
        while len(received) < length:
            yield b""
        request.body = received[:length]
        del received[:length]


def read_chunks(body: bytearray, received: bytearray) -> Iterator[bytes]:
    """Move a chunked body from what was received (RFC 9112, 7.1).

    The parser gets one line at a time, or data of one chunk, and so nothing of the next request.
    It is not that of the head: for llhttp, a request that offers an upgrade has no body.
    """
    parser = httptools.HttpRequestParser(SimpleNamespace(on_body=body.extend))
    parser.feed_data(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
    trailers = False  # after the last chunk, whose size is 0
    for _ in range(MAX_CHUNKS):
        while not (end := received.find(b"\n", 0, MAX_CHUNK_LINE) + 1):
            if len(received) >= MAX_CHUNK_LINE:
                raise HTTPError(f"A line between chunks may have {MAX_CHUNK_LINE} bytes.")
            yield b""
        line = received[:end]
        del received[:end]
        feed(parser, line)
        if trailers and line == b"\r\n":
            return
        size = 0 if trailers else int(line.partition(b";")[0], 16)
        if len(body) + size > MAX_BODY:
            raise HTTPError(f"A body may have at most {MAX_BODY} bytes.", BODY_TOO_LARGE)
        trailers = not size
        left = size and size + len(b"\r\n")
        while left:
            while not received:
                yield b""
            data = received[:left]
            del received[:left]
            feed(parser, data)
            left -= len(data)
    raise HTTPError(f"A body may have at most {MAX_CHUNKS} chunks.", BODY_TOO_LARGE)


def feed(parser: httptools.HttpRequestParser, data: bytes | bytearray) -> None:
    """Have `data` parsed; raises HTTPError if it is invalid."""
    try:
        parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        pass  # an offer, which a server may ignore (RFC 9110, 7.8)
    except httptools.HttpParserError as error:
        if "method" in str(error):  # which is unknown, or known from RTSP
            raise HTTPError("The method is unknown.", NOT_IMPLEMENTED) from None
        raise HTTPError(f"{error}.") from None
