"""What the commands say on the terminal, beside what they are asked for: progress, to stderr."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

console = Console(stderr=True, highlight=False)


def say(text: str, style: str = "") -> None:
    """Print a message; on a terminal no word of it is cut in two, elsewhere no line is."""
    console.print(text, style=style, markup=False, soft_wrap=not console.is_terminal)


def complain(text: str) -> None:
    """Say what is wrong."""
    say(text, "red")


@contextmanager
def step(what: str) -> Iterator[None]:
    """Say what is being done, with a spinner on a terminal, and how long it took."""
    started = time.monotonic()
    if not console.is_terminal:
        console.print(f"{what} ...")
    with console.status(f"{what} ..."):
        yield
    console.print(f"{what}: done in {time.monotonic() - started:.0f} s")
