"""The sentences of a lesson's checks, in each language, filled with what was measured.

messages.toml has, for each check and language: `passed`; `did`, `came` and `means` of a failure;
and `hints`. A failure of a named kind has a table of its own with `came` and `means`, or those of
words.toml, which are for any check.
"""

import tomllib
from collections.abc import Mapping
from typing import Any

from lab import LabError
from lab.workshop.language import LANGUAGES, words
from lab.workshop.lesson import Lesson

MAX_BYTES = 24  # of what came, in a sentence


class Messages:
    """The sentences of one lesson in one language."""

    def __init__(self, lesson: Lesson, spoken: str) -> None:
        self._spoken = spoken
        self._file = lesson.folder / "messages.toml"
        self._said = texts(lesson)

    def passed(self, check: str, figures: Mapping[str, object]) -> str:
        """Return the line for a check that has passed."""
        return self._fill(self._of(check)["passed"], figures, check)

    def failed(self, check: str, kind: str, figures: Mapping[str, object]) -> tuple[str, str, str]:
        """Return what the check did, what came, and what that means."""
        did = self.template(check, kind, "did")
        came, means = (
            self._fill(self.template(check, kind, part), figures, check)
            for part in ("came", "means")
        )
        # It may have ended before all of that was measured.
        return did.format_map(Measured(figures)), came, means

    def template(self, check: str, kind: str, part: str) -> str:
        """Return a sentence with its placeholders."""
        own = self._of(check)
        of_any = words()["failed"].get(kind, {}).get(self._spoken, {})
        if part == "did":
            return str(of_any.get("did") or own["did"])
        found = own.get(kind, of_any) if kind else own
        if part not in found:
            raise LabError(f"{self._file}: {part} is missing in {check}.{self._spoken} {kind}")
        return str(found[part])

    def hints(self, check: str) -> list[str]:
        """Return the hints for a check, the vaguest first."""
        return list(self._of(check)["hints"])

    def _of(self, check: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = self._said[check][self._spoken]
        except KeyError:
            raise LabError(f"{self._file}: there is no table {check}.{self._spoken}") from None
        return found

    def _fill(self, sentence: str, figures: Mapping[str, object], check: str) -> str:
        try:
            return sentence.format(**{name: shown(value) for name, value in figures.items()})
        except (KeyError, ValueError, IndexError) as error:
            raise LabError(
                f"{self._file}: {check} was given {sorted(figures)}. Not what {sentence!r} needs:"
                f" {error!r}"
            ) from None


class Measured(dict[str, object]):
    """Figures for a sentence; … stands for what was not measured."""

    def __missing__(self, name: str) -> "NotMeasured":
        return NotMeasured()


class NotMeasured:
    """What has no figure, in whatever format."""

    def __format__(self, form: str) -> str:
        return "…"


def texts(lesson: Lesson) -> dict[str, Any]:
    """Return a lesson's messages.toml; LabError if it is none, or another language is in it."""
    file = lesson.folder / "messages.toml"
    try:
        said = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise LabError(f"{file}: {error}") from None
    for check, languages in said.items():
        if {*languages} != {*LANGUAGES}:
            raise LabError(f"{file}: {check} is in {', '.join(languages)}")
    return said


def shown(value: object) -> object:
    """Return a figure as it stands in a sentence: bytes as Python writes them, and not too many."""
    if isinstance(value, bytes):
        return repr(value) if len(value) <= MAX_BYTES else repr(value[:MAX_BYTES]) + "…"
    return value
