"""`make demo`: the clients, in their container or, where they are to read or write a file, here."""

import json
import os
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clients.addresses import RELAY, Address, variables
from clients.cli import main as command_line
from clients.cli import report
from clients.cli.exercise import Result
from lab import ROOT, LabError, interrupts
from lab.description import replicated
from lab.stack import Stack


def run(stack: Stack, arguments: list[str]) -> int:
    """Run the clients against a stack; return their exit status.

    Their container has no file of the caller's, and keeps none. So a subcommand that names one
    runs on this machine, over the published ports. The exercise uses more than these, the sockets
    in a volume and the network of the containers: it runs there, and its picture is drawn here.
    """
    options = command_line.parsed(arguments)  # a usage error is one before anything is started
    if not any(isinstance(value, Path) for value in values(options)):
        # What is shown of the relay is where its ports are published.
        shown = variables({}, stack.relayed()) if options.subcommand == RELAY else {}
        return stack.run_clients(*arguments, told=shown)
    if options.svg:
        return draw(stack, options.svg, via_relay=bool(options.via))
    servers = stack.addresses()
    told = variables(servers, stack.relayed()) | replicated(servers)
    command = [sys.executable, "-m", "clients", *arguments]
    return interrupts.run(command, cwd=ROOT, env={**os.environ, **told}).returncode


def values(options: Namespace) -> Iterator[Any]:
    """Yield the values of all options, and of those that have several, each."""
    for value in vars(options).values():
        yield from value if isinstance(value, list) else (value,)


def draw(stack: Stack, picture: Path, *, via_relay: bool) -> int:
    """Exercise a stack and print the table, also as a picture; raises LabError where it cannot."""
    try:
        held = report.show(picture, lambda: exercised(stack, via_relay=via_relay), via_relay)
    except ValueError as error:
        raise LabError(str(error)) from None
    return 0 if held else 1


def exercised(stack: Stack, *, via_relay: bool = False) -> list[Result]:
    """Run the clients of a stack and return what came of each check."""
    via = ("--via", "relay") if via_relay else ()
    done = stack.run("run", "--rm", "--no-TTY", "clients", "--json", *via, capture=True)
    if not done.stdout:
        raise LabError(f"the clients did not run:\n{done.stderr.strip()}")
    return [
        Result(row["service"], address(row["address"]), row["check"], row["error"], row["seconds"])
        for row in json.loads(done.stdout)["checks"]
    ]


def address(where: str) -> Address:
    """Return what `str` of an address was made from; where there is no server, its port is 0."""
    host, _, port = where.rpartition(":")
    return Address(host.strip("[]"), int(port))
