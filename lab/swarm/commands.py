"""`make swarm` and `make swarm-down`, and what `make ps` and `make demo` show of a swarm."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clients.cli import main as command_line
from lab import LabError, authkey, engine, interrupts, preflight
from lab.console import complain, console, say, step
from lab.demo import values
from lab.description import Port, built, filled
from lab.stack import TERMINAL, Stack
from lab.swarm import options, record, removal
from lab.swarm.nodes import Node
from lab.swarm.record import Record, stack_name
from lab.swarm.stack import SwarmStack
from lab.swarm.stack_file import Deployment, clients_file, stack_file


def up(scale: str, publish: str, nodes: str) -> int:
    """Put the lab on a swarm, which is made where there is none, and run the clients there."""
    known = record.load()
    wanted = options.nodes(nodes or options.written(known.nodes))
    replicas = options.scale(scale)
    published = options.published(publish, replicas, len(wanted))
    if known.nodes and known.manager.engine != wanted[0].engine:
        raise LabError(
            f"this lab is on a swarm of {known.manager}, which NODES does not name first:"
            " `make swarm-down` removes it from there"
        )
    if status := engine.set_up():
        if status == engine.NONE_POSSIBLE:
            raise LabError("Docker Swarm needs an engine, and there is none")
        return status
    check(wanted)
    build()
    stack = SwarmStack(stack_name(), wanted[0])
    with undone_if_new(known):
        known.keep(wanted)
        gather(known, wanted)
        images = built_images()
        load_images(known, wanted, images)
        file = stack_file(document(), deployment(wanted, images, replicas, published))
        with step("starting the services") as starting:
            stack.deploy(file)
            stack.wait_healthy(starting.say)
    status = run_clients(known, [])
    say(stack.states())
    for sentence in remarks(wanted, publish):
        say(sentence)
    console.print(
        "make ps: what runs where   make demo: the clients again   make swarm-down: remove it"
    )
    return status


@contextmanager
def undone_if_new(known: Record) -> Iterator[None]:
    """Undo all that was done where it fails or is interrupted; a stack of before stays."""
    if is_there(known):
        yield
        return
    try:
        yield
    except BaseException:
        with interrupts.finishing():
            try:
                removal.remove(known)
            except LabError as error:  # beside the first one, which is raised
                complain(str(error))
        raise


def down() -> int:
    """Remove all that `make swarm` has made, on all nodes, and the swarm if it made that too."""
    if not down_if_there():
        console.print("nothing to remove: `make swarm` has made nothing that is still there")
        return 0
    return engine.shut_down()


def down_if_there() -> bool:
    """Remove it, if there is any of it; return whether there was."""
    known = record.load()
    if there := bool(known.nodes):
        removal.remove(known)
    return there


def check(nodes: Sequence[Node]) -> None:
    """Raise LabError for engines that cannot be what they are to be, before anything is changed."""
    silent = []
    with step("asking the engines") as asking:
        for node in nodes:
            asking.say(str(node))  # ssh tries for half a minute
            silent.append(node.silence())
    if any(silent):
        raise LabError("\n".join(filter(None, silent)))
    manager, *others = nodes
    members = node_ids(manager) if manager.manages() else []
    for node in others:
        swarm = node.swarm()
        if swarm["LocalNodeState"] != "inactive" and swarm["NodeID"] not in members:
            raise LabError(
                f"{node} is in another swarm than {manager}: `docker swarm leave` takes it out"
            )


def build() -> None:
    """Build the images here, and make the key; raises LabError for what either would fail on."""
    preflight.require([preflight.key(containers=False), preflight.certificates(),
                       preflight.disk(containers=True)])  # fmt: skip
    authkey.ensure(authkey.path())
    builder = Stack()
    builder.settings["PYTHON_IMAGE"] = engine.base_image()
    builder.build()


def gather(known: Record, nodes: Sequence[Node]) -> None:
    """Make a swarm of engines, or bring into one those that are not in it."""
    manager = nodes[0]
    for node in nodes:
        if node.swarm()["LocalNodeState"] == "active":
            continue
        if node.engine not in known.joined:
            known.joined.append(node.engine)
        if not node.has_bridge() and node.engine not in known.bridges:
            known.bridges.append(node.engine)
        known.save()
        # An engine that is on its way into a swarm cannot be taken out of it.
        what = "making a swarm of" if node == manager else "bringing into the swarm"
        with step(f"{what} {node}"), interrupts.finishing():
            if node == manager:
                node.make_swarm()
            else:
                node.join(manager)


def built_images() -> dict[str, str]:
    """Return the ID of each image of the lab, by its name."""
    here = Node().images()
    names = [f"{Stack().project}-{service}:latest" for service in built()]
    return {name: here[name] for name in names}


def load_images(known: Record, nodes: Sequence[Node], images: Mapping[str, str]) -> None:
    """Have these images on each node."""
    for node in nodes:
        there = node.images()
        if missing := [name for name, identity in images.items() if there.get(name) != identity]:
            had = known.images.setdefault(node.engine, [])
            # One of before, which we have loaded too, loses its name, and is removed by its ID.
            had += [there[name] for name in missing if name in had and name in there]
            had += sorted(set(missing) - set(had))
            known.save()
            with step(f"loading {len(missing)} images on {node}"):
                node.load(missing)


def document() -> dict[str, Any]:
    """Return compose.yaml, filled in as Compose would fill it in."""
    key = {"WIRELAB_AUTHKEY_FILE": str(authkey.path().absolute())}
    return filled({**Stack().environment(), **key})


def deployment(
    nodes: Sequence[Node],
    images: Mapping[str, str] = {},
    replicas: Mapping[str, int] = {},
    published: Sequence[Port] = (),
) -> Deployment:
    """Return what is asked for: on the nodes named, and no others that the swarm may have."""
    manager = nodes[0]
    ours = {node.swarm()["NodeID"] for node in nodes}
    return Deployment(
        name=stack_name(),
        data_node=manager.swarm()["NodeID"],
        foreign=[each for each in node_ids(manager) if each not in ours],
        digest=authkey.digest(authkey.path()),
        images=images,
        replicas=replicas,
        published=published,
    )


def node_ids(manager: Node) -> list[str]:
    """Return the IDs of all nodes of a swarm."""
    return manager.docker("node", "ls", "--quiet").split()


def remarks(nodes: Sequence[Node], publish: str) -> list[str]:
    """Return what is not as in compose.yaml, in a sentence each."""
    found = []
    security = [node.docker("info", "--format", "{{.SecurityOptions}}") for node in nodes]
    if not all("no-new-privileges" in each for each in security):  # older engines do not say it
        found.append(
            "no-new-privileges cannot be set for a service of a swarm: an engine sets it for all"
            ' containers, by "no-new-privileges": true in its daemon.json'
        )
    if publish:
        found.append(f"open to whoever reaches a node: {', '.join(publish.split())}")
    return found


def is_there(known: Record) -> bool:
    """Whether the stack is on the nodes that are known."""
    if not known.nodes or known.manager.silence():
        return False
    if not known.manager.swarm()["ControlAvailable"]:
        return False
    return bool(SwarmStack(stack_name(), known.manager).services())


def run_clients(known: Record, arguments: Sequence[str]) -> int:
    """Run the clients as a service that ends; print what they say, and return their exit status."""
    told = {name: os.environ[name] for name in TERMINAL if name in os.environ}
    if sys.stdout.isatty():
        size = os.get_terminal_size(sys.stdout.fileno())
        told |= {"FORCE_COLOR": "1", "COLUMNS": str(size.columns)}
    stack = SwarmStack(stack_name(), known.manager)
    file = clients_file(document(), deployment([known.manager]), arguments, told)
    with step("running the clients"):
        done = stack.run_once(file)
    print(done.stdout, end="")
    print(done.stderr, end="", file=sys.stderr)
    return done.returncode


def demo(arguments: list[str]) -> int:
    """Run the clients in the swarm; raises LabError where they are to read or write a file."""
    chosen = command_line.parsed(arguments)
    if any(isinstance(value, Path) for value in values(chosen)):
        raise LabError("in a swarm the clients have no files of this machine")
    if getattr(chosen, "follow", False):
        raise LabError("in a swarm the clients are read when they have ended: not with --follow")
    return run_clients(record.load(), arguments)


def is_deployed() -> bool:
    """Whether this lab is on a swarm."""
    return is_there(record.load())


def only_there() -> str:
    """Return a sentence that says what works on a swarm, if the lab is there, else nothing."""
    known = record.load()
    if known.nodes and (silence := known.manager.silence()):
        return f"the lab may be on a swarm, but {silence}"
    if not is_there(known):
        return ""
    return (
        "the lab is on a swarm, where `make ps`, `demo`, `wire` and `network` work, and"
        f" `docker service logs {stack_name()}_SERVICE` on its manager"
    )


def states() -> str:
    """Return which replica runs on which node."""
    return SwarmStack(stack_name(), record.load().manager).states()
