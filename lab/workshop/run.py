"""Run the checks of a lesson: each has a process of its own, and one outcome."""

import signal
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Literal

from clients.addresses import Address
from clients.checks import WrongAnswer
from lab.workshop.check import Check, checks
from lab.workshop.client import Failed, Recording
from lab.workshop.cluster import Cluster
from lab.workshop.lesson import Lesson
from lab.workshop.mine import Mine
from lab.workshop.trace import Trace, trace

MAX_SECONDS = 30  # of patience: that a check may take, at the pace of an idle machine

State = Literal["passed", "failed", "skipped", "waiting"]


@dataclass(frozen=True)
class Outcome:
    """What a check has found.

    `skipped` needs a process, and there is only an address; `waiting` was not run, because a check
    before it has failed. `kind` and `figures` are those of Failed.
    """

    check: str
    state: State
    kind: str = ""
    figures: Mapping[str, object] = field(default_factory=dict)
    trace: Trace | None = None
    recordings: Sequence[Recording] = ()


@dataclass(frozen=True)
class Target:
    """What is checked: a command that starts the participant's file, or an address."""

    command: Sequence[str] = ()
    file: Path | None = None
    address: Address | None = None


class Overrun(BaseException):
    """A check takes too long. Not an Exception, so that no check takes it for one of its own."""


def run(
    lesson: Lesson, target: Target, nodes: Cluster | None = None, *, everything: bool = False
) -> Iterator[Outcome]:
    """Yield the outcome of each check as it comes; after a failure, run no more unless told to.

    `nodes` are for lessons that need them.
    """
    failed = False
    for check in checks(lesson):
        if failed and not everything:
            yield Outcome(check.id, "waiting")
        elif target.address and check.needs == "process":
            yield Outcome(check.id, "skipped")
        else:
            outcome = run_one(lesson, check, target, nodes)
            failed = failed or outcome.state == "failed"
            yield outcome


def run_one(lesson: Lesson, check: Check, target: Target, nodes: Cluster | None = None) -> Outcome:
    """Run one check, with a server of its own; whatever happens, none is left."""
    with tempfile.TemporaryDirectory(prefix="wirelab-") as folder:
        mine = Mine(
            Path(folder),
            lesson.service,
            target.command,
            lesson.environment,
            target.address,
            nodes,
        )
        kind = ""
        figures: dict[str, object] = {}
        state: State = "failed"
        try:
            with at_most(MAX_SECONDS * mine.patience):
                if target.command and lesson.role == "server":
                    mine.start()
                figures = dict(check.run(mine) or {})
                state = "passed"
        except Failed as failure:
            kind, figures = failure.kind, failure.figures
        except WrongAnswer as error:
            kind, figures = "promise", {"said": str(error)}
        except (OSError, EOFError) as error:
            kind, figures = "broken", {"said": str(error) or type(error).__name__}
        except Overrun:
            kind, figures = "hung", {"seconds": MAX_SECONDS * mine.patience}
        finally:
            mine.kill()
        found = trace(mine.log, target.file) if state == "failed" and target.file else None
        return Outcome(check.id, state, kind, {**mine.figures, **figures}, found, mine.recordings)


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise Overrun in the body of the `with` if it takes longer."""

    def overrun(_number: int, _frame: FrameType | None) -> None:
        raise Overrun

    before = signal.signal(signal.SIGALRM, overrun)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
