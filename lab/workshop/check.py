"""What a lesson's checks.py is written with: a check is a function that gets what is checked.

    @check("1.3")
    def a_reset(mine: Mine) -> None:
        with mine.connect() as client:
            client.ask(b"hello", b"HELLO")
            client.reset()
        if not mine.serves(b"next", b"NEXT"):
            raise Failed(status=mine.status)

It returns the figures for the sentence about its success, or raises Failed with those for the
sentences about its failure: messages.toml has them, by the check's id.
"""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from clients.checks import Check as Promise
from lab import LabError
from lab.workshop.client import Client, Failed
from lab.workshop.lesson import Lesson
from lab.workshop.mine import Mine

__all__ = ["Check", "Client", "Failed", "Figures", "Mine", "check", "checks", "promise"]

Needs = Literal["address", "process"]
Figures = Mapping[str, object]
Run = Callable[[Mine], Figures | None]


@dataclass(frozen=True)
class Check:
    """One check of a lesson; what needs a process cannot be checked of a server elsewhere."""

    id: str
    needs: Needs
    run: Run


def check(identity: str, needs: Needs = "address") -> Callable[[Run], Check]:
    """Make a check of a function."""
    return lambda run: Check(identity, needs, run)


def promise(kept: Promise) -> Run:
    """Return what holds the participant's server to a promise of the lab's own clients."""

    def run(mine: Mine) -> None:
        kept.run(mine.address)

    return run


def checks(lesson: Lesson) -> list[Check]:
    """Return the checks of a lesson, in the order in which checks.py defines them."""
    file = lesson.folder / "checks.py"
    spec = importlib.util.spec_from_file_location(f"checks_{lesson.number}", file)
    if spec is None or spec.loader is None or not file.is_file():
        raise LabError(f"there is no file {file}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return [value for value in vars(module).values() if isinstance(value, Check)]
