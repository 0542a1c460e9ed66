"""The subcommands of the workshop, for `python -m lab`."""

import argparse
from collections.abc import Callable
from pathlib import Path

from lab.workshop import class_table
from lab.workshop.checking import check, hint
from lab.workshop.class_server import class_server
from lab.workshop.helping import catch_up, reset, show_solution
from lab.workshop.lesson import number_typed
from lab.workshop.reading import show_lesson, show_lessons
from lab.workshop.ready import ready

Run = Callable[[argparse.Namespace], int]
Command = Callable[[str, Run, str], argparse.ArgumentParser]


def add(command: Command) -> None:
    """Add them, by what adds one subcommand with its help."""

    def numbered(name: str, run: Run, what: str) -> argparse.ArgumentParser:
        made = command(name, run, what)
        made.add_argument(
            "number", metavar="N", type=number_typed, nargs="?",
            help="a lesson; by default the latest",
        )  # fmt: skip
        return made

    command("lessons", lambda _: show_lessons(), "list the lessons, and how far you are")
    numbered("lesson", lambda options: show_lesson(options.number),
             "begin a lesson, or go on: its file in workshop/mine, its text here")  # fmt: skip
    checking = numbered("check", check, "check your file of a lesson")
    checking.add_argument("--watch", action="store_true", help="again whenever you save a file")
    checking.add_argument("--at", metavar="HOST:PORT", help="a server that runs somewhere")
    checking.add_argument(
        "--run", dest="program", metavar="COMMAND", help="a server in any language"
    )
    checking.add_argument("--file", type=Path, help="another file than yours")
    checking.add_argument("--all", action="store_true", help="go on after a failure")
    checking.add_argument("--json", action="store_true", help="for programs, a line for a check")
    numbered("hint", lambda options: hint(options.number),
             "show the next hint for the check that fails")  # fmt: skip
    solution = numbered("solution", lambda options: show_solution(options.number, options.yes),
                        "show the difference between your file and ours")  # fmt: skip
    solution.add_argument("--yes", action="store_true", help="also before your file passes")
    numbered("reset", lambda options: reset(options.number),
             "begin a lesson's file anew; what you had is kept")  # fmt: skip
    numbered("catch-up", lambda options: catch_up(options.number),
             "go on with a lesson, with our solutions of those before")  # fmt: skip
    command("class-server", lambda _: class_server(),
            "open a place for the results of a class to this machine's network")  # fmt: skip
    of_all = command("class", class_table.show, "show who of a class is where")
    of_all.add_argument("--watch", action="store_true", help="again whenever that changes")
    of_all.add_argument("--json", action="store_true", help="for programs")
    command("workshop-ready", lambda _: ready(),
            "get all that the lessons need, and prove it with the network cut off")  # fmt: skip
