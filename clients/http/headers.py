"""Headers of a request, each name once: http.client, urllib and requests keep them in a dict."""

from collections.abc import Iterable


def combined(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return headers with the values of one name in one, in their order; the first spelling stays.

    Values are joined by a comma, which means the same as a line for each (RFC 9110, 5.3), and
    cookies by a semicolon (RFC 6265, 5.4). An empty value adds nothing to others.
    """
    values: dict[str, list[str]] = {}
    names: dict[str, str] = {}
    for name, value in headers:
        names.setdefault(name.lower(), name)
        values.setdefault(name.lower(), []).append(value)
    return {
        names[key]: ("; " if key == "cookie" else ", ").join(filter(None, several))
        for key, several in values.items()
    }
