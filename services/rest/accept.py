"""Content negotiation: which media type a client prefers (RFC 9110, 12.5.1)."""

import re
from collections.abc import Iterator
from functools import lru_cache
from http import HTTPStatus
from wsgiref.types import WSGIEnvironment

from services.rest.problems import Problem

VARY = ("Vary", "Accept")

# A comma or semicolon inside a quoted string separates nothing. A quoted string without an end
# extends to the end of the header: to search for its end again and again would be quadratic.
_ELEMENT = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*(?:"|\\?$))+')
_PARAMETER = re.compile(r'(?:[^;"]|"(?:[^"\\]|\\.)*(?:"|\\?$))+')
_QVALUE = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?")


def acceptable(environ: WSGIEnvironment, *offered: str) -> str:
    """Return the media type of those `offered` that the client prefers.

    Of several with the same quality that is the first. Raises a 406 Problem if the client accepts
    none.
    """
    best = preferred(environ.get("HTTP_ACCEPT", ""), offered)
    if not best:
        raise Problem(
            HTTPStatus.NOT_ACCEPTABLE, f"Available here: {', '.join(offered)}.", headers=[VARY]
        )
    return best


@lru_cache(maxsize=64)  # most clients send one of a few values
def preferred(header: str, offered: tuple[str, ...]) -> str | None:
    """Return the best of `offered` for the client that sent this Accept header, if any."""
    ranges = dict(media_ranges(header.strip() or "*/*"))
    quality, best = max(
        ((quality_of(media_type, ranges), media_type) for media_type in offered),
        key=lambda candidate: candidate[0],
    )
    return best if quality else None


def media_ranges(header: str) -> Iterator[tuple[str, float]]:
    """Yield each media range of an Accept header and its quality value, from 0 to 1.

    Parameters other than `q` are ignored: nothing here is offered in versions that differ in them.
    Invalid elements are skipped.
    """
    for element in _ELEMENT.findall(header):
        media_range, *parameters = _PARAMETER.findall(element)
        quality = "1"
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip().lower() == "q":
                quality = value.strip()
        if _QVALUE.fullmatch(quality):
            yield media_range.strip().lower(), float(quality)


def quality_of(media_type: str, ranges: dict[str, float]) -> float:
    """Return the quality of `media_type`: the most specific range that matches it decides."""
    for media_range in (media_type, media_type.partition("/")[0] + "/*", "*/*"):
        if media_range in ranges:
            return ranges[media_range]
    return 0.0
