"""The voice of the commands: sentences of words.toml, in the participant's language."""

import io
import sys

from rich.console import Console
from rich.text import Text

from lab.workshop import page
from lab.workshop.language import language, say


class Speaker:
    """Prints on standard output; progress and errors of the lab itself go to standard error."""

    def __init__(self) -> None:
        if isinstance(sys.stdout, io.TextIOWrapper):  # such as one for GBK, which has no ✓
            sys.stdout.reconfigure(errors="replace")
        self.console = Console(highlight=False)
        self.language = language()

    def say(self, name: str, style: str = "", **figures: object) -> None:
        """Print a sentence."""
        page.put(self.console, page.styled(say(name, self.language, **figures), style), 1)

    def text(self, text: str | Text, style: str = "", indent: int = 1) -> None:
        """Print a text of a lesson."""
        page.put(self.console, page.styled(text, style) if isinstance(text, str) else text, indent)

    def page(self, markdown: str) -> None:
        """Print a page."""
        page.show(self.console, markdown)

    def line(self) -> None:
        """Print an empty line."""
        self.console.print()
