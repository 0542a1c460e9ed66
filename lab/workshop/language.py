"""The language in which a lesson speaks, and what the commands themselves say in it."""

import os
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from lab import LabError

LANGUAGES = ("en", "zh")
FROM = ("LC_ALL", "LC_MESSAGES", "LANG")  # the first that is set counts: locale(7)


def language(environ: Mapping[str, str] = os.environ) -> str:
    """Return `WIRELAB_LANGUAGE`, else the locale's language if it is one of ours, else English."""
    if asked := environ.get("WIRELAB_LANGUAGE"):
        if asked not in LANGUAGES:
            languages = " or ".join(map(repr, LANGUAGES))
            raise LabError(f"WIRELAB_LANGUAGE has value {asked!r}. Not {languages}")
        return asked
    locale = next((environ[name] for name in FROM if environ.get(name)), "")
    return locale[:2] if locale[:2] in LANGUAGES else "en"


@cache
def words() -> dict[str, Any]:
    """Return words.toml: for each language what the commands say, and failures of any check."""
    with Path(__file__).with_name("words.toml").open("rb") as file:
        return tomllib.load(file)


def say(name: str, spoken: str, **figures: object) -> str:
    """Return one of the sentences of the commands, filled in."""
    sentence: str = words()["say"][name][spoken]
    return sentence.format(**figures)
