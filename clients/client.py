"""What a client module offers: to health checks, the exercise, the comparison, tests, the terminal.

A client is a module, `clients.kv` for the service kv, and these are the names in it.
"""

import importlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, cast

from clients.addresses import Address
from clients.checks import Check

if TYPE_CHECKING:
    import argparse

Ask = Callable[[str], object]
"""Makes one exchange about a word; raises WrongAnswer for the answer to another one."""


class Checked(Protocol):
    """A module with checks."""

    @property
    def CHECKS(self) -> tuple[Check, ...]:  # noqa: N802 - a constant of the module
        """What the service is held to, in the order in which it is checked."""


class Client(Checked, Protocol):
    """The client of a service. Times are in seconds."""

    def health(self, address: Address, timeout: float, /) -> None:
        """Make one exchange; raise OSError without an answer, WrongAnswer for a wrong one."""

    def conversation(self, where: Any, timeout: float, /) -> AbstractContextManager[Ask]:
        """Connect to an address, or to the UNIX socket of a path; lend what asks, again and again.

        `timeout` is for each wait on the network.
        """


class Subcommand(Protocol):
    """What the command line runs."""

    @property
    def SERVICE(self) -> str:  # noqa: N802 - a constant of the module
        """The service that it talks to, as messages name it."""

    def configure(self, parser: "argparse.ArgumentParser", /) -> None:
        """Describe the subcommand's arguments."""

    def command(self, options: "argparse.Namespace", address: Address, /) -> None:
        """Carry it out."""


def module_name(name: str) -> str:
    """Return the module of a service or a subcommand: that of tcp-echo is `clients.tcp_echo`."""
    return f"{__package__}.{name.replace('-', '_')}"


def client(service: str) -> Client:
    """Import the client of a service; ModuleNotFoundError where there is none."""
    return cast(Client, importlib.import_module(module_name(service)))


def checked(subject: str) -> Checked:
    """Import a module with checks: the client of a service, or cidr."""
    return cast(Checked, importlib.import_module(module_name(subject)))


def subcommand(name: str) -> Subcommand:
    """Import what a subcommand runs."""
    return cast(Subcommand, importlib.import_module(module_name(name)))
