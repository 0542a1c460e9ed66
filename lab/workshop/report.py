"""What `make check` shows: a line for each check, and three sentences for the one that failed."""

from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.text import Text

from lab.workshop.language import say
from lab.workshop.lesson import Lesson
from lab.workshop.messages import Messages
from lab.workshop.page import put, styled
from lab.workshop.participant import short
from lab.workshop.picture import picture
from lab.workshop.run import Outcome
from lab.workshop.trace import Trace

MARKS = {
    "passed": ("✓", "green"),
    "failed": ("✗", "red"),
    "skipped": ("–", "yellow"),  # noqa: RUF001 - not a minus
    "waiting": ("·", "dim"),
}
INDENT = 10


class Report:
    """The lines of one run, as the outcomes come; pictures are saved into `pictures`."""

    def __init__(
        self, console: Console, lesson: Lesson, spoken: str, pictures: Path | None
    ) -> None:
        self._console, self._lesson, self._spoken = console, lesson, spoken
        self._messages = Messages(lesson, spoken)
        self._pictures = pictures

    def header(self, what: str) -> None:
        """Name the lesson and what is checked."""
        title = self._say(
            "lesson", number=self._lesson.number, title=self._lesson.title[self._spoken]
        )
        self._console.print()
        put(self._console, Text(title, "bold"), 1)
        put(self._console, Text(what, "dim"), 1)
        self._console.print()

    def show(self, outcomes: Iterable[Outcome]) -> list[Outcome]:
        """Print the outcomes as they come, and return them."""
        seen = []
        for outcome in outcomes:
            self.outcome(outcome)
            seen.append(outcome)
        if failed := next((each for each in seen if each.state == "failed"), None):
            self.picture(failed)
        self._console.print()
        return seen

    def outcome(self, outcome: Outcome) -> None:
        """Print one."""
        figures = outcome.figures
        if outcome.state == "passed":
            self._line(outcome, styled(self._messages.passed(outcome.check, figures)))
        elif outcome.state == "failed":
            did, came, means = self._messages.failed(outcome.check, outcome.kind, figures)
            self._line(outcome, styled(did))
            put(self._console, styled(came, "bold"), INDENT)
            if outcome.trace:
                self._trace(outcome.trace)
            put(self._console, styled(means), INDENT)
        else:
            self._line(outcome, Text(self._say(outcome.state), "dim"))

    def picture(self, outcome: Outcome) -> None:
        """Print the picture of what a check recorded, if there is one, and save it."""
        file = self._pictures / f"{outcome.check}.svg" if self._pictures else None
        columns = min(self._console.width, 80) - 3
        if drawn := picture(outcome.recordings, self._spoken, columns, file):
            self._console.print()
            for line in drawn.splitlines():
                self._console.print(Text("  " + line), soft_wrap=True)
            if file:
                put(self._console, Text(self._say("saved", file=short(file)), "dim"), 2)

    def _line(self, outcome: Outcome, text: Text) -> None:
        mark, style = MARKS[outcome.state]
        lead = Text.assemble("  ", (mark, f"bold {style}"), " ", (outcome.check, style))
        put(self._console, text, INDENT, lead)

    def _trace(self, trace: Trace) -> None:
        where = self._say("where", file=trace.file, line=trace.line)
        put(self._console, Text(where, "dim"), INDENT)
        put(self._console, Text(trace.code, "cyan"), INDENT + 2)
        put(self._console, Text(trace.error, "red"), INDENT + 2)

    def _say(self, name: str, **figures: object) -> str:
        return say(name, self._spoken, **figures)
