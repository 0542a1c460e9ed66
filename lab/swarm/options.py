"""What `make swarm` is asked for: SCALE="rest=4", PUBLISH="rest", NODES="ssh://one ssh://two"."""

import ipaddress
from collections.abc import Iterable, Mapping

from lab import LabError
from lab.description import Port, services
from lab.swarm.nodes import LOOPBACK, Node

MAX_REPLICAS = 64
SCALABLE = ("tcp-echo", "rest", "object-echo", "rpc")
# Of the others one replica runs.
REASONS = {
    "udp-time": "a client compares its clock with that of one server",
    "kv": "its data is a file on one node",
    "httpbin": "it is not a server of the lab's, and there for clients to look at",
    "relay": "its toxics and its journal are in the memory of one process",
    "console": "a page belongs to the process that it is from",
}


def scale(text: str) -> dict[str, int]:
    """Return how many replicas of services are asked for; raises LabError with what is wrong."""
    found: dict[str, int] = {}
    for word in text.split():
        name, equals, count = word.partition("=")
        if not equals:
            raise LabError(f"SCALE has value {text!r}. Not SERVICE=COUNT: {word!r}")
        check_service("SCALE", text, name)
        if name in found:
            raise LabError(f"SCALE has value {text!r}. More than one count of {name}")
        if not (count.isascii() and count.isdigit() and 1 <= int(count[:9]) <= MAX_REPLICAS):
            raise LabError(
                f"SCALE has value {text!r}. Not a whole number from 1 to {MAX_REPLICAS}: {count!r}"
            )
        if name not in SCALABLE and int(count) > 1:
            raise LabError(
                f"SCALE has value {text!r}. Of {name} one replica runs: {REASONS[name]}. More can"
                f" run of {', '.join(SCALABLE)}"
            )
        found[name] = int(count)
    return found


def published(text: str, replicas: Mapping[str, int], nodes: int) -> list[Port]:
    """Return the ports that are to be open to whoever reaches a node."""
    known = {service.name: service for service in services()}
    found = []
    for name in dict.fromkeys(text.split()):
        check_service("PUBLISH", text, name)
        port = known[name].port
        if not port.bind:
            raise LabError(
                f"PUBLISH has value {text!r}. {name} is for 127.0.0.1 alone (compose.yaml), and a"
                " swarm publishes on all addresses of a node"
            )
        if (count := replicas.get(name, 1)) > nodes:
            raise LabError(
                f"PUBLISH has value {text!r}. Each of the {count} replicas of {name} needs port"
                f" {port.published} of a node for itself, and there are {nodes} nodes"
            )
        found.append(port)
    return found


def check_service(setting: str, text: str, name: str) -> None:
    """Raise LabError unless there is a service of this name."""
    if name not in (known := [service.name for service in services()]):
        raise LabError(
            f"{setting} has value {text!r}. No service {name!r}; there are {', '.join(known)}"
        )


def nodes(text: str) -> list[Node]:
    """Return the engines that are to be nodes, a manager first; `ENGINE=ADDRESS` gives an address.

    Without any it is the engine of this machine, which then is a swarm for itself.
    """
    found = []
    for word in text.split():
        engine, equals, address = word.partition("=")
        if "://" not in engine:
            raise LabError(
                f"NODES has value {text!r}. Not an engine, as in DOCKER_HOST: {engine!r}. They are"
                " written unix:///run/docker.sock, ssh://user@host or tcp://host:2376"
            )
        if equals:
            try:
                ipaddress.ip_address(address)
            except ValueError:
                raise LabError(
                    f"NODES has value {text!r}. Not an IP address: {address!r}"
                ) from None
        found.append(Node(engine, address))
    if len({node.engine for node in found}) < len(found):
        raise LabError(f"NODES has value {text!r}. An engine is named more than once")
    return found or [Node("", LOOPBACK)]


def written(nodes: Iterable[Node]) -> str:
    """Return nodes as they are written in NODES: nothing for this machine's engine alone."""
    words = [f"{node.engine}={node.address}" if node.address else node.engine for node in nodes]
    return " ".join(word for word in words if not word.startswith("="))
