"""The command line of the clients: `python -m clients --help`."""

import argparse
import importlib
import sys
from http.client import HTTPException
from itertools import takewhile
from multiprocessing import AuthenticationError
from pathlib import Path
from types import ModuleType
from xml.parsers.expat import ExpatError
from xmlrpc.client import Fault, ProtocolError

from clients.addresses import PORTS, Address, address
from clients.exercise import LOOPBACK
from clients.options import seconds
from clients.variants import NotRunning

SUBCOMMANDS = {
    "tcp-echo": "send text and see it come back",
    "udp-time": "ask for the time, as ping does: loss, round trips, clock offset",
    "http": "make HTTP requests to httpbin, with urllib or requests",
    "rest": "use the REST service",
    "kv": "use the key-value store",
    "object-echo": "send an object and see it come back",
    "rpc": "call a remote function",
    "relay": "show the relay's proxies and toxics, or give it a profile",
    "cidr": "ask about a network, or sweep the lab's own",
}
MODULES = {"http": "httpbin"}
UNTIMED = ("udp-time", "cidr")  # they have other options for that, or nothing to wait for
WITHOUT_VARIANTS = ("http", "relay", "cidr")


def parser(chosen: str | None, comparing: bool) -> argparse.ArgumentParser:
    """Return the parser; of the subcommands only the one chosen is set up and imported."""
    main_parser = argparse.ArgumentParser(
        prog="clients",
        description="Talk to the lab's servers. Without a subcommand: exercise all of them, show"
        " the result as a table, and exit with status 0 only if every promise was kept.",
        epilog="`clients SUBCOMMAND --help` explains one.",
    )
    output = main_parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="the exercise's result as JSON")
    output.add_argument("--svg", type=Path, metavar="FILE", help="write its table as a picture too")
    subparsers = main_parser.add_subparsers(dest="subcommand", metavar="SUBCOMMAND")
    for name, what in SUBCOMMANDS.items():
        subparser = subparsers.add_parser(
            name,
            help=what,
            description=what[0].upper() + what[1:] + ".",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name != chosen:
            continue
        if name not in WITHOUT_VARIANTS:
            subparser.add_argument(
                "--all", action="store_true",
                help="compare all variants of the server, which `make up PROFILE=variants` starts",
            )  # fmt: skip
        if comparing:
            subparser.description = f"Compare the variants of {name} in one table."
            subparser.add_argument(
                "--json", action="store_true", dest="as_json", help="the comparison as JSON"
            )
        else:
            if name not in UNTIMED:
                subparser.add_argument(
                    "--timeout", type=seconds, default=5.0, help="seconds to wait (default: 5)"
                )
            module(name).configure(subparser)
    return main_parser


def module(subcommand: str) -> ModuleType:
    """Return the client module of a subcommand."""
    return importlib.import_module(
        f"clients.{MODULES.get(subcommand, subcommand).replace('-', '_')}"
    )


def main(arguments: list[str]) -> int:
    """Run the command line and return the exit status."""
    chosen = next((word for word in arguments if word in SUBCOMMANDS), None)
    # Nothing else that a subcommand takes is then needed, or of use. After `--` it is text.
    comparing = chosen not in WITHOUT_VARIANTS and "--all" in takewhile("--".__ne__, arguments)
    main_parser = parser(chosen, comparing)
    options = main_parser.parse_args(arguments)
    if options.subcommand and (options.json or options.svg):
        main_parser.error("--json and --svg are for the exercise, without a subcommand")
    if options.subcommand is None:
        from clients import report

        try:
            return 0 if (report.as_json() if options.json else report.show(options.svg)) else 1
        except OSError as error:
            raise ValueError(f"--svg has value {str(options.svg)!r}. {error.strerror}") from None
    if comparing:
        from clients import comparison

        try:
            show = comparison.as_json if options.as_json else comparison.show
            return 0 if show(options.subcommand) else 1
        except NotRunning as problem:
            sys.exit(f"clients: {problem}: `make up PROFILE=variants` starts them")
    client = module(options.subcommand)
    where: Address = address(client.SERVICE) if client.SERVICE in PORTS else LOOPBACK
    try:
        client.command(options, where)
    except Fault as fault:
        print(f"clients: {client.SERVICE}: {fault.faultString}", file=sys.stderr)
    except (ProtocolError, ExpatError, HTTPException) as error:
        print(
            f"clients: {client.SERVICE} at {where} speaks another protocol: {error}",
            file=sys.stderr,
        )
    except (OSError, EOFError, AuthenticationError) as error:
        reason = str(error) or type(error).__name__
        print(f"clients: {client.SERVICE} at {where}: {reason}", file=sys.stderr)
    else:
        return 0
    return 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (ValueError, LookupError, OverflowError) as error:
        print(f"clients: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
