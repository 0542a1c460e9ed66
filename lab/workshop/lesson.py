"""A lesson: its folder in workshop/, and what its lesson.toml says."""

import re
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import ROOT, LabError
from lab.workshop.language import LANGUAGES

WORKSHOP = ROOT / "workshop"
FOLDER = re.compile(r"(\d\d)-[a-z0-9-]+")
NEEDS = ("process", "relay", "engine", "cluster")
WITH_ENGINE = ("engine", "cluster")
ROLES = ("server", "client")


@dataclass(frozen=True)
class Lesson:
    """What a participant changes, and what it is checked by."""

    number: int
    folder: Path
    title: dict[str, str]  # by language
    goal: dict[str, str]  # in one line, for the list
    service: str
    role: str  # of the file: "server", or "client"
    edit: str  # the file's name in mine/
    lines: int  # that change, about; 0 if what one starts from passes
    minutes: int
    needs: str
    recipe: str  # of the seed, that it comes from
    solution: Path
    also: tuple[Path, ...]  # other solutions, such as drivers of services/
    environment: dict[str, str]  # of the file's process
    picture: str  # the id of the check whose picture is shown after a pass, or ""

    @property
    def start(self) -> Path:
        """The file that a participant starts from."""
        return self.folder / "start.py"

    @property
    def wrong(self) -> list[Path]:
        """Servers, or clients, that each fail one check."""
        return sorted(self.folder.glob("wrong/*.py"))


def lessons(workshop: Path = WORKSHOP) -> list[Lesson]:
    """Return all lessons, in their order."""
    folders = sorted(path.parent for path in workshop.glob("*/lesson.toml"))
    return [load(folder) for folder in folders]


def lesson(number: int, workshop: Path = WORKSHOP) -> Lesson:
    """Return a lesson by its number; LabError if there is none."""
    found = {each.number: each for each in lessons(workshop)}
    if number not in found:
        raise no_lesson(number, found)
    return found[number]


def number_typed(text: str) -> int:
    """Return the number of a lesson that somebody typed; LabError for what is no number."""
    try:
        return int(text)
    except ValueError:
        raise no_lesson(repr(text), (each.number for each in lessons())) from None


def no_lesson(wanted: object, known: Iterable[int]) -> LabError:
    """Return the error that says so, and which ones there are."""
    return LabError(f"no lesson {wanted}; there are {', '.join(map(str, known))}")


def load(folder: Path) -> Lesson:
    """Return the lesson of a folder; LabError names the file, the key and the value at fault."""
    if not (numbered := FOLDER.fullmatch(folder.name)):
        raise LabError(f"{folder}: Not a lesson's folder, such as 01-one-socket")
    keys = Keys(folder / "lesson.toml")
    loaded = Lesson(
        number=int(numbered[1]),
        folder=folder,
        title=keys.translated("title"),
        goal=keys.translated("goal"),
        service=keys.text("service"),
        role=keys.choice("role", ROLES, "server"),
        edit=str(keys.take("edit", is_file_name, "the name of a file, such as one_socket.py")),
        lines=keys.number("lines", 0),
        minutes=keys.number("minutes", 1),
        needs=keys.choice("needs", NEEDS, "process"),
        recipe=keys.text("recipe"),
        solution=keys.path(keys.text("solution", "solution.py")),
        also=tuple(map(keys.path, keys.take("also", is_list, "a list", []))),
        environment=dict(keys.take("environment", is_texts, "a table of texts", {})),
        picture=keys.text("picture", ""),
    )
    keys.check_none_left()
    return loaded


class Keys:
    """The keys of a lesson.toml, each of which is taken once.

    All raise LabError, which names the file, the key and the value at fault.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        try:
            self._left = tomllib.loads(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise LabError(f"{file}: {error}") from None

    def take(self, key: str, valid: Callable[[Any], bool], wanted: str, default: Any = None) -> Any:
        """Take a value that is valid, as `wanted` says; without a default it has to be there."""
        value = self._left.pop(key, default)
        if value is None:
            raise LabError(f"{self._file}: {key} is missing")
        if not valid(value):
            raise LabError(f"{self._file}: {key} has value {value!r}. Not {wanted}")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        """Take a text."""
        return str(self.take(key, lambda value: isinstance(value, str), "a text", default))

    def number(self, key: str, least: int) -> int:
        """Take a whole number."""
        wanted = f"a number from {least} up"
        return int(self.take(key, lambda value: type(value) is int and value >= least, wanted))

    def choice(self, key: str, choices: tuple[str, ...], default: str) -> str:
        """Take one of these texts."""
        return str(self.take(key, lambda value: value in choices, " or ".join(choices), default))

    def translated(self, key: str) -> dict[str, str]:
        """Take a text in each language."""
        wanted = f"a table of {', '.join(LANGUAGES)}"
        return dict(
            self.take(key, lambda value: is_texts(value) and {*value} == {*LANGUAGES}, wanted)
        )

    def path(self, name: str) -> Path:
        """Return the file of a name in the lesson's folder, or of a path from the root."""
        found = (ROOT if "/" in name else self._file.parent) / name
        if not found.is_file():
            raise LabError(f"{self._file}: there is no file {found}")
        return found

    def check_none_left(self) -> None:
        """Raise LabError if there are keys that nobody has taken."""
        if self._left:
            raise LabError(f"{self._file}: no such key: {', '.join(self._left)}")


def is_list(value: object) -> bool:
    """Whether it is a list."""
    return isinstance(value, list)


def is_texts(value: object) -> bool:
    """Whether it is a table of texts."""
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())


def is_file_name(value: object) -> bool:
    """Whether it is the name of a Python file."""
    return isinstance(value, str) and bool(re.fullmatch(r"\w+\.py", value))
