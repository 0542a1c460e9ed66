"""The lab from nothing to running: `up`, `up-local`, and what the tests need before they start."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from clients.addresses import CONSOLE, RELAY, Address
from lab import LabError, authkey, engine, interrupts, listing, ports, preflight, wire
from lab.compose import NotHealthy
from lab.console import complain, console, say, step
from lab.description import only_in_containers, services
from lab.local import Local
from lab.stack import Stack
from lab.workshop.place import Place

STOPPED_AGAIN = "All that had started is stopped again: `make up` starts it anew"


def prepare() -> int:
    """Set up an engine and the image to build from, where that is possible."""
    status = engine.set_up()
    if status == 0:
        engine.base_image()
    return 0 if status == engine.NONE_POSSIBLE else status


def up(profile: str, mine: Place | None = None) -> int:
    """Set up what is missing, start the stack, run the clients, say where everything listens.

    `mine` is a participant's server that takes the place of one of ours.
    """
    wanted = services(profile=profile)
    say_stopped(Local().stop_strays())
    if Local().running():
        return up_local(profile, mine)
    status = engine.set_up()
    if status == engine.NONE_POSSIBLE:
        console.print("No engine: the same servers run as processes of this machine instead.")
        return up_local(profile, mine)
    if status:
        return status
    stack = Stack()
    stack.check_own()
    if mine:
        mine.check_mounted()
        stack.files = (*stack.files, mine.override(wanted))
    bindings = stack.bindings()
    preflight.require(preflight.checks(wanted, bindings, containers=True))
    authkey.ensure(authkey.path())
    stack.settings["PYTHON_IMAGE"] = engine.base_image()
    stack.build(profile=profile)
    with undone_if_it_fails(stack):
        stack.remove_services(ports.in_the_way(wanted, bindings))
        stack.start(profile)
        if mine:
            mine.check_listening(stack.logs(mine.service))
    return introduce(stack, mine)


@contextmanager
def undone_if_it_fails(stack: Stack) -> Iterator[None]:
    """Start a stack in the body; if that fails, stop it again, unless some of it ran before.

    A NotHealthy then says at its end what became of the others, and what to do next.
    """
    was_running = stack.running()
    try:
        yield
    except BaseException as problem:
        if not was_running:
            with interrupts.finishing():
                try:
                    stack.down()
                except LabError as error:  # beside the first one, which is raised
                    complain(str(error))
        if isinstance(problem, NotHealthy):
            what = next_step(problem.services) if was_running else STOPPED_AGAIN
            raise LabError(f"{problem}\n{what}") from None
        raise


def next_step(failed: Sequence[str]) -> str:
    """Return what became of a lab of which some services failed to start, and what to do."""
    logs = " ".join(f"`make logs SERVICE={name}`" for name in failed)
    return (
        f"The rest of the lab goes on: {logs} shows more, `make up` tries again, `make down` stops"
        " everything"
    )


def up_local(profile: str, mine: Place | None = None) -> int:
    """Start the servers as processes of this machine, and run the clients; as `up` does."""
    wanted = services(profile=profile)
    if mine:
        wanted = mine.among(wanted)
    if names := only_in_containers(profile):
        raise LabError(
            f"PROFILE has value {profile!r}. Not for local processes: {', '.join(names)} run in"
            " containers only"
        )
    local = Local()
    say_stopped(local.stop_strays())
    if not local.running() and engine.answers() and Stack().running():
        raise LabError("the lab runs as containers: `make down` first")
    preflight.require(preflight.checks(wanted, local.bindings(), containers=False))
    authkey.ensure(authkey.path())
    with step("starting the servers") as starting:
        local.up(wanted, starting.say)
    return introduce(local, mine)


def introduce(lab: Stack | Local, mine: Place | None) -> int:
    """Run the clients of a lab that has started, and say where everything listens."""
    status = lab.run_clients()
    show_addresses(lab.reachable(), mine)
    status = wire.fill(lab.addresses()[RELAY], lab.relayed()) or status
    console.print(f"Open http://{lab.addresses()[CONSOLE]}/ to see the lab, live.")
    return status


def say_stopped(strays: list[int]) -> None:
    """Say which servers were stopped that this folder knew nothing of."""
    if strays:
        ids = ", ".join(map(str, strays))
        say(f"stopped servers that this folder knew nothing of: processes {ids}")


def show_addresses(ports: Mapping[str, Address], mine: Place | None) -> None:
    """Print where each port is reached, by their settings, and how to go on."""
    say(listing.addresses(ports))
    if mine:
        say(mine.said)
    console.print(
        "make demo: the clients again   make logs: what the servers say   make down: stop"
    )
