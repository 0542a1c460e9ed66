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
# Clients also write .9 and 0.1234, which RFC 9110, 12.4.2, does not have.
_WEIGHT = re.compile(r'[ \t"]*([0-9]+\.?[0-9]*|\.[0-9]+)')
_ALIASES = {"*": "*/*", "text/xml": "application/xml"}  # the first is Java's; RFC 7303, 9.2


def acceptable(environ: WSGIEnvironment, *offered: str) -> str:
    """Return the media type of those `offered` that the client prefers.

    Of several that it likes equally, that is the first. Raises a 406 Problem if it accepts none.
    """
    best = preferred(environ.get("HTTP_ACCEPT", ""), offered)
    if not best:
        raise Problem(
            HTTPStatus.NOT_ACCEPTABLE, f"Available here: {', '.join(offered)}.", headers=[VARY]
        )
    return best


@lru_cache(maxsize=64)  # most clients send one of a few values
def preferred(header: str, offered: tuple[str, ...]) -> str | None:
    """Return the best of `offered` for the client that sent this Accept header, if any.

    A header that names nothing accepts everything.
    """
    # What is offered here has no parameters, so a range without any goes before one that has some.
    # Of equal ranges the one with the higher weight counts.
    ranges = {name: weight for _, weight, name in sorted(media_ranges(header))} or {"*/*": 1.0}
    best = max(offered, key=lambda media_type: preference(media_type, ranges))
    return best if preference(best, ranges)[0] else None


def media_ranges(header: str) -> Iterator[tuple[bool, float, str]]:
    """Yield for each media range of an Accept header whether it has no parameters, and its weight.

    A weight is from 0 to 1. One that is no number is as good as none, and counts as 1.
    """
    for element in _ELEMENT.findall(header):
        media_range, *parameters = _PARAMETER.findall(element) or [""]
        name, weight, plain = media_range.strip().lower(), 1.0, True
        for parameter in parameters:
            attribute, _, value = parameter.partition("=")
            if attribute.strip().lower() != "q":
                plain = False
            elif number := _WEIGHT.match(value):
                weight = min(1.0, float(number[1]))
        if name:
            yield plain, weight, _ALIASES.get(name, name)


def preference(media_type: str, ranges: dict[str, float]) -> tuple[float, int]:
    """Return the weight of the most specific range that matches `media_type`, and how specific.

    The second decides between equal weights: `application/json, */*` rather means JSON.
    """
    for specificity, media_range in (
        (2, media_type), (1, media_type.partition("/")[0] + "/*"), (0, "*/*")
    ):  # fmt: skip
        if media_range in ranges:
            return ranges[media_range], specificity
    return 0.0, 0
