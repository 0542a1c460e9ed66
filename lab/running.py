"""A lab that runs, wherever it does: list it, read its logs, run clients, look in."""

import sys
from contextlib import suppress

from lab import LabError, engine, interrupts, listing
from lab.capture import capture
from lab.console import say
from lab.demo import run as in_containers
from lab.description import CLASS, services
from lab.local import Local
from lab.stack import Stack, no_terminal
from lab.swarm import commands as swarm

MAX_SEED = 2**31
NOTHING_RUNS = "nothing runs: `make up` starts the lab"


def ps() -> int:
    """List the servers, their state and where they listen."""
    local = Local()
    if running := local.running():
        states = {name: f"process {pid}" for name, pid in running.items()}
        print(listing.states(states, local.bindings()))
        say_old_key(local.with_old_key())
        return 0
    on_swarm = swarm.is_deployed()
    if on_swarm:
        print(swarm.states())
    if on_swarm and not Stack().running():
        return 0
    need_lab()
    stack = Stack()
    states = {each["Service"]: listing.short(each["Status"]) for each in stack.containers()}
    print(listing.states(states, stack.bindings()))
    say_old_key(stack.with_old_key())
    return 0


def say_old_key(names: list[str]) -> None:
    """Say which servers do not have the key that their clients now have."""
    if names:
        say(old_key(names))


def old_key(names: list[str]) -> str:
    """Return the sentence that says so."""
    verb, them = ("runs", "it") if len(names) == 1 else ("run", "them")
    who = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    return f"{who} {verb} with an older key: `make up` gives {them} the new one"


def logs(service: str) -> int:
    """Show what the servers say; goes on until Ctrl-C where someone is watching.

    Of one that has ended too, but then the exit status says that it does not run.
    """
    known = known_services(service)
    wanted = [service] if service else known
    local = Local()
    files = [str(file) for name in wanted if (file := local.log(name)).exists()]
    # Also after a crash: then the logs are what is wanted.
    by_processes = bool(local.running() or (files and not engine.answers()))
    if by_processes:
        running, logged = list(local.running()), bool(files)
    else:
        need_lab()
        running, logged = Stack().running(), True
    ended = bool(service) and service not in running
    follow = ["--follow"] if sys.stdout.isatty() and not ended else []
    status = 0
    with suppress(KeyboardInterrupt):
        if by_processes and logged:
            status = interrupts.run(["tail", "-n", "50", *follow, "--", *files]).returncode
        elif follow:
            status = Stack().run("logs", "--tail", "50", "--follow", *wanted).returncode
        elif logged:
            print(Stack().compose("logs", "--tail", "50", *wanted).stdout, end="")
    if ended:
        raise not_running(service)
    return status


def not_running(service: str) -> LabError:
    """Return the error that says so, and how it is started."""
    (profiles,) = (each.profiles for each in services(profile="*") if each.name == service)
    profile = f" PROFILE={profiles[0]}" if profiles else ""
    how = "class-server" if CLASS in profiles else f"up{profile}"
    return LabError(f"{service} does not run: `make {how}` starts it")


def demo(arguments: list[str]) -> int:
    """Run the clients against the running lab."""
    local = Local()
    if local.running():
        return local.run_clients(*arguments)
    if swarm.is_deployed() and not Stack().running():
        return swarm.demo(arguments)
    need_lab()
    return in_containers(with_clients(), arguments)


def wire(service: str, arguments: list[str]) -> int:
    """Show what has passed through the relay, by the clients; until Ctrl-C if that is asked for."""
    of_service = [f"--service={service}"] if service else []
    status = 0
    with suppress(KeyboardInterrupt):
        status = demo(["wire", *of_service, *arguments])
    return status


def network(profile: str, seed: str, service: str) -> int:
    """Give the network a profile, by the clients, and show what is in force."""
    if seed and not (seed.isascii() and seed.isdigit() and int(seed[:11]) <= MAX_SEED):
        raise LabError(f"SEED has value {seed!r}. Not a whole number from 0 to {MAX_SEED:,}")
    asked = [f"--seed={seed}"] if seed else []
    asked += [f"--service={service}"] if service else []
    return demo(["relay", *asked, *(["--", profile] if profile else [])])


def shell(service: str) -> int:
    """Open a shell in the container of a server, or in one of the clients."""
    known_services(service)
    if Local().running():
        raise LabError("the servers run without containers: this shell is already theirs")
    need_lab()
    if not service:
        clients = ("--entrypoint", "sh", "clients")
        return with_clients().run("run", "--rm", *no_terminal(), *clients).returncode
    if service not in Stack().running():
        raise not_running(service)
    return Stack().run("exec", *no_terminal(), service, "sh").returncode


def with_clients() -> Stack:
    """Return the stack with the image of its clients, built where it was removed."""
    stack = Stack()
    if not engine.has_image(f"{stack.project}-clients"):
        stack.settings["PYTHON_IMAGE"] = engine.base_image()
        stack.build("clients")
    return stack


def capture_packets(service: str, seconds: float) -> int:
    """Write the packets of a server to a file."""
    if service not in (known := known_services(service)):
        raise LabError(f"SERVICE has no value: packets of which server? {', '.join(known)}")
    if Local().running():
        raise LabError("the servers run without containers: their packets are on loopback")
    need_lab()
    return capture(service, seconds)


def known_services(asked: str) -> list[str]:
    """Return the names of all servers; raises LabError unless the one asked for is among them."""
    known = [service.name for service in services(profile="*")]
    if asked and asked not in known:
        raise LabError(f"no service {asked!r}; there are {', '.join(known)}")
    return known


def need_lab() -> None:
    """Raise LabError where the lab does not run."""
    if strays := Local().strays():
        raise LabError(
            f"servers of this lab run that {Local().folder} knows nothing of, processes"
            f" {', '.join(map(str, strays))}: `make down` stops them"
        )
    engine.need()
    if not Stack().running():
        raise LabError(swarm.only_there() or NOTHING_RUNS)


def left() -> str:
    """Return what still runs after a command was interrupted, and what to do."""
    names = list(Local().running())
    if not names and engine.answers():
        names = Stack().running()
    found = f"; there run {', '.join(names)}: `make down` stops them" if names else ""
    if swarm.is_deployed():
        found += "; the lab is on a swarm: `make swarm-down` removes it"
    return found
