"""`make swarm` and `make swarm-down`, and what `make ps` and `make demo` show of a swarm."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clients.cli import main as command_line
from lab import LabError, authkey, engine, interrupts, preflight
from lab.console import complain, console, say, step
from lab.demo import values
from lab.description import Port, built, filled
from lab.stack import TERMINAL, Stack
from lab.swarm import options, record
from lab.swarm.nodes import Node
from lab.swarm.record import Record, stack_name
from lab.swarm.stack import SwarmStack, remove_objects
from lab.swarm.stack_file import Deployment, clients_file, stack_file


def up(scale: str, publish: str, nodes: str) -> int:
    """Put the lab on a swarm, which is made where there is none, and run the clients there."""
    known = record.load()
    wanted = options.nodes(nodes or " ".join(map(word, known.nodes)))
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
    preflight.require([preflight.key(containers=False), preflight.certificates(),
                       preflight.disk(containers=True)])  # fmt: skip
    authkey.ensure(authkey.path())
    builder = Stack()
    builder.settings["PYTHON_IMAGE"] = engine.base_image()
    builder.build()
    was_deployed = deployed(known)
    try:
        known.keep(wanted)
        gather(known, wanted)
        load_images(known, wanted)
        stack = SwarmStack(stack_name(), wanted[0])
        layout = deployment(wanted, replicas, published)
        with step("starting the services") as starting:
            stack.deploy(stack_file(document(), layout))
            stack.wait_healthy(starting.say)
    except BaseException:
        if not was_deployed:
            with interrupts.finishing():
                try:
                    remove(known)
                except LabError as error:  # beside the first one, which is raised
                    complain(str(error))
        raise
    status = run_clients(known, [])
    say(stack.states())
    for sentence in remarks(wanted, publish):
        say(sentence)
    console.print(
        "make ps: what runs where   make demo: the clients again   make swarm-down: remove it"
    )
    return status


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
        remove(known)
    return there


def check(nodes: Sequence[Node]) -> None:
    """Raise LabError for an engine that cannot be what it is to be, before anything is changed."""
    for node in nodes:
        node.check_answers()
    manager, *others = nodes
    members = node_ids(manager) if manager.manages() else []
    for node in others:
        swarm = node.swarm()
        if swarm["LocalNodeState"] != "inactive" and swarm["NodeID"] not in members:
            raise LabError(
                f"{node} is in another swarm than {manager}: `docker swarm leave` takes it out"
            )


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


def load_images(known: Record, nodes: Sequence[Node]) -> None:
    """Have on each node the images that there are here."""
    here = Node().images()
    names = [f"{Stack().project}-{service}:latest" for service in built()]
    images = {name: here[name] for name in names}
    for node in nodes:
        if missing := node.lacks(images):
            had = known.images.setdefault(node.engine, [])
            had += sorted(set(missing) - set(had))
            known.save()
            with step(f"loading {len(missing)} images on {node}"):
                node.load(missing)


def document() -> dict[str, Any]:
    """Return compose.yaml, filled in as Compose would fill it in."""
    key = {"WIRELAB_AUTHKEY_FILE": str(authkey.path().absolute())}
    return filled({**Stack().environment(), **key})


def deployment(
    nodes: Sequence[Node], replicas: Mapping[str, int] = {}, published: Sequence[Port] = ()
) -> Deployment:
    """Return what is asked for: on the nodes named, and no others that the swarm may have."""
    manager = nodes[0]
    ours = {node.swarm()["NodeID"] for node in nodes}
    return Deployment(
        name=stack_name(),
        data_node=manager.swarm()["NodeID"],
        foreign=[each for each in node_ids(manager) if each not in ours],
        digest=authkey.digest(authkey.path()),
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


def word(node: Node) -> str:
    """Return a node as it is written in NODES; nothing for this machine's engine alone."""
    if not node.engine:
        return ""
    return f"{node.engine}={node.address}" if node.address else node.engine


def deployed(known: Record) -> bool:
    """Whether the stack is there."""
    if not known.nodes or not known.manager.answers():
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
    return deployed(record.load())


def only_there() -> str:
    """Return a sentence that says what works on a swarm, if the lab is there, else nothing."""
    if not is_deployed():
        return ""
    return (
        "the lab is on a swarm, where `make ps`, `demo`, `wire` and `network` work, and"
        f" `docker service logs {stack_name()}_SERVICE` on its manager"
    )


def states() -> str:
    """Return which replica runs on which node."""
    return SwarmStack(stack_name(), record.load().manager).states()


def remove(known: Record) -> None:
    """Undo all that is written down, on each node that answers; raises LabError for what stays."""
    manager = known.manager
    try:
        manager.check_answers()
    except LabError as error:
        hint = f"If it is gone for good, remove {record.folder()}"
        raise LabError(f"{error}\n{hint}") from None
    there = [node for node in known.nodes if node.answers()]
    if manager.swarm()["ControlAvailable"]:
        with step("removing the services") as removing:
            stack = SwarmStack(stack_name(), manager)
            for each in [*stack.remains(), stack]:
                removing.say(each.name)
                each.remove(there)
    others = foreign_services(manager) if manager.engine in known.joined else []
    with step("removing volumes and images") as removing:
        # The manager last: it takes the others off its list.
        for node in reversed(there):
            removing.say(str(node))
            clear(known, node, stays=bool(others))
    problems = [
        f"{node} does not answer, and keeps what it has of the lab: `make swarm-down` again, once"
        " it does"
        for node in known.nodes
        if node not in there
    ]
    if others:
        problems.append(
            f"the swarm that `make swarm` made stays, for {', '.join(others)}: `make swarm-down`"
            " again ends it once they are gone"
        )
    if problems:
        raise LabError("\n".join(problems))


def foreign_services(manager: Node) -> list[str]:
    """Return the services in a swarm that are not the lab's."""
    if not manager.swarm()["ControlAvailable"]:
        return []
    return sorted(manager.docker("service", "ls", "--format", "{{.Name}}").split())


def clear(known: Record, node: Node, *, stays: bool) -> None:
    """Remove from a node what is the lab's, and take it out of the swarm if we brought it in.

    If the swarm `stays`, for others, so do the nodes that are in it for the lab: they may run them.
    """
    leaves = node.engine in known.joined and not stays
    if leaves:
        identity = node.swarm()["NodeID"]
        node.leave()
        if identity and node != known.manager and known.manager.engine not in known.joined:
            known.manager.docker("node", "rm", "--force", identity)
    remove_objects(stack_name(), node)
    there = node.images()
    if left := [image for image in known.images.get(node.engine, ()) if image in there]:
        node.docker("image", "rm", *left)
    if leaves and node.engine in known.bridges:
        node.remove_bridge()
    if leaves or node.engine not in known.joined:
        known.forget(node)
