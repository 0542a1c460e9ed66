"""What a client holds a server to."""

from collections.abc import Callable
from typing import NamedTuple

from clients.addresses import Address


class WrongAnswer(AssertionError):
    """A server answered, but not as it should; the message has what was wanted and what came."""


class Check(NamedTuple):
    """One promise of a service: what it is, and a function that raises where it is not kept.

    `by_address` is False for a check that finds the server otherwise than by the address given.
    """

    what: str
    run: Callable[[Address], object]
    by_address: bool = True


def expect(what: str, actual: object, wanted: object) -> None:
    """Raise WrongAnswer unless `actual` equals `wanted`."""
    if actual != wanted:
        raise WrongAnswer(f"{what}: wanted {wanted!r:.200}, got {actual!r:.200}")
