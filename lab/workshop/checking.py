"""`make check` and `make hint`: run the checks, say what came of them, and what one can do now."""

import argparse
import json
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from clients.addresses import Address
from lab import ROOT, LabError
from lab.workshop import classroom
from lab.workshop.cluster import Cluster, needed
from lab.workshop.language import LANGUAGES, say
from lab.workshop.lesson import Lesson, lessons
from lab.workshop.messages import Messages
from lab.workshop.participant import MINE, chosen, own, short
from lab.workshop.progress import Progress
from lab.workshop.reading import texts
from lab.workshop.report import Report
from lab.workshop.run import Outcome, Target, run
from lab.workshop.speaker import Speaker
from services import addresses

WATCH_SECONDS = 0.3


def check(options: argparse.Namespace) -> int:
    """Check a lesson, once or whenever a file in mine/ changes; return 1 if a check failed."""
    # A terminal that is closed ends the participant's server too.
    signal.signal(signal.SIGHUP, signal.default_int_handler)
    of = chosen(options.number, Progress(MINE))
    wanted = target(of, options)
    classroom.joined()  # a setting that is none is said at once
    with needed(of) as nodes:
        if options.json:
            return as_json(of, run(of, wanted, nodes, everything=options.all))
        if options.watch:
            watch(of, wanted, nodes, options.all)
        return check_once(of, wanted, nodes, options.all)


def watch(of: Lesson, wanted: Target, nodes: Cluster | None, everything: bool) -> NoReturn:
    """Check whenever a file in mine/ changes."""
    speaker = Speaker()
    while True:
        before = contents()
        check_once(of, wanted, nodes, everything)
        speaker.line()
        speaker.say("watching", "dim", folder=short(MINE))
        while contents() == before:
            time.sleep(WATCH_SECONDS)
        saved = say("changed", speaker.language, time=time.strftime("%H:%M:%S"))
        speaker.console.rule(saved, style="dim")


def contents() -> dict[Path, int]:
    """Return the participant's files with the times of their last change."""
    return {file: file.stat().st_mtime_ns for file in MINE.glob("*.py") if file.exists()}


def target(of: Lesson, options: argparse.Namespace) -> Target:
    """Return what is to be checked; LabError if that is nothing."""
    if options.at:
        if of.role != "server":
            raise LabError(f"AT has value {options.at!r}. Lesson {of.number} is about a client")
        try:
            return Target(address=Address(*addresses.split(options.at)))
        except ValueError as error:
            raise LabError(f"AT has value {options.at!r}. Not {error}") from None
    if options.program:
        program, *arguments = shlex.split(options.program)
        if not (found := shutil.which(program)):
            raise LabError(f"RUN has value {options.program!r}. There is no program {program!r}")
        return Target(command=[str(Path(found).absolute()), *arguments])
    file = (options.file or own(of)).absolute()
    if not file.is_file():
        raise LabError(f"there is no {short(file)}: `make lesson N={of.number}` makes it")
    return of_file(file)


def of_file(file: Path) -> Target:
    """Return what starts a file: a participant's, or one of ours."""
    if ROOT / "services" in file.parents:  # a server of the lab
        module = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        return Target(command=[sys.executable, "-m", module], file=file)
    return Target(command=[sys.executable, str(file)], file=file)


def as_json(of: Lesson, outcomes: Iterable[Outcome]) -> int:
    """Print a line for each outcome; return 1 if one has failed."""
    failed = False
    for each in outcomes:
        failed = failed or each.state == "failed"
        line = {
            "check": each.check,
            "state": each.state,
            "kind": each.kind,
            "figures": dict(each.figures),
            "trace": each.trace._asdict() if each.trace else None,
            "said": {language: said(Messages(of, language), each) for language in LANGUAGES},
        }
        print(json.dumps(line, default=repr), flush=True)
    return int(failed)


def said(messages: Messages, outcome: Outcome) -> list[str]:
    """Return the sentences about an outcome."""
    match outcome.state:
        case "passed":
            return [messages.passed(outcome.check, outcome.figures)]
        case "failed":
            return list(messages.failed(outcome.check, outcome.kind, outcome.figures))
        case _:
            return []


def check_once(of: Lesson, wanted: Target, nodes: Cluster | None, everything: bool) -> int:
    """Check once, and say what came of it; return 1 if a check failed."""
    speaker = Speaker()
    theirs = wanted.file == own(of)
    report = Report(speaker.console, of, speaker.language, MINE / "pictures" if theirs else None)
    report.header(
        short(wanted.file) if wanted.file else str(wanted.address or shlex.join(wanted.command))
    )
    outcomes = report.show(run(of, wanted, nodes, everything=everything))
    hint_is_due = remember(of, outcomes) if theirs else False
    if not wanted.file:  # their program or address, for which there are hints too
        note_failing(of, outcomes)
    conclude(speaker, of, report, outcomes, theirs=theirs, hint_is_due=hint_is_due)
    if theirs and (joined := classroom.joined()):
        classroom.tell(speaker, *joined)
    return int(any(each.state == "failed" for each in outcomes))


def conclude(
    speaker: Speaker,
    of: Lesson,
    report: Report,
    outcomes: list[Outcome],
    *,
    theirs: bool,
    hint_is_due: bool,
) -> None:
    """Say how many have passed, and what comes next."""
    passed = sum(each.state == "passed" for each in outcomes)
    skipped = sum(each.state == "skipped" for each in outcomes)
    failing = next((each for each in outcomes if each.state == "failed"), None)
    if failing:
        speaker.say("some", "bold", passed=passed, count=len(outcomes))
        if hint_is_due:
            show_hint(speaker, of, failing.check)
        else:
            watch = f"`make check N={of.number} WATCH=1`"
            speaker.say("more", hint="`make hint`", watch=watch)
        return
    said = "black_box" if skipped else "done"
    speaker.say(said, "bold green", count=passed, skipped=skipped)
    if theirs:
        speaker.page(texts(of, speaker.language)[1])
        for each in outcomes:
            if each.check == of.picture:
                report.picture(each)
        speaker.line()
        speaker.say("ours", command=f"`make solution N={of.number}`")
        if of.number + 1 in [each.number for each in lessons()]:
            speaker.say("next", command=f"`make lesson N={of.number + 1}`")


def remember(of: Lesson, outcomes: list[Outcome]) -> bool:
    """Write down what has come of a check; return whether it is time for a hint."""
    progress = Progress(MINE)
    progress.current = of.number
    passed = [each.check for each in outcomes if each.state == "passed"]
    failing = first_failed(outcomes)
    progress.checked(of.number, passed, len(outcomes), failing)
    due = bool(failing) and progress.failed(of.number, failing, own(of).read_bytes())
    progress.save()
    return due


def note_failing(of: Lesson, outcomes: list[Outcome]) -> None:
    """Write down which check `make hint` is about now, and nothing else."""
    progress, failing = Progress(MINE), first_failed(outcomes)
    if failing or of.number in progress.lessons:
        progress.current = of.number
        progress.of(of.number).failing = failing
        progress.save()


def first_failed(outcomes: list[Outcome]) -> str:
    """Return the first check that has failed, or ""."""
    return next((each.check for each in outcomes if each.state == "failed"), "")


def hint(number: int | None) -> int:
    """Print the next hint for the check that has failed last."""
    speaker, progress = Speaker(), Progress(MINE)
    of = chosen(number, progress)
    if failing := progress.of(of.number).failing:
        show_hint(speaker, of, failing)
    else:
        speaker.say("no_hint", number=of.number, command=f"`make check N={of.number}`")
    return 0


def show_hint(speaker: Speaker, of: Lesson, failing: str) -> None:
    """Print the next hint for a check."""
    progress = Progress(MINE)
    hints = Messages(of, speaker.language).hints(failing)
    number = progress.next_hint(of.number, failing, len(hints))
    progress.save()
    speaker.line()
    speaker.say("hint", "bold yellow", number=number, count=len(hints), check=failing)
    speaker.text(hints[number - 1])
    if number == len(hints):
        speaker.say("last_hint", "dim", command=f"`make solution N={of.number} YES=1`")
