"""HTTP requests and answers in the terms of the lab, whichever library sends them."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

Progress = Callable[[int, int | None], object]
"""Called with the bytes so far and with their total, None where the server does not announce it."""

Pairs = tuple[tuple[str, str], ...]

CHUNK = 64 * 1024  # bytes; all that a streamed download ever holds
IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"})  # RFC 9110, 9.2.2
RETRIED = frozenset({429, 500, 502, 503, 504})  # what may be gone a moment later
LONGEST_WAIT = 5  # seconds between two attempts, whatever Retry-After says


@dataclass(frozen=True)
class Answer:
    """What a server answered: every status is one, also 404 and 503."""

    url: str  # where it came from, after any redirects
    status: int
    reason: str
    headers: Pairs  # as they came; a name may come more than once, as Set-Cookie does
    content: bytes

    def header(self, name: str) -> str | None:
        """Return the first header `name`; upper and lower case are the same (RFC 9110, 5.1)."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def json(self) -> Any:
        """Return the content decoded from JSON; ValueError where it is none."""
        return json.loads(self.content)


class Views(NamedTuple):
    """The body of one answer, seen in three ways."""

    content: bytes
    text: str
    json: Any


@dataclass(frozen=True)
class Wanted:
    """A request as the command line puts it together from its options."""

    method: str
    path: str
    params: Pairs = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    form: Pairs = ()
    files: tuple[Path, ...] = ()
    user: tuple[str, str] | None = None
    follow: bool = True
    retries: int = 0


def same_server(url: str, other: str) -> bool:
    """Tell whether two URLs have the same scheme, host and port."""
    return urlsplit(url)[:2] == urlsplit(other)[:2]
