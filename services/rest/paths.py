"""The path of a request: first split at its slashes, then percent-decoded (RFC 3986, 2.2, 7.3).

So an encoded slash is data, and not the end of a segment. In PATH_INFO all is decoded already.
"""

import re
from urllib.parse import quote, unquote, unquote_to_bytes
from wsgiref.types import WSGIEnvironment

_AUTHORITY = re.compile("^https?://[^/]*", re.IGNORECASE)
_SEGMENT = "!$&'()*+,;=:@"  # what a segment may have beside unreserved characters (RFC 3986, 3.3)
# What has to be percent-encoded. In a query, a % without two digits stands for itself (WHATWG URL
# Standard, 5.1); in a path it could not be told from a mistake.
IN_QUERY = re.compile('[^!"$-~]')  # what is neither visible ASCII nor #
PLAIN = re.compile(rf"[\w.~/{_SEGMENT}-]*", re.ASCII)  # a path in which nothing is encoded
IN_PATH = re.compile('[^!"$-~]|%(?![0-9A-Fa-f]{2})')


def raw_path(environ: WSGIEnvironment) -> str:
    """Return the path as the client sent it, if the server tells it, as gunicorn does.

    Otherwise, or if something in between has changed PATH_INFO, that is what counts: then an
    encoded slash cannot be told from another.
    """
    path_info: str = environ.get("PATH_INFO", "")
    target: str = environ.get("RAW_URI", "").partition("?")[0]
    if target == path_info and target.startswith("/") and "%" not in target:
        return target  # most paths are the same in both
    path = _AUTHORITY.sub("", target)  # of the absolute form (RFC 9112, 3.2.2)
    if path_info in (unquote(target, "latin-1"), unquote(path, "latin-1")):
        return path or "/"
    return encoded(path_info.encode("latin-1"))


def encoded(path: str | bytes) -> str:
    """Return a path that is not percent-encoded as one that is; it has no slash as data."""
    return quote(path, safe="/" + _SEGMENT)


def normalized(path: str) -> str:
    """Return `path` with percent-encoding just where it has to be (RFC 3986, 6.2.2)."""
    segments = path.encode("latin-1").split(b"/")
    return "/".join(quote(unquote_to_bytes(segment), safe=_SEGMENT) for segment in segments)


def unencoded(characters: re.Pattern[str], sent: str) -> str:
    """Say which character of a part of a URL has to be percent-encoded and is not.

    Each character of `sent` stands for a byte (PEP 3333).
    """
    text = sent.encode("latin-1").decode("utf-8", "surrogateescape")
    character = characters.findall(text)[0]
    return f"percent-encode {character!r} as {quote(character, errors='surrogateescape')}"
