"""What the Makefile calls: `python -m lab --help`.

Everything works on whichever lab there is: containers where an engine answers, or the same
servers as processes of this machine.
"""

import signal

if __name__ == "__main__":
    # Nothing is there to clean up yet: Ctrl-C just ends this, where Python's own handler would show
    # a traceback. make has it wait while Python itself starts.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

import argparse
import sys
from collections.abc import Callable
from contextlib import nullcontext

from clients.cli import output
from lab import (
    LabError,
    doctor,
    down,
    files,
    interrupts,
    lock,
    pictures,
    release,
    running,
    settings,
    up,
)
from lab.capture import duration_typed
from lab.console import complain, say
from lab.description import project
from lab.swarm import commands as swarm
from lab.workshop import commands as workshop
from lab.workshop.lesson import number_typed
from lab.workshop.place import Place, place
from services.version import VERSION

Run = Callable[[argparse.Namespace], int]

CHANGING = {
    "up",
    "up-local",
    "class-server",
    "down",
    "distclean",
    "swarm",
    "swarm-down",
}  # one of these at a time


def parser() -> argparse.ArgumentParser:
    """Return the parser: a subcommand for each task, with the options that it has."""
    main_parser = argparse.ArgumentParser(
        prog="lab", description="Run the lab. `make` lists these and more tasks."
    )
    main_parser.add_argument("--version", action="version", version=f"wirelab {VERSION}")
    commands = main_parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Run, what: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=what, description=what[0].upper() + what[1:] + ".")
        made.set_defaults(run=run, command=name)
        return made

    command("prepare", lambda _: up.prepare(), "set up the engine and the base image, for tests")
    for each in (
        command("up", lambda options: up.up(options.profile, mine_of(options)),
                "start the lab, setting up what is missing, and run the clients once"),
        command("up-local", lambda options: up.up_local(options.profile, mine_of(options)),
                "start the same servers as processes of this machine, without containers"),
    ):  # fmt: skip
        each.add_argument(
            "--profile",
            default="",
            help="more servers to start: `variants` has all variants, `cluster` kv on etcd",
        )
        each.add_argument(
            "--mine", default="", metavar="SERVICE",
            help="whose place your server of the workshop takes",
        )  # fmt: skip
        each.add_argument(
            "--lesson", type=number_typed, metavar="N", help="the lesson that it is of"
        )
    cluster = command(
        "swarm", lambda options: swarm.up(options.scale, options.publish, options.nodes),
        "put the lab on Docker Swarm, on one machine or several, and run the clients there",
    )  # fmt: skip
    cluster.add_argument("--scale", default="", help="replicas, as in `rest=4 rpc=2`")
    cluster.add_argument(
        "--publish", default="", help="servers whose ports are to be open to whoever reaches a node"
    )
    cluster.add_argument(
        "--nodes", default="",
        help="the engines, as in DOCKER_HOST, a manager first; `ENGINE=ADDRESS` names an address",
    )  # fmt: skip
    command("swarm-down", lambda _: swarm.down(),
            "remove the lab from Docker Swarm, and the swarm if the lab has made it")  # fmt: skip
    command("down", lambda _: down.down(), "stop the lab; only the data of kv stays")
    command("distclean", lambda _: down.distclean(),
            "remove all that the lab has made: containers, volumes, images, the key")  # fmt: skip
    command("ps", lambda _: running.ps(), "list the servers, their state and where they listen")
    logs = command("logs", lambda options: running.logs(options.service),
                   "show what the servers log, on a terminal until Ctrl-C")  # fmt: skip
    logs.add_argument("--service", default="", help="one server instead of all")
    demo = command("demo", lambda options: running.demo(options.arguments), "run the clients again")
    demo.add_argument("arguments", nargs="*", help="their subcommand and options, after `--`")
    wire = command("wire", lambda options: running.wire(options.service, options.arguments),
                   "show what has passed through the relay, as ladders")  # fmt: skip
    wire.add_argument("--service", default="", help="only what passed to and from this one")
    wire.add_argument("arguments", nargs="*", help="more of the clients' options, after `--`")
    network = command(
        "network", lambda options: running.network(options.profile, options.seed, options.service),
        "show what the relay does to the traffic, or give it a profile",
    )  # fmt: skip
    network.add_argument("--profile", default="", help="3g, satellite, lossy, cut or clean")
    network.add_argument("--seed", default="", help="of what is left to chance")
    network.add_argument("--service", default="", help="for this one only")
    shell = command("shell", lambda options: running.shell(options.service),
                    "open a shell in the clients container")  # fmt: skip
    shell.add_argument("--service", default="", help="in the container of this server instead")
    packets = command(
        "capture", lambda options: running.capture_packets(options.service, options.seconds),
        "write the packets of a server, as they are on its interface, to a file in captures/",
    )  # fmt: skip
    packets.add_argument("--service", default="", help="which one")
    packets.add_argument(
        "--seconds", type=duration_typed, default=30.0, help="for how long (default: 30)"
    )
    command("doctor", lambda _: doctor.doctor(), "say what is there and what is missing")
    command("wheel", lambda _: release.wheel(), "build the wheel of the pytest plugin")
    command("kit", lambda _: release.kit(), "pack all that a machine without a network needs")
    releasing = command("release", lambda options: release.release(options.commit, options.dry),
                        "build the wheel and the kit of a version, and tag it")  # fmt: skip
    releasing.add_argument("--commit", default="", help="one whose .ci/run passed elsewhere")
    releasing.add_argument("--dry", action="store_true", help="do all of it but the tag")
    command("pictures", lambda _: pictures.draw(),
            "draw the pictures of the README from compose.yaml and the running lab")  # fmt: skip
    workshop.add(command)
    return main_parser


def mine_of(options: argparse.Namespace) -> Place | None:
    """Return whose place the participant's server is to take, if anybody's."""
    return place(options.mine, options.lesson)


def main() -> int:
    """Carry out one command and return the exit status."""
    command = ""
    try:
        interrupts.install()
        options = parser().parse_args()
        command = options.command
        status = carry_out(options)
    except LabError as error:
        complain(f"wirelab: {error}")
        return 1
    except OSError as error:
        complain(f"wirelab: {files.described(error)}")
        return 1
    except KeyboardInterrupt:
        say(f"interrupted{running.left() if command in CHANGING else ''}")
        return 130
    finally:
        interrupts.ignore()
    return status


def carry_out(options: argparse.Namespace) -> int:
    """Carry out a command: with its settings, and alone if it changes the lab."""
    if options.command != "doctor":  # which says itself what is wrong with them
        settings.load()
    changing = options.command in CHANGING
    with lock.held(project(), f"make {options.command}") if changing else nullcontext():
        status: int = options.run(options)
    if status < 0:  # a signal has ended a program: as a shell has it
        status = 128 - status
    return status


if __name__ == "__main__":
    with output.reported("wirelab"):
        sys.exit(main())
