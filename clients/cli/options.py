"""How the command line reads values: a wrong one is named, with what it should have been."""

import os
import re
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")


class Parser(ArgumentParser):
    """Takes for a value what begins with one hyphen and is no option: -1e3, -inf, -(1), -x.

    ArgumentParser does so with numbers such as -1 and -1.5 only, and reads -hello as -h. What
    begins with two hyphens is an option, and a wrong one where there is none of that name.
    """

    def _parse_optional(self, arg_string: str) -> Any:
        """Return None for a value, the option otherwise."""
        option = arg_string[:2]
        if option != "--" and option not in self._option_string_actions:
            return None
        if option == "-h" != arg_string:
            return None
        return super()._parse_optional(arg_string)

    def actions(self) -> list[ArgumentParser]:
        """Return the parsers of its subcommands."""
        return [
            parser
            for found in self._actions
            if isinstance(found.choices, dict)
            for parser in found.choices.values()
            if isinstance(parser, ArgumentParser)
        ]

    def refuse(self, unknown: list[str], hint: str) -> NoReturn:
        """Exit with the usage, what is unknown, the options nearest to it, and a hint."""
        names = [word.partition("=")[0] for word in unknown]
        known = self._option_string_actions
        nearest = [near for name in names for near in get_close_matches(name, known, 1, 0.7)]
        meant = f"perhaps {' and '.join(nearest)}" if nearest else ""
        more = "; ".join(filter(None, [meant, hint]))
        self.error(f"unrecognized arguments: {' '.join(unknown)}{more and ': '}{more}")


def parsed(what: str, parse: Callable[[str], T]) -> Callable[[str], T]:
    """Make an argument type of a function that raises ValueError for what is not `what`."""

    def typed(text: str) -> T:
        try:
            return parse(text)
        except ValueError:
            raise ArgumentTypeError(f"{text!r} is not {what}") from None

    return typed


def number_from(lowest: int, highest: int) -> Callable[[str], int]:
    """Make an argument type of the whole numbers in a range."""

    def parse(text: str) -> int:
        if not lowest <= (value := int(text)) <= highest:
            raise ValueError
        return value

    return parsed(f"a whole number from {lowest:,} to {highest:,}", parse)


def _seconds(text: str) -> float:
    if not 0.001 <= (value := float(text)) <= 86400:
        raise ValueError
    return value


def _existing_file(text: str) -> Path:
    if not (Path(text).is_file() and os.access(text, os.R_OK)):
        raise ValueError
    return Path(text)


seconds = parsed("a number of seconds from 0.001 to 86400", _seconds)
existing_file = parsed("a file that can be read", _existing_file)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ValueError
    return name, value


def _header(text: str) -> tuple[str, str]:
    # RFC 9110, 5.1 and 5.5: what a name and a value can have in them.
    if not (parts := re.fullmatch(r"([\w!#$%&'*+.^`|~-]+):[ \t]*([ -~\t]*)", text, re.ASCII)):
        raise ValueError
    return parts[1], parts[2].rstrip()


pair = parsed("NAME=VALUE", _pair)
header = parsed("'NAME: VALUE'", _header)
