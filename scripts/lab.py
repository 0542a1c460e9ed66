"""What the Makefile calls: the lab from nothing to running, and back.

Everything works on whichever lab there is: containers where an engine answers, or the same
servers as processes of this machine.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from dotenv import load_dotenv
from rich.console import Console
from rich.table import Table

from clients.addresses import Address
from lab.capture import capture
from scripts import authkey, ports
from scripts.local import Local
from scripts.stack import (
    ROOT,
    LabError,
    Stack,
    base_image,
    docker,
    script,
    services,
)

OWN_IMAGES = (
    "wirelab-base:trixie", "wirelab-tools:trixie", "wirelab-interop:trixie",
    "wirelab-tshark:trixie",
)  # fmt: skip
NO_ENGINE = 3  # engine.sh: none answers, and none can be installed here

console = Console(stderr=True, highlight=False)


@contextmanager
def step(what: str) -> Iterator[None]:
    """Say what is being done, with a spinner on a terminal, and how long it took."""
    started = time.monotonic()
    if not console.is_terminal:
        console.print(f"{what} ...")
    with console.status(f"{what} ..."):
        yield
    console.print(f"{what}: done in {time.monotonic() - started:.0f} s")


def prepare(_options: argparse.Namespace) -> int:
    """Set up an engine and the image to build from, where that is possible."""
    status = script("engine.sh", "up")
    if status == 0:
        base_image()
    return 0 if status == NO_ENGINE else status


def up(options: argparse.Namespace) -> int:
    """Set up what is missing, start the stack, run the clients, say where everything listens."""
    wanted = services(profile=options.profile)
    if Local().running():
        return up_local(options)
    status = script("engine.sh", "up")
    if status == NO_ENGINE:
        console.print("No engine: the same servers run as processes of this machine instead.")
        return up_local(options)
    if status:
        return status
    stack = Stack()
    check_own(stack)
    authkey.ensure(authkey.path())
    authkey.check_readable(authkey.path())
    stack.settings["PYTHON_IMAGE"] = base_image()
    was_running = stack.running()
    ports.check([service for service in wanted if service.name not in was_running])
    with step("building the images"):
        stack.build()
    try:
        with step("starting the containers, until all are healthy"):
            stack.start(options.profile)
    except BaseException:
        if not was_running:
            with suppress(LabError):  # the first error is the one to show
                stack.down()
        raise
    status = stack.run("run", "--rm", *no_terminal(), "clients").returncode
    show_addresses(stack.addresses())
    return status


def check_own(stack: Stack) -> None:
    """Raise LabError if there is a lab of this name that was started from another folder."""
    if others := stack.folders() - {str(ROOT)}:
        raise LabError(
            f"the lab named {stack.project} is that of {', '.join(others)}: for another one set"
            " COMPOSE_PROJECT_NAME, and the ports (0: any free ones)"
        )


def up_local(options: argparse.Namespace) -> int:
    """Start the servers as processes of this machine, and run the clients."""
    wanted = services(profile=options.profile)
    local = Local()
    running = local.running()
    if not running and engine_answers() and Stack().running():
        raise LabError("the lab runs as containers: `make down` first")
    authkey.ensure(authkey.path())
    ports.check([service for service in wanted if service.name not in running])
    with step("starting the servers, until all are healthy"):
        local.up(wanted)
    status = local_clients(local)
    show_addresses(local.addresses())
    return status


def local_clients(local: Local, *arguments: str) -> int:
    """Run the clients against the local servers."""
    environment = {**os.environ, **local.environment()}
    command = [sys.executable, "-m", "clients", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def show_addresses(addresses: dict[str, Address]) -> None:
    """Print where each service listens, and how to go on."""
    web = {"rest", "httpbin", "kv"}
    speaks = {service.name: service.speaks for service in services(profile="*")}
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, where in addresses.items():
        table.add_row(f"[bold]{name}[/]", f"http://{where}/" if speaks[name] in web else str(where))
    console.print(table)
    console.print(
        "make demo: the clients again   make logs: what the servers say   make down: stop"
    )


def down(_options: argparse.Namespace) -> int:
    """Stop whichever lab runs; kv's data stays."""
    stopped = Local().down()
    if stopped:
        console.print(f"stopped {', '.join(stopped)}", soft_wrap=True)
    if engine_answers():
        check_own(Stack())
        with step("removing containers and network"):
            Stack().down()
        return script("engine.sh", "down")
    if not stopped:
        console.print("nothing runs, as far as can be known: no engine answers")
    return 0


def distclean(_options: argparse.Namespace) -> int:
    """Remove everything that the lab has made: containers, volumes, images, the key."""
    Local().down()
    others_run = False
    if shutil.which("dockerd") and not engine_answers():
        # Volumes and images can only be removed through a running engine.
        script("engine.sh", "up")
    if engine_answers():
        check_own(Stack())
        with step("removing containers, volumes and images"):
            Stack().down(volumes=True, images=True)
            for image in OWN_IMAGES:
                with suppress(LabError):  # it may never have been made, or another lab uses it
                    docker("image", "rm", image)
            here = f"label=com.docker.compose.project.working_dir={ROOT}"
            others_run = bool(docker("ps", "--quiet", "--filter", here))
        script("engine.sh", "down")
    shutil.rmtree(Local().folder, ignore_errors=True)
    if list(ROOT.glob(".wirelab/*/running.json")) or others_run:
        console.print("secrets/authkey stays: another lab of this folder runs with it")
    else:
        (ROOT / "secrets" / "authkey").unlink(missing_ok=True)
        for folder in (ROOT / "secrets", ROOT / ".wirelab"):
            with suppress(OSError):  # it does not exist, or holds what is not the lab's
                folder.rmdir()
    return 0


def ps(_options: argparse.Namespace) -> int:
    """List the servers, their state and where they listen."""
    local = Local()
    if running := local.running():
        addresses = local.addresses()
        for service in services(profile="*"):
            state = f"process {pid}" if (pid := running.get(service.name)) else "not running"
            if pid or not service.profiles:
                print(f"{service.name:20} {state:16} {addresses.get(service.name, '')}")
        return 0
    need_lab()
    return (
        Stack()
        .run("ps", "--all", "--format", "table {{.Service}}\t{{.Status}}\t{{.Ports}}")
        .returncode
    )


def logs(options: argparse.Namespace) -> int:
    """Show what the servers say; goes on until Ctrl-C where someone is watching."""
    known = known_services(options.service)
    wanted = [options.service] if options.service else known
    follow = ["--follow"] if sys.stdout.isatty() else []
    local = Local()
    files = [str(file) for service in wanted if (file := local.log(service)).exists()]
    with suppress(KeyboardInterrupt):
        # Also after a crash: then the logs are what is wanted.
        if local.running() or (files and not engine_answers()):
            return subprocess.run(["tail", "-n", "50", *follow, *files], check=False).returncode
        need_lab()
        if follow:
            return Stack().run("logs", "--tail", "50", "--follow", *wanted).returncode
        print(Stack().compose("logs", "--tail", "50", *wanted).stdout, end="")
    return 0


def demo(options: argparse.Namespace) -> int:
    """Run the clients against the running lab."""
    local = Local()
    if local.running():
        return local_clients(local, *options.arguments)
    need_lab()
    return Stack().run("run", "--rm", *no_terminal(), "clients", *options.arguments).returncode


def shell(options: argparse.Namespace) -> int:
    """Open a shell in the container of a server, or in one of the clients."""
    known_services(options.service)
    if Local().running():
        raise LabError("the servers run without containers: this shell is already theirs")
    need_lab()
    if options.service:
        return Stack().run("exec", *no_terminal(), options.service, "sh").returncode
    return Stack().run("run", "--rm", *no_terminal(), "--entrypoint", "sh", "clients").returncode


def capture_packets(options: argparse.Namespace) -> int:
    """Write the packets of a server to a file."""
    if options.service not in (known := known_services(options.service)):
        raise LabError(f"SERVICE has no value: packets of which server? {', '.join(known)}")
    if Local().running():
        raise LabError("the servers run without containers: their packets are on loopback")
    need_lab()
    return capture(options.service, options.seconds)


def known_services(asked: str) -> list[str]:
    """Return the names of all servers; raises LabError unless the one asked for is among them."""
    known = [service.name for service in services(profile="*")]
    if asked and asked not in known:
        raise LabError(f"no service {asked!r}; there are {', '.join(known)}")
    return known


def engine_answers() -> bool:
    """Whether there is an engine, with Compose."""
    quiet = subprocess.DEVNULL
    command = [str(ROOT / "scripts" / "engine.sh"), "check"]
    return subprocess.run(command, check=False, stdout=quiet, stderr=quiet).returncode == 0


def need_engine() -> None:
    """Raise LabError where there is no engine; engine.sh says what is missing."""
    if script("engine.sh", "check"):
        raise LabError("nothing runs: `make up` starts the lab")


def need_lab() -> None:
    """Raise LabError where the lab does not run."""
    need_engine()
    if not Stack().running():
        raise LabError("nothing runs: `make up` starts the lab")


def no_terminal() -> list[str]:
    """Return the option that `docker compose run` needs where it is not on a terminal."""
    return [] if sys.stdin.isatty() and sys.stdout.isatty() else ["--no-TTY"]


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "prepare": prepare,
    "up": up,
    "up-local": up_local,
    "down": down,
    "ps": ps,
    "logs": logs,
    "demo": demo,
    "shell": shell,
    "capture": capture_packets,
    "distclean": distclean,
}


def main() -> int:
    """Carry out one command and return the exit status."""
    # So that a start that is broken off from outside cleans up as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    load_dotenv(ROOT / ".env")
    parser = argparse.ArgumentParser(prog="lab")
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("arguments", nargs="*", help="demo: what to give the clients")
    parser.add_argument("--service", default="", help="logs, shell, capture: of which one")
    parser.add_argument("--seconds", type=float, default=30, help="capture: for how long")
    parser.add_argument("--profile", default="", help="up, up-local: more servers, as variants")
    options = parser.parse_args()
    try:
        return COMMANDS[options.command](options)
    except LabError as error:
        console.print(f"wirelab: {error}", style="red", markup=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("interrupted")
        return 130


if __name__ == "__main__":
    sys.exit(main())
