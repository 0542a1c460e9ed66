"""What `make workshop-ready` runs with the network cut off: lesson 1, then a check of each lesson.

    python -m lab.workshop.proof

Our solution has to pass, so whatever fails is not the participant's: it is missing here. The first
check of a lesson takes all that the others do: the server, the relay, the libraries.
"""

import sys

from lab import LabError, engine
from lab.stack import Stack
from lab.workshop import cluster
from lab.workshop.checking import of_file
from lab.workshop.language import say
from lab.workshop.lesson import WITH_ENGINE, Lesson, lesson, lessons
from lab.workshop.report import Report
from lab.workshop.run import run
from lab.workshop.speaker import Speaker

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
    """Print what a lesson needs and whether that is there; return whether it is.

    Without an engine the lessons that need one are left out, and marked so.
    """
    left_out = of.needs in WITH_ENGINE and not engine.answers()
    problem = "no container engine answers" if left_out else problem_with(of)
    mark, style = ("–", "yellow") if left_out else ("✗", "red") if problem else ("✓", "")  # noqa: RUF001
    title = f"{of.number:2} {of.title[speaker.language]}"
    needs = say(f"ready_{of.needs}", speaker.language)
    said = say("ready_lesson", speaker.language, title=title, needs=needs)
    speaker.text(f"{mark} {said}", style)
    if problem:
        speaker.text(problem, style, indent=6)
    return left_out or not problem


def problem_with(of: Lesson) -> str:
    """Return what is missing for a lesson, or nothing."""
    if of.needs == "cluster":
        return cluster.missing()
    if of.needs == "engine":
        missing = Stack().missing_images()
        return f"no images of {', '.join(missing)}" if missing else ""
    try:
        outcome = next(iter(run(of, of_file(of.solution))))
    except LabError as error:
        return str(error)
    return "" if outcome.state == "passed" else f"{outcome.check} {outcome.kind} {outcome.figures}"


if __name__ == "__main__":
    sys.exit(main())
