"""`make class`: who is where, for a teacher who looks whom to help."""

import argparse
import json
import time
import xmlrpc.client
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from clients import class_results
from clients.addresses import Address
from clients.checks import WrongAnswer
from clients.class_results import Class, Reached
from lab import LabError
from lab.workshop import class_server, classroom
from lab.workshop.language import say
from lab.workshop.speaker import Speaker

WATCH_SECONDS = 2.0


def show(options: argparse.Namespace) -> int:
    """Show what all have reached, once, whenever it changes, or for a program."""
    where = classroom.server() or class_server.address()
    if options.json:
        print(json.dumps(document(read(where)), ensure_ascii=False))
        return 0
    speaker = Speaker()
    if not options.watch:
        put(speaker, read(where))
        return 0
    before = None
    while True:
        try:
            found, problem = read(where), ""
        except LabError as error:  # it may come back
            found, problem = Class({}), str(error)
        now = minutes(found), problem
        if now != before:
            speaker.console.clear()
            if problem:
                speaker.text(problem, "yellow")
            else:
                put(speaker, found)
        before = now
        time.sleep(WATCH_SECONDS)


def read(where: Address) -> Class:
    """Return what all have reached; raises LabError where the class's kv does not say."""
    try:
        return class_results.read(where)
    except (OSError, WrongAnswer, xmlrpc.client.Error) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise LabError(f"the class server http://{where} does not answer: {reason}") from None


def document(found: Class) -> dict[str, Any]:
    """Return what all have reached, as JSON has it."""
    people = [
        {
            "name": name,
            "lessons": {
                str(number): {
                    "passed": each.passed,
                    "of": each.of,
                    "failing": each.failing,
                    "since": each.since.isoformat(),
                }
                for number, each in sorted(lessons.items())
            },
        }
        for name, lessons in found.people.items()
    ]
    return {"people": people, "ignored": found.ignored}


def put(speaker: Speaker, found: Class) -> None:
    """Print the table, and what it is not for."""
    speaker.line()
    if found.people:
        speaker.console.print(table(found, speaker.language))
    else:
        speaker.say("class_empty", command=f"`make check {class_results.SETTING}=URL`")
    speaker.line()
    if found.ignored:
        speaker.say("class_ignored", "yellow", count=found.ignored)
    speaker.say("class_not_for_grades", "dim")


def table(found: Class, spoken: str) -> Table:
    """Return people by lessons: those that somebody has begun, and how long the latest is so.

    Where a terminal is too narrow, a name goes on in the next line, and nothing is cut off.
    """
    numbers = sorted({number for lessons in found.people.values() for number in lessons})
    made = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    made.add_column("", overflow="fold")
    for number in numbers:
        made.add_column(str(number), justify="center", no_wrap=True)
    made.add_column(say("class_for", spoken), justify="right", no_wrap=True)
    for name, lessons in found.people.items():
        age = say("class_minutes", spoken, minutes=since(lessons)) if lessons else ""
        made.add_row(Text(name), *(cell(lessons.get(number)) for number in numbers), Text(age))
    return made


def cell(reached: Reached | None) -> Text:
    """Return how it is with one lesson: passed, the check that fails, or not begun."""
    if reached is None:
        return Text("·", "dim")
    return Text("✓", "green") if reached.done else Text(reached.failing or "▶", "red")


def since(lessons: Mapping[int, Reached]) -> int:
    """Return for how many minutes the latest of some results is so; clocks may disagree."""
    latest = max(each.since for each in lessons.values())
    return max(0, int((datetime.now(UTC) - latest).total_seconds() / 60))


def minutes(found: Class) -> object:
    """Return all that the table shows, to be compared."""
    return found, [since(lessons) if lessons else 0 for lessons in found.people.values()]
