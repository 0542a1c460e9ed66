"""The head of a request: its first line and its fields (RFC 9112, 2 to 6).

Whatever two programs could read differently is refused, not guessed at: where a proxy and a server
disagree on where a request ends, one client's bytes become another client's request ("request
smuggling"; RFC 9112, 11.2).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from services.http.refused import Refused

LONGEST_START = 4094  # bytes
MOST_FIELDS = 64

TOKEN = r"[-!#$%&'*+.^_`|~0-9A-Za-z]+"  # noqa: S105 - RFC 9110, 5.6.2
START = re.compile(rf"({TOKEN}) ([!\"$-~]+) HTTP/1\.([01])")
FIELD = re.compile(rf"({TOKEN}):[ \t]*([\t -~\x80-\xff]*?)[ \t]*")
ABSOLUTE = re.compile(r"http://([^/?]+)(.*)", re.IGNORECASE)
HOST = re.compile(r"(?:[-.~!$&'()*+,;=%\w]*|\[[0-9A-Fa-f:.]+\])(?::\d*)?", re.ASCII)
LENGTH = re.compile(r"[0-9]+")
ONCE = ("host", "content-length", "transfer-encoding", "content-type", "expect")


@dataclass(frozen=True, eq=False, slots=True)
class Head:
    """What a client asks for, how its body comes, and what becomes of the connection."""

    method: str
    target: str  # as it was sent
    path: str  # percent-encoded, without the query
    query: str
    minor: int  # HTTP/1.minor
    fields: Mapping[str, str]  # by their names in lower case; equal ones joined by commas
    length: int  # bytes of the body; 0 if there is none, or if it comes in chunks
    chunked: bool
    last: bool  # there is to be no other request on this connection
    waits: bool  # the body comes when the client is told to continue


@lru_cache(maxsize=128)  # clients send the same heads again and again
def parse(head: bytes) -> Head:
    """Understand a head, without the empty line that ends it; raises Refused."""
    start, *lines = head.decode("latin-1").split("\r\n")
    if len(start) > LONGEST_START:
        raise Refused("414 URI Too Long", f"The first line may have {LONGEST_START} bytes.")
    if len(lines) > MOST_FIELDS:
        raise Refused("431 Request Header Fields Too Large", f"At most {MOST_FIELDS} fields.")
    if not (request := START.fullmatch(start)):
        raise bad("The first line is not that of a request in HTTP/1.1 or HTTP/1.0.")
    fields: dict[str, str] = {}
    for line in lines:
        if not (found := FIELD.fullmatch(line)):
            raise bad("A line of the head is no field.")
        name, value = found[1].lower(), found[2]
        if name in fields:
            if name in ONCE:
                raise bad(f"There may be one {name}.")
            value = f"{fields[name]},{value}"
        fields[name] = value
    method, target, minor = request[1], request[2], int(request[3])
    path, _, query = origin_form(method, target, fields, minor).partition("?")
    length, chunked = framing(fields, minor)
    connection = fields.get("connection", "").lower()
    return Head(
        method=method,
        target=target,
        path=path,
        query=query,
        minor=minor,
        fields=fields,
        length=length,
        chunked=chunked,
        last=minor == 0 or "close" in connection,
        waits=minor == 1 and fields.get("expect", "").lower() == "100-continue",
    )


def bad(detail: str) -> Refused:
    """Return the refusal of a head that breaks the rules."""
    return Refused("400 Bad Request", detail)


def origin_form(method: str, target: str, fields: Mapping[str, str], minor: int) -> str:
    """Return path and query of the target (RFC 9112, 3.2)."""
    host = fields.get("host")
    if (host is None and minor) or not HOST.fullmatch(host or ""):
        raise bad("There has to be one Host, a name or address and perhaps a port.")
    if target.startswith("/") or (target == "*" and method == "OPTIONS"):
        return target
    if not (found := ABSOLUTE.fullmatch(target)):
        raise bad("The target is no path.")
    if host is not None and found[1].lower() != host.lower():
        raise bad("The target and Host name two hosts.")
    return found[2] if found[2].startswith("/") else f"/{found[2]}"


def framing(fields: Mapping[str, str], minor: int) -> tuple[int, bool]:
    """Return the length of the body, and whether it comes in chunks (RFC 9112, 6)."""
    coding, length = fields.get("transfer-encoding"), fields.get("content-length")
    if coding is not None:
        if length is not None or minor == 0:
            raise bad("Transfer-Encoding goes neither with Content-Length nor with HTTP/1.0.")
        if coding.lower() != "chunked":
            raise Refused("501 Not Implemented", "The only transfer coding here is chunked.")
        return 0, True
    if length is None:
        return 0, False
    if not LENGTH.fullmatch(length):
        raise bad("Content-Length is not a number.")
    # The length of the number first: Python refuses to convert one of 5,000 digits.
    return int(length) if len(length) < 19 else 10**18, False
