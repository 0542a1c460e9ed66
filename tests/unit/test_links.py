"""The links of the documents lead somewhere."""

import re
from pathlib import Path

import pytest

from lab import ROOT

LINK = re.compile(r"\]\(([^)\s]+)\)")
PAGES = [
    *ROOT.glob("*.md"),
    *(page for name in ("docs", "services", "workshop") for page in (ROOT / name).rglob("*.md")),
]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_what_is_there(page: Path) -> None:
    """To a file or folder of the repository, and to a heading where they name one."""
    dead = []
    for link in LINK.findall(page.read_text()):
        if link.startswith(("http://", "https://")):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert dead == []
