"""How the command line reads values: a wrong one is named, with what it should have been."""

import ast
from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


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
    if not Path(text).is_file():
        raise ValueError
    return Path(text)


seconds = parsed("a number of seconds from 0.001 to 86400", _seconds)
existing_file = parsed("a file that is there", _existing_file)


def literal(text: str) -> Any:
    """Return `text` read as a Python literal (42, [1, 2], None), or as it is if it is none."""
    try:
        return ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return text
