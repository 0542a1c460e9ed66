"""A lab that runs, in containers or as processes: list it, read its logs, run clients, look in."""

import subprocess
import sys
from contextlib import suppress

from lab import LabError, engine
from lab.demo import run as in_containers
from lab.description import services
from lab.local import Local
from lab.stack import Stack, no_terminal


def ps() -> int:
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


def logs(service: str) -> int:
    """Show what the servers say; goes on until Ctrl-C where someone is watching."""
    known = known_services(service)
    wanted = [service] if service else known
    follow = ["--follow"] if sys.stdout.isatty() else []
    local = Local()
    files = [str(file) for name in wanted if (file := local.log(name)).exists()]
    with suppress(KeyboardInterrupt):
        # Also after a crash: then the logs are what is wanted.
        if local.running() or (files and not engine.answers()):
            return subprocess.run(["tail", "-n", "50", *follow, *files], check=False).returncode
        need_lab()
        if follow:
            return Stack().run("logs", "--tail", "50", "--follow", *wanted).returncode
        print(Stack().compose("logs", "--tail", "50", *wanted).stdout, end="")
    return 0


def demo(arguments: list[str]) -> int:
    """Run the clients against the running lab."""
    local = Local()
    if local.running():
        return local.run_clients(*arguments)
    need_lab()
    return in_containers(Stack(), arguments)


def shell(service: str) -> int:
    """Open a shell in the container of a server, or in one of the clients."""
    known_services(service)
    if Local().running():
        raise LabError("the servers run without containers: this shell is already theirs")
    need_lab()
    if service:
        return Stack().run("exec", *no_terminal(), service, "sh").returncode
    return Stack().run("run", "--rm", *no_terminal(), "--entrypoint", "sh", "clients").returncode


def known_services(asked: str) -> list[str]:
    """Return the names of all servers; raises LabError unless the one asked for is among them."""
    known = [service.name for service in services(profile="*")]
    if asked and asked not in known:
        raise LabError(f"no service {asked!r}; there are {', '.join(known)}")
    return known


def need_lab() -> None:
    """Raise LabError where the lab does not run."""
    engine.need()
    if not Stack().running():
        raise LabError("nothing runs: `make up` starts the lab")
