"""The participant's folder, workshop/mine: their files, which nothing here ever overwrites."""

import shutil
from pathlib import Path

from lab import ROOT, LabError
from lab.workshop.lesson import WORKSHOP, Lesson, lesson
from lab.workshop.progress import Progress

MINE = WORKSHOP / "mine"


def own(of: Lesson) -> Path:
    """Return the participant's file of a lesson."""
    return MINE / of.edit


def begin(of: Lesson) -> bool:
    """Copy the start file into mine/, unless there is one; return whether it did."""
    return give(of.start, own(of))


def give(source: Path, to: Path) -> bool:
    """Copy a file into mine/, unless there is one of that name; return whether it did."""
    if to.exists():
        return False
    MINE.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, to)
    return True


def unchanged(of: Lesson) -> bool:
    """Whether the participant's file is still the one that they started from."""
    return own(of).read_bytes() == of.start.read_bytes()


def put_aside(path: Path) -> Path:
    """Rename a file, and return its new name: the first that is free."""
    names = (path.with_name(f"{path.stem}.{count}{path.suffix}") for count in range(1, 10_000))
    aside = next(name for name in names if not name.exists())
    path.rename(aside)
    return aside


def chosen(number: int | None, progress: Progress) -> Lesson:
    """Return the lesson asked for, or the one that was looked at last."""
    wanted = progress.current if number is None else number
    if wanted is None:
        raise LabError("which lesson? `make lesson N=1` begins the first")
    return lesson(wanted)


def short(path: Path) -> str:
    """Return a path as one types it."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
