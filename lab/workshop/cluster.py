"""Three nodes of etcd for a lesson, in containers of a project of their own: to be broken.

    python -m lab.workshop.cluster      # runs them until Ctrl-C, to try things out

Image and settings are those of `make up PROFILE=cluster`, read in compose.yaml. What is added is a
port of each node on loopback, and a network of its own behind that. So a node that is cut off from
the others is still reached by its clients.
"""

import json
import signal
import sys
import time
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any, TypeVar

import yaml

from clients.addresses import Address
from lab import ROOT, LabError, engine, interrupts, settings
from lab.compose import reached
from lab.console import complain, step
from lab.description import project
from lab.local import Local
from lab.stack import Stack
from lab.workshop.lesson import Lesson
from lab.workshop.participant import MINE

NODES = ("etcd-1", "etcd-2", "etcd-3")
PROJECT = "{}-lesson"  # beside the lab of that name
BETWEEN = "etcd"  # the network of the nodes
PORT = "2379/tcp"
START_SECONDS = 60.0  # until all of them know one leader
SECONDS = 2.0  # that a node has to answer
EVERY = 0.05  # seconds

T = TypeVar("T")


class Cluster:
    """The nodes, by their names: where they are, what they say, and what is done to them.

    What was done to them stays so until `restore`.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    def container(self, node: str) -> str:
        """Return the name of a node's container."""
        return f"{self._stack.project}-{node}-1"

    def addresses(self) -> dict[str, Address]:
        """Ask the engine where the nodes are that run: after a restart it is somewhere else."""
        found = {}
        for node, each in self._inspected().items():
            for port in each["NetworkSettings"]["Ports"].get(PORT) or ():
                found[node] = Address(reached(port["HostIp"]), int(port["HostPort"]))
        return found

    def restore(self) -> dict[str, Address]:
        """Have all nodes run, connected to one another; wait until they know one leader.

        Return where they are. LabError if that takes too long.
        """
        for node, each in self._inspected().items():
            match each["State"]["Status"]:
                case "paused":
                    engine.docker("unpause", self.container(node))
                case "running":
                    pass
                case _:
                    engine.docker("start", self.container(node))
            if self._between not in each["NetworkSettings"]["Networks"]:
                # Without its alias the others would not find it.
                connect = ("network", "connect", "--alias", node)
                engine.docker(*connect, self._between, self.container(node))
        where = self.addresses()
        until(lambda: self._agreed(where), "three nodes of etcd that know one leader")
        return where

    def kill(self, node: str) -> None:
        """Kill a node (SIGKILL): nobody listens there any more."""
        engine.docker("kill", self.container(node))

    def pause(self, *nodes: str) -> None:
        """Stop nodes where they are: they are connected, and say nothing.

        On a busy machine the engine may not catch all processes of a container at once, with
        cgroups of version 1: it then resumes those that it has, and can be asked again.
        """
        for container in map(self.container, nodes):
            until(lambda it=container: paused(it), f"{container} to pause")  # type: ignore[misc]

    def cut_off(self, node: str) -> None:
        """Disconnect a node from the others, and not from its clients."""
        engine.docker("network", "disconnect", self._between, self.container(node))

    @property
    def _between(self) -> str:
        return f"{self._stack.project}_{BETWEEN}"

    def _inspected(self) -> dict[str, Any]:
        """Return what the engine says of each container."""
        found = json.loads(engine.docker("inspect", *map(self.container, NODES)))
        return dict(zip(NODES, found, strict=True))

    def _agreed(self, where: Mapping[str, Address]) -> bool:
        return len(where) == len(NODES) and leaders(where) in [
            dict.fromkeys(where, node) for node in where
        ]


def paused(container: str) -> bool:
    """Pause a container, and return whether that was done; LabError if it never will be."""
    done = engine.run_docker("pause", container)
    if done.returncode and "unable to freeze" not in done.stderr:
        raise LabError(f"docker pause failed:\n{done.stderr.strip()}")
    return done.returncode == 0


def leaders(where: Mapping[str, Address]) -> dict[str, str]:
    """Return whom each node takes for the leader: "" for nobody, or if it does not answer."""
    said = {node: status(address) for node, address in where.items()}
    names = {each["header"]["member_id"]: node for node, each in said.items() if each}
    return {node: names.get(each.get("leader", ""), "") for node, each in said.items()}


def status(address: Address) -> Any:
    """Return what a node says of itself; an empty dict if it does not answer."""
    with suppress(OSError, HTTPException, ValueError):
        return ask(address, "maintenance/status", {})
    return {}


def ask(address: Address, path: str, request: Mapping[str, Any], seconds: float = SECONDS) -> Any:
    """Send a request to the JSON gateway of a node, and return its answer; OSError if none comes.

    Source: etcd 3.5, "gRPC gateway".
    """
    url = f"http://{address}/v3/{path}"
    with urllib.request.urlopen(url, json.dumps(request).encode(), seconds) as response:
        return json.load(response)


def put(address: Address, name: str, value: object) -> None:
    """Set a value; OSError if no answer says so."""
    ask(address, "kv/put", {"key": encoded(name), "value": encoded(str(value))}, 5 * SECONDS)


def encoded(text: str) -> str:
    """Return a text as JSON has it: proto3's mapping of bytes, base64."""
    return b64encode(text.encode()).decode()


def until(condition: Callable[[], T], what: str, seconds: float = START_SECONDS) -> T:
    """Return what `condition` returns as soon as that is true; LabError if it never is."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise LabError(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(EVERY)
    return value


def image() -> str:
    """Return the name of the image, which is that of the lab."""
    return f"{project()}-etcd"


def stack() -> Stack:
    """Return the project, whose file is made here of what compose.yaml says of the nodes."""
    lab = yaml.safe_load((ROOT / "compose.yaml").read_text())
    document = {
        "services": {node: described(node, lab["services"][node]) for node in NODES},
        "networks": {BETWEEN: lab["networks"][BETWEEN], **dict.fromkeys(NODES)},
        "volumes": {node: lab["volumes"][node] for node in NODES},
    }
    file = Local().folder / "lesson.json"  # which is YAML too
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document, indent=2) + "\n")
    return Stack(PROJECT.format(project()), files=(file,))


def described(node: str, block: Mapping[str, Any]) -> dict[str, Any]:
    """Return a node as compose.yaml has it, but for what a lesson needs otherwise."""
    kept = {key: block[key] for key in block if key not in ("build", "healthcheck", "profiles")}
    own = {"image": image(), "networks": [BETWEEN, node], "ports": ["127.0.0.1:0:2379/tcp"]}
    return kept | own


def require(of: Lesson) -> None:
    """Raise LabError where a lesson needs nodes of etcd and there can be none."""
    if of.needs == "cluster" and (problem := missing()):
        raise LabError(f"lesson {of.number} needs three nodes of etcd in containers, and {problem}")


def missing() -> str:
    """Return what is missing for nodes of etcd, and what to do, or nothing."""
    if not engine.answers():
        return "no container engine answers: `make up PROFILE=cluster` sets one up"
    if not engine.has_image(image()):
        return "the image of etcd is not built: `make workshop-ready` builds it"
    return ""


@contextmanager
def needed(of: Lesson) -> Iterator[Cluster | None]:
    """Lend the cluster, if a lesson needs one; LabError where there can be none."""
    require(of)
    with cluster() if of.needs == "cluster" else nullcontext() as nodes:
        yield nodes


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Start the nodes, and remove them at the end; those that run already are lent, and stay."""
    made = stack()
    made.check_own()
    nodes = Cluster(made)
    if made.left():
        yield nodes
        nodes.restore()
        return
    try:
        with step("starting three nodes of etcd"), interrupts.finishing():
            made.compose("--project-directory", str(ROOT), "up", "--detach", "--no-build")
        nodes.restore()
        yield nodes
    finally:
        with interrupts.finishing():
            remove(made)


def remove(made: Stack) -> None:
    """Remove the nodes, with their data."""
    made.compose("down", "--volumes", "--remove-orphans", "--timeout", "0")


def remove_if_there() -> None:
    """Remove nodes that a check has left, since it was killed."""
    if Stack(PROJECT.format(project())).left():
        with step("removing the nodes of a lesson"):
            remove(stack())


def main() -> int:
    """Run the nodes until Ctrl-C; write where they are into mine/nodes."""
    interrupts.install()
    settings.load()
    if problem := missing():
        complain(f"wirelab: {problem}")
        return 1
    with suppress(KeyboardInterrupt), cluster() as nodes:
        where = nodes.restore()
        note(where)
        for node, address in where.items():
            print(f"{nodes.container(node)}: listening on {address}", flush=True)
        while True:
            signal.pause()
    return 0


def note(where: Mapping[str, Address]) -> Path:
    """Write where the nodes are, as WIRELAB_ETCD has it, and return the file."""
    MINE.mkdir(parents=True, exist_ok=True)
    file = MINE / "nodes"
    file.write_text(",".join(map(str, where.values())) + "\n")
    return file


if __name__ == "__main__":
    sys.exit(main())
