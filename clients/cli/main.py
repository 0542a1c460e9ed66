"""The parser of the command line, and what goes wrong put into words."""

import argparse
import signal
import sys
from itertools import pairwise, takewhile
from multiprocessing import AuthenticationError
from pathlib import Path
from xmlrpc.client import Fault, ProtocolError

from clients.addresses import PORTS, RELAY, Address, address, through_relay
from clients.checks import WrongAnswer
from clients.cli import output
from clients.cli.exercise import LOOPBACK
from clients.cli.options import Parser, seconds
from clients.cli.variants import NotRunning
from clients.client import subcommand
from services.version import VERSION

SUBCOMMANDS = {
    "tcp-echo": "send text and see it come back",
    "udp-time": "ask for the time, as ping does: loss, round trips, clock offset",
    "http": "make HTTP requests to httpbin, with urllib or requests",
    "rest": "use the REST service",
    "kv": "use the key-value store",
    "object-echo": "send an object and see it come back",
    "rpc": "call a remote function",
    "relay": "show the relay's proxies and toxics, or give it a profile",
    "wire": "show what has passed through the relay, as ladders",
    "console": "show how the servers do, as the console's page has it",
    "cidr": "ask about a network, or sweep the lab's own",
}
MODULES = {"http": "http.command"}
UNTIMED = ("udp-time", "cidr")  # they have other options for that, or nothing to wait for
WITHOUT_VARIANTS = ("http", "relay", "wire", "console", "cidr")
NOT_THROUGH_RELAY = ("relay", "wire", "console", "cidr")


def parsers(chosen: str | None, comparing: bool) -> tuple[Parser, Parser]:
    """Return the parser, and that of the subcommand chosen, or itself; no other is set up."""
    main_parser = Parser(
        prog="clients",
        description="Talk to the lab's servers. Without a subcommand: exercise all of them, show"
        " the result as a table, and exit with status 0 only if every promise was kept.",
        epilog="`clients SUBCOMMAND --help` explains one.",
    )
    main_parser.add_argument("--version", action="version", version=f"wirelab {VERSION}")
    form = main_parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="the exercise's result as JSON")
    form.add_argument("--svg", type=Path, metavar="FILE", help="write its table as a picture too")
    add_via(main_parser, None, comparing=False)
    subparsers = main_parser.add_subparsers(dest="subcommand", metavar="SUBCOMMAND")
    chosen_parser = main_parser
    for name, what in SUBCOMMANDS.items():
        subparser = subparsers.add_parser(
            name,
            help=what,
            description=what[0].upper() + what[1:] + ".",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name != chosen:
            continue
        chosen_parser = subparser
        add_via(subparser, argparse.SUPPRESS, comparing)  # it may stand before the subcommand too
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
                add_timeout(subparser, 5.0)
            subcommand(MODULES.get(name, name)).configure(subparser)
            for action in subparser.actions():  # they may stand behind it too
                add_via(action, argparse.SUPPRESS, comparing)
                add_timeout(action, argparse.SUPPRESS)
    return main_parser, chosen_parser


def add_via(to: argparse.ArgumentParser, default: str | None, comparing: bool) -> None:
    """Add the option for another way to the services than the direct one."""
    what = "talk to the service through the relay, which `clients wire` shows afterwards"
    what = argparse.SUPPRESS if comparing else what  # known, to be refused with a reason
    to.add_argument("--via", choices=[RELAY], default=default, help=what)


def add_timeout(to: argparse.ArgumentParser, default: float | str) -> None:
    """Add the option for how long to wait."""
    to.add_argument("--timeout", type=seconds, default=default, help="seconds to wait (default: 5)")


def parsed(arguments: list[str]) -> argparse.Namespace:
    """Return the options; exit with the usage where there is something wrong with them.

    `comparing` is among them: whether variants are to be compared.
    """
    # A subcommand's name may be an option's value before it.
    words = (
        word for before, word in pairwise(["", *arguments]) if before not in ("--via", "--svg")
    )
    chosen = next((word for word in words if word in SUBCOMMANDS), None)
    # Nothing else that a subcommand takes is then needed, or of use. After `--` it is text.
    comparing = chosen not in WITHOUT_VARIANTS and "--all" in takewhile("--".__ne__, arguments)
    main_parser, chosen_parser = parsers(chosen, comparing)
    options, unknown = main_parser.parse_known_args(arguments)
    if unknown:
        hint = "what comes after `--` is text" if chosen and not comparing else ""
        chosen_parser.refuse(unknown, hint)
    if options.subcommand and (options.json or options.svg):
        main_parser.error("--json and --svg are for the exercise, without a subcommand")
    if options.via:
        if comparing:
            main_parser.error("--via and --all: the relay leads to no variants")
        if options.subcommand in NOT_THROUGH_RELAY:
            main_parser.error(f"--via: {options.subcommand} has no way through the relay")
        if getattr(options, "unix", False):
            main_parser.error("--via and --unix: the relay leads to no UNIX socket")
    options.comparing = comparing
    return options


def main(arguments: list[str]) -> int:
    """Run the command line and return the exit status."""
    options = parsed(arguments)
    if options.subcommand is None:
        from clients.cli import report

        via_relay = bool(options.via)
        held = (
            report.as_json(via_relay) if options.json else report.show(options.svg, None, via_relay)
        )
        return 0 if held else 1
    if options.comparing:
        from clients.cli import comparison

        try:
            show = comparison.as_json if options.as_json else comparison.show
            return 0 if show(options.subcommand) else 1
        except NotRunning as problem:
            sys.exit(f"clients: {problem}: `make up PROFILE=variants` starts them")
    chosen_one = subcommand(MODULES.get(options.subcommand, options.subcommand))
    find = through_relay if options.via else address
    where: Address = find(chosen_one.SERVICE) if chosen_one.SERVICE in PORTS else LOOPBACK
    try:
        chosen_one.command(options, where)
    except Fault as fault:
        print(f"clients: {chosen_one.SERVICE}: {fault.faultString}", file=sys.stderr)
    except (OSError, EOFError, AuthenticationError, ProtocolError, WrongAnswer) as error:
        print(f"clients: {chosen_one.SERVICE} at {where}: {reason(error)}", file=sys.stderr)
    else:
        return 0
    return 1


def reason(error: Exception) -> str:
    """Return what went wrong, without the number that an error of the system has."""
    if isinstance(error, ProtocolError):
        return f"no answer of XML-RPC but HTTP {error.errcode} {error.errmsg}"
    return str(getattr(error, "strerror", None) or error or type(error).__name__)


def run() -> None:
    """Run the command line of this process, and exit with its status."""
    with output.reported("clients"):
        try:
            if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # while this was imported
                signal.signal(signal.SIGINT, signal.default_int_handler)
            sys.exit(main(sys.argv[1:]))
        except (ValueError, LookupError, OverflowError) as error:
            print(f"clients: {error}", file=sys.stderr)
            sys.exit(2)
        except KeyboardInterrupt:
            sys.exit(130)
