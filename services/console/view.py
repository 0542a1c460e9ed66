"""How somebody looks at the page: the language, whose conversations are shown, large type or not.

All of it stands in the query of each URL, so there are no cookies, and a page can be shared.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from services.wire.conversation import SERVICES

LANGUAGES = ("en", "zh")


@dataclass(frozen=True)
class View:
    """What a page, or a stream of its updates, is rendered for. `service` is "" for all of them."""

    language: str = "en"
    service: str = ""
    present: bool = False

    def url(self, path: str = "/", part: str = "", **more: object) -> str:
        """Return the URL of a path in this view; `more` is what else stands in the query."""
        query = {"language": self.language}
        if self.service:
            query["service"] = self.service
        if self.present:
            query["present"] = "1"
        query |= {name: str(value) for name, value in more.items()}
        return f"{path}?{urlencode(query)}" + (f"#{part}" if part else "")

    def but(self, **changes: object) -> "View":
        """Return the same view with something changed."""
        return replace(self, **changes)  # type: ignore[arg-type]


def view_of(query: Mapping[str, str], accept_language: str = "") -> View:
    """Return the view that a query asks for; what it says that cannot be counts as not said."""
    language, service = query.get("language", ""), query.get("service", "")
    return View(
        language if language in LANGUAGES else preferred(accept_language),
        service if service in SERVICES else "",
        query.get("present") == "1",
    )


def preferred(accept_language: str) -> str:
    """Return the one of our languages that Accept-Language prefers (RFC 9110, 12.5.4)."""
    found: dict[str, float] = {}
    for part in accept_language[:1000].split(","):
        name, _, weight = part.partition(";")
        language = name.strip().lower()[:2]
        if language in LANGUAGES:
            found[language] = max(found.get(language, 0.0), quality(weight))
    return max(LANGUAGES, key=lambda each: found.get(each, 0.0))


def quality(weight: str) -> float:
    """Return the number in `q=0.8`; 1 without one, and 0 for what is none."""
    name, _, value = weight.strip().partition("=")
    if not name:
        return 1.0
    try:
        number = float(value)
    except ValueError:
        return 0.0
    return number if 0 <= number <= 1 else 0.0
