"""What the page says, in each of its languages: words.toml."""

import tomllib
from functools import cache
from pathlib import Path

Sentences = dict[str, dict[str, str]]


@cache
def sentences() -> Sentences:
    """Return the sentences of each name, by their languages."""
    with Path(__file__).with_name("words.toml").open("rb") as file:
        return tomllib.load(file)


def say(language: str, name: str, **figures: object) -> str:
    """Return a sentence, with the figures filled in; KeyError for one that there is not."""
    return sentences()[name][language].format(**figures)
