"""What the commands say on the terminal, beside what they are asked for: progress, to stderr."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from rich.console import Console
from rich.text import Text

from lab import durations

INTERVAL = 30.0  # seconds between lines about the same step, where there is no terminal

console = Console(stderr=True, highlight=False)


def say(text: str, style: str = "") -> None:
    """Print a message; on a terminal no word of it is cut in two, elsewhere no line is."""
    console.print(text, style=style, markup=False, soft_wrap=not console.is_terminal)


def complain(text: str) -> None:
    """Say what is wrong."""
    say(text, "red")


class Step:
    """Something that takes a while: what it is, how far it is, and for how long it has run."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.detail = ""
        last = durations.last(what)
        self.last_time = f" (last time {durations.text(last)})" if last > 1 else ""
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """The time since it began."""
        return time.monotonic() - self._started

    def say(self, detail: str) -> None:
        """Say how far it is, in a few words."""
        self.detail = detail

    def __str__(self) -> str:
        detail = f": {self.detail}" if self.detail else ""
        return f"{self.what}, {durations.text(self.seconds)}{self.last_time}{detail}"

    def __rich__(self) -> Text:
        return Text(str(self), no_wrap=True, overflow="ellipsis")


underway: list[Step] = []  # the innermost last; tests/support/progress.py shows it too


@contextmanager
def step(what: str) -> Iterator[Step]:
    """Say what is being done, and how long it took.

    Meanwhile, on a terminal, a line that changes; elsewhere a line every half a minute.
    """
    current = Step(what)
    underway.append(current)
    try:
        with _live(current) if console.is_terminal else _lines(current):
            yield current
    finally:
        underway.remove(current)
    durations.remember(what, current.seconds)
    say(f"{what}: done in {durations.text(current.seconds)}")


@contextmanager
def _live(current: Step) -> Iterator[None]:
    with console.status(current, refresh_per_second=4):
        yield


@contextmanager
def _lines(current: Step) -> Iterator[None]:
    say(f"{current.what} ...{current.last_time}")
    ended = Event()

    def repeat() -> None:
        while not ended.wait(INTERVAL):
            say(str(current))

    thread = Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
