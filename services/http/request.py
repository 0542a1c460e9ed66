"""The head of a request: the request line and the headers (RFC 9112, 2 to 6).

Whatever two programs could read differently is an error: where a proxy and a server disagree on
where a request ends, one client's bytes become another client's request ("request smuggling";
RFC 9112, 11.2).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from services.http.errors import BadRequest, HTTPError

MAX_REQUEST_LINE = 4094  # bytes
MAX_HEADERS = 64

TOKEN = r"[-!#$%&'*+.^_`|~0-9A-Za-z]+"  # noqa: S105 - RFC 9110, 5.6.2
REQUEST_LINE = re.compile(rf"({TOKEN}) ([!\"$-~]+) (HTTP/1\.[01])")
HEADER = re.compile(rf"({TOKEN}):[ \t]*([\t -~\x80-\xff]*?)[ \t]*")
ABSOLUTE = re.compile(r"http://([^/?]+)(.*)", re.IGNORECASE)
HOST = re.compile(r"(?:[-.~!$&'()*+,;=%\w]*|\[[0-9A-Fa-f:.]+\])(?::\d*)?", re.ASCII)
LENGTH = re.compile(r"[0-9]+")
SINGULAR = ("host", "content-length", "transfer-encoding", "content-type", "expect")


@dataclass(eq=False, slots=True)
class Request:
    """What a client asks for; `body` is empty until all of it has arrived."""

    method: str
    target: str  # as it was sent
    path: str  # percent-encoded, without the query
    query: str
    version: str  # HTTP/1.1 or HTTP/1.0
    headers: Mapping[str, str]  # by their names in lower case; repeated ones joined by commas
    length: int  # of the body in bytes; 0 if there is none, or if it is chunked
    chunked: bool
    keep_alive: bool  # whether another request may follow on this connection
    expects_continue: bool  # whether the client sends the body only when it is told to continue
    body: bytes = b""


def parse(head: bytes) -> Request:
    """Parse a request head, without the empty line that ends it; raises HTTPError."""
    request_line, *lines = head.decode("latin-1").split("\r\n")
    if len(request_line) > MAX_REQUEST_LINE:
        detail = f"The request line may have at most {MAX_REQUEST_LINE} bytes."
        raise HTTPError("414 URI Too Long", detail)
    if len(lines) > MAX_HEADERS:
        detail = f"A request may have at most {MAX_HEADERS} headers."
        raise HTTPError("431 Request Header Fields Too Large", detail)
    if not (found := REQUEST_LINE.fullmatch(request_line)):
        raise BadRequest("Invalid request line: it has to be METHOD TARGET HTTP/1.1 or HTTP/1.0.")
    method, target, version = found.groups()
    headers = parse_headers(lines)
    path, _, query = origin_form(method, target, headers, version).partition("?")
    length, chunked = framing(headers, version)
    connection = headers.get("connection", "").lower().split(",")
    return Request(
        method=method,
        target=target,
        path=path,
        query=query,
        version=version,
        headers=headers,
        length=length,
        chunked=chunked,
        keep_alive=version == "HTTP/1.1" and "close" not in map(str.strip, connection),
        expects_continue=version == "HTTP/1.1"
        and headers.get("expect", "").lower() == "100-continue",
    )


def parse_headers(lines: list[str]) -> dict[str, str]:
    """Return the headers of a request by their names in lower case."""
    headers: dict[str, str] = {}
    for line in lines:
        if not (found := HEADER.fullmatch(line)):
            raise BadRequest("Invalid header line.")
        name, value = found[1].lower(), found[2]
        if name in headers:
            if name in SINGULAR:
                raise BadRequest(f"The header {name} may be given only once.")
            value = f"{headers[name]},{value}"
        headers[name] = value
    return headers


def origin_form(method: str, target: str, headers: Mapping[str, str], version: str) -> str:
    """Return path and query of the target (RFC 9112, 3.2)."""
    host = headers.get("host")
    if host is None and version == "HTTP/1.1":
        raise BadRequest("The header Host is missing.")
    if not HOST.fullmatch(host or ""):
        raise BadRequest("Invalid Host: it has to be a name or an address, and optionally a port.")
    if target.startswith("/") or (target == "*" and method == "OPTIONS"):
        return target
    if not (found := ABSOLUTE.fullmatch(target)):
        raise BadRequest("Invalid request target: it has to be a path or an http URL.")
    if host is not None and found[1].lower() != host.lower():
        raise BadRequest("The request target and the header Host name different hosts.")
    return found[2] if found[2].startswith("/") else f"/{found[2]}"


def framing(headers: Mapping[str, str], version: str) -> tuple[int, bool]:
    """Return the length of the body, and whether it is chunked (RFC 9112, 6)."""
    coding, length = headers.get("transfer-encoding"), headers.get("content-length")
    if coding is not None:
        if length is not None:
            raise BadRequest("A request may not have both Transfer-Encoding and Content-Length.")
        if version == "HTTP/1.0":
            raise BadRequest("Transfer-Encoding is not part of HTTP/1.0.")
        if coding.lower() != "chunked":
            raise HTTPError("501 Not Implemented", "The only supported transfer coding is chunked.")
        return 0, True
    if length is None:
        return 0, False
    if not LENGTH.fullmatch(length):
        raise BadRequest("Invalid Content-Length: it has to be a number.")
    # Python refuses to convert a number of 5,000 digits, so the length of the number comes first.
    return int(length) if len(length) < 19 else 10**18, False
