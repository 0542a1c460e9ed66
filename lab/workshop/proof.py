"""What `make workshop-ready` runs with the network cut off: lesson 1, then a check of each lesson.

    python -m lab.workshop.proof

Our solution has to pass, so whatever fails is not the participant's: it is missing here. The first
check of a lesson takes all that the others do: the server, the relay, the libraries.
"""

import sys

from lab import LabError, engine
from lab.stack import Stack
from lab.workshop.checking import of_file
from lab.workshop.language import say
from lab.workshop.lesson import Lesson, lesson, lessons
from lab.workshop.report import Report
from lab.workshop.run import run
from lab.workshop.speaker import Speaker

WITH_ENGINE = ("engine", "cluster")
PROVED = 1  # the lesson of which all checks are made


def main() -> int:
    """Print what works and what does not; return 1 if anything does not."""
    speaker = Speaker()
    first = lesson(PROVED)
    report = Report(speaker.console, first, speaker.language, None)
    report.header(f"{first.folder.name}/{first.solution.name}")
    outcomes = report.show(run(first, of_file(first.solution)))
    missing = [each for each in outcomes if each.state != "passed"]
    failed = [each for each in lessons() if not row(speaker, each)]
    return int(bool(missing or failed))


def row(speaker: Speaker, of: Lesson) -> bool:
    """Print what a lesson needs and whether that is there; return whether it is."""
    problem = problem_with(of)
    needs = ", ".join(filter(None, (of.service, need(of, speaker.language))))
    title = f"{of.number:2} {of.title[speaker.language]}"
    said = say("ready_lesson", speaker.language, title=title, needs=needs)
    speaker.text(f"{'✗' if problem else '✓'} {said}", "red" if problem else "")
    if problem:
        speaker.text(problem, "red", indent=6)
    return not problem


def need(of: Lesson, spoken: str) -> str:
    """Return what a lesson needs beside its service, or nothing."""
    if of.needs in WITH_ENGINE:
        return say("ready_engine", spoken)
    return say("ready_relay", spoken) if of.needs == "relay" else ""


def problem_with(of: Lesson) -> str:
    """Return what is missing for a lesson, or nothing."""
    if of.needs in WITH_ENGINE:
        if not engine.answers():
            return "no engine answers"
        missing = Stack().missing_images()
        return f"no images of {', '.join(missing)}" if missing else ""
    try:
        outcome = next(iter(run(of, of_file(of.solution))))
    except LabError as error:
        return str(error)
    return "" if outcome.state == "passed" else f"{outcome.check} {outcome.kind} {outcome.figures}"


if __name__ == "__main__":
    sys.exit(main())
