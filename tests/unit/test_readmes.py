"""README.md and README.zh.md have the same structure, code, tables, links and pictures."""

import re
from collections import Counter
from collections.abc import Callable

import pytest

from lab import ROOT

ENGLISH = (ROOT / "README.md").read_text(encoding="utf-8")
CHINESE = (ROOT / "README.zh.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
COUNTERPARTS = {"README.zh.md": "README.md", "workshop/README.md#中文": "workshop/README.md"}


def outline(page: str) -> list[str]:
    """Return what each line begins: a heading of a level, a row of so many cells, a block, or text.

    Consecutive lines of text are one, as each language has line breaks of its own.
    """
    kinds: list[str] = []
    for line in BLOCK.sub("```", page).splitlines():
        if heading := re.match(r"#+ ", line):
            kinds.append(heading[0].strip())
        elif line.startswith("|"):
            kinds.append(f"row of {line.count('|') - 1}")
        elif line.startswith(("```", "![")):
            kinds.append(line[:2])
        elif not line or kinds[-1] != "text":
            kinds.append("text" if line else "")
    return kinds


def code(page: str) -> list[str]:
    """Return the blocks of code, in order."""
    return BLOCK.findall(page)


def inline_code(page: str) -> Counter[str]:
    """Return commands and names within sentences, whose order is the language's."""
    return Counter(re.findall(r"`([^`]+)`", BLOCK.sub("", page)))


def links(page: str) -> Counter[tuple[str, str]]:
    """Return the targets of links and pictures; one that has a page in Chinese is the English."""
    found = re.findall(r"(!?)\[[^]]*\]\(([^)]+)\)", page)
    return Counter((kind, COUNTERPARTS.get(target, target)) for kind, target in found)


@pytest.mark.parametrize("part", [outline, code, inline_code, links])
def test_both_have_the_same(part: Callable[[str], object]) -> None:
    """Whoever changes one of them changes the other."""
    assert part(CHINESE) == part(ENGLISH)


def test_each_links_to_the_other_below_its_title() -> None:
    """So that a reader finds their language first."""
    assert ENGLISH.splitlines()[2] == "[简体中文](README.zh.md)"
    assert CHINESE.splitlines()[2] == "[English](README.md)"
