"""What the Makefile calls: `python -m lab --help`.

Everything works on whichever lab there is: containers where an engine answers, or the same
servers as processes of this machine.
"""

import argparse
import signal
import sys
from collections.abc import Callable

from dotenv import load_dotenv

from lab import ROOT, LabError, down, pictures, running, up
from lab.console import console
from lab.workshop import commands as workshop

Run = Callable[[argparse.Namespace], int]


def parser() -> argparse.ArgumentParser:
    """Return the parser: a subcommand for each task, with the options that it has."""
    main_parser = argparse.ArgumentParser(
        prog="lab", description="Run the lab. `make` lists these and more tasks."
    )
    commands = main_parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Run, what: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=what, description=what[0].upper() + what[1:] + ".")
        made.set_defaults(run=run)
        return made

    command("prepare", lambda _: up.prepare(), "set up the engine and the base image, for tests")
    for each in (
        command("up", lambda options: up.up(options.profile),
                "start the lab, setting up what is missing, and run the clients once"),
        command("up-local", lambda options: up.up_local(options.profile),
                "start the same servers as processes of this machine, without containers"),
    ):  # fmt: skip
        each.add_argument(
            "--profile", default="", help="more servers to start: `variants` has all variants"
        )
    command("down", lambda _: down.down(), "stop the lab; only the data of kv stays")
    command("distclean", lambda _: down.distclean(),
            "remove all that the lab has made: containers, volumes, images, the key")  # fmt: skip
    command("ps", lambda _: running.ps(), "list the servers, their state and where they listen")
    logs = command("logs", lambda options: running.logs(options.service),
                   "show what the servers log, on a terminal until Ctrl-C")  # fmt: skip
    logs.add_argument("--service", default="", help="one server instead of all")
    demo = command("demo", lambda options: running.demo(options.arguments), "run the clients again")
    demo.add_argument("arguments", nargs="*", help="their subcommand and options, after `--`")
    shell = command("shell", lambda options: running.shell(options.service),
                    "open a shell in the clients container")  # fmt: skip
    shell.add_argument("--service", default="", help="in the container of this server instead")
    packets = command(
        "capture", lambda options: running.capture_packets(options.service, options.seconds),
        "write the packets of a server, as they are on its interface, to a file in captures/",
    )  # fmt: skip
    packets.add_argument("--service", default="", help="which one")
    packets.add_argument("--seconds", type=float, default=30.0, help="for how long (default: 30)")
    command("pictures", lambda _: pictures.draw(),
            "draw the pictures of the README from compose.yaml and the running lab")  # fmt: skip
    workshop.add(command)
    return main_parser


def main() -> int:
    """Carry out one command and return the exit status."""
    # So that a start that is broken off from outside cleans up as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    load_dotenv(ROOT / ".env")
    options = parser().parse_args()
    try:
        status: int = options.run(options)
    except LabError as error:
        console.print(f"wirelab: {error}", style="red", markup=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("interrupted")
        return 130
    return status


if __name__ == "__main__":
    sys.exit(main())
