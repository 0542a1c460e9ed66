"""What `make swarm-down` removes, node by node, and what it says of what has to stay."""

from lab import LabError
from lab.console import step
from lab.swarm import record
from lab.swarm.nodes import Node
from lab.swarm.record import Record, stack_name
from lab.swarm.stack import LABEL, SwarmStack


def remove(known: Record) -> None:
    """Undo all that is written down, on each node that answers; raises LabError for what stays."""
    manager = known.manager
    if silence := manager.silence():
        raise LabError(f"{silence}\nIf it is gone for good, remove {record.folder()}")
    there = [manager, *(node for node in known.nodes[1:] if not node.silence())]
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


def remove_objects(name: str, node: Node) -> None:
    """Remove the volumes that a node has of a stack, and the containers.

    Those of a node that was away while the stack was removed are nobody's any more.
    """
    label = ("--filter", f"label={LABEL}={name}")
    if containers := node.docker("ps", "--all", "--quiet", *label).split():
        node.docker("rm", "--force", *containers)
    if volumes := node.docker("volume", "ls", "--quiet", *label).split():
        node.docker("volume", "rm", *volumes)
