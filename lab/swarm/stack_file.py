"""compose.yaml as a file for `docker stack deploy`: what becomes of each key, and why.

`docker stack deploy` reads version 3 of the format. It refuses keys that are not in its schema, and
leaves others out, some of them without a word: cli/compose/types/types.go of docker/cli has the
lists. So each key that a container of compose.yaml has stands in `KEPT` or `CHANGED`, and another
one is an error until somebody has looked up what it means here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lab import LabError
from lab.description import Port

VERSION = "3.9"  # the first whose schema has a limit of processes
NETWORK = "default"
UNITS = {"k": 1024, "m": 1024**2, "g": 1024**3}

Block = dict[str, Any]
Change = Callable[[Block, Any], None]


@dataclass(frozen=True)
class Deployment:
    """What is asked for beside compose.yaml.

    `data_node` is the ID of the node that has the volumes, `foreign` those of the nodes that do not
    have the images; `digest` tells keys apart, and `images` has the ID of each image by its name.
    """

    name: str
    data_node: str
    foreign: Sequence[str]
    digest: str
    images: Mapping[str, str]
    replicas: Mapping[str, int]
    published: Sequence[Port]


# What means the same to `docker stack deploy`.
KEPT = (
    "cap_drop", "command", "entrypoint", "environment", "healthcheck", "image", "init", "labels",
    "logging", "read_only", "secrets", "stop_grace_period", "ulimits", "user",
)  # fmt: skip


def left_out(_made: Block, _value: Any) -> None:
    """Leave a key out."""


def limit(name: str) -> Change:
    """Return what makes a key a limit of that name."""

    def change(made: Block, value: Any) -> None:
        made["deploy"]["resources"]["limits"][name] = value

    return change


def one_core(made: Block, _value: Any) -> None:
    """Allow a container one core."""
    made["deploy"]["resources"]["limits"]["cpus"] = "1.0"


def restart_policy(made: Block, _value: Any) -> None:
    """Have whatever ends started again, a second later."""
    made["deploy"]["restart_policy"] = {"condition": "any", "delay": "1s"}


def more_volumes(made: Block, value: Sequence[str]) -> None:
    """Mount volumes."""
    made.setdefault("volumes", []).extend(value)


def tmpfs_volumes(made: Block, value: Sequence[str]) -> None:
    """Mount file systems in memory, `target:mode=...,size=...`, as volumes of type tmpfs."""
    for each in value:
        target, _, options = each.partition(":")
        size = dict(option.split("=") for option in options.split(","))["size"]
        volume = {"type": "tmpfs", "target": target, "tmpfs": {"size": in_bytes(size)}}
        made.setdefault("volumes", []).append(volume)


CHANGED: dict[str, tuple[Change, str]] = {
    "build": (
        left_out,
        "ignored: a swarm builds nothing. Images are built here, and saved and loaded on each node",
    ),
    "cpu_shares": (
        one_core,
        "refused: Swarm knows no weights, only ceilings. One core is what a Python process takes",
    ),
    "depends_on": (left_out, "without effect: all services start at once, in any order"),
    "dns_opt": (
        left_out,
        "refused. It shortens the search for a variant that does not run, and none runs here",
    ),
    "mem_limit": (limit("memory"), "refused: it is a limit of deploy.resources"),
    "pids_limit": (limit("pids"), "refused: it is a limit of deploy.resources"),
    "ports": (
        left_out,
        "an address is dropped: 127.0.0.1:8080 would be open to all. PUBLISH names what is to be",
    ),
    "profiles": (left_out, "refused by older versions: what runs is chosen here"),
    "restart": (restart_policy, "ignored: it is deploy.restart_policy"),
    "security_opt": (
        left_out,
        "ignored: no-new-privileges is a setting of each engine, in its daemon.json",
    ),
    "tmpfs": (
        tmpfs_volumes,
        "without effect: it is a volume of type tmpfs, whose mode is 1777 by default",
    ),
    "volumes": (more_volumes, "the same, beside those of type tmpfs; each node has its own"),
}


def stack_file(document: Block, deployment: Deployment) -> Block:
    """Return the file for all servers of compose.yaml that have no profile.

    `document` is compose.yaml with its variables filled in. Raises LabError for a key that nobody
    has looked up.
    """
    made = {
        name: service(name, block, document, deployment)
        for name, block in document["services"].items()
        if "ports" in block and not block.get("profiles")
    }
    secrets = {name for each in made.values() for name in each.get("secrets", ())}
    mounted = {source(str(volume)) for each in made.values() for volume in each.get("volumes", ())}
    return escaped_file(
        {
            "version": VERSION,
            "services": made,
            "networks": {NETWORK: {"driver": "overlay"}},
            "volumes": {name: {} for name in sorted(lasting(document) & mounted)},
            # A secret cannot be changed: another key is another secret, and other containers. Those
            # of builds (ca_bundle may be empty, which is refused) are not wanted here.
            "secrets": {
                name: {
                    "name": secret_name(deployment, name),
                    "file": document["secrets"][name]["file"],
                }
                for name in sorted(secrets)
            },
        }
    )


def clients_file(
    document: Block,
    deployment: Deployment,
    arguments: Sequence[str],
    environment: Mapping[str, str],
) -> Block:
    """Return the file for the clients, which run once, in the network of the servers.

    They run on the node with the data, a manager: another one may be gone.
    """
    made = service("clients", document["services"]["clients"], document, deployment)
    made["deploy"]["placement"]["constraints"] = [f"node.id=={deployment.data_node}"]
    made["command"] = list(arguments)
    made["environment"] |= environment
    made["deploy"]["restart_policy"] = {"condition": "none"}
    network = {"external": True, "name": f"{deployment.name}_{NETWORK}"}
    secrets = {
        name: {"external": True, "name": secret_name(deployment, name)} for name in made["secrets"]
    }
    return escaped_file(
        {
            "version": VERSION,
            "services": {"clients": made},
            "networks": {NETWORK: network},
            "secrets": secrets,
        }
    )


def service(name: str, block: Block, document: Block, deployment: Deployment) -> Block:
    """Return the block of one service."""
    constraints = [f"node.id!={node}" for node in deployment.foreign]
    if any(source(volume) in lasting(document) for volume in block.get("volumes", ())):
        constraints = [f"node.id=={deployment.data_node}"]  # a volume is of the node that made it
    made: Block = {
        "deploy": {
            "replicas": deployment.replicas.get(name, 1),
            # All addresses by DNS. The other mode, one virtual address, takes a kernel with IPVS.
            "endpoint_mode": "dnsrr",
            "placement": {"constraints": constraints},
            "resources": {"limits": {}},
        }
    }
    for key, value in without_sockets(block, lasting(document)).items():
        if key in KEPT:
            made[key] = value
        elif key in CHANGED:
            change, _ = CHANGED[key]
            change(made, value)
        else:
            raise LabError(
                f"compose.yaml, {name}: lab/swarm/stack_file.py does not say what becomes of"
                f" {key!r} on Docker Swarm"
            )
    # A swarm goes by the names of images: the ID has what runs replaced where the image is another.
    if identity := deployment.images.get(f"{block['image']}:latest"):
        made["labels"] = {**made.get("labels", {}), "wirelab.image": identity}
    if ports := [port for port in deployment.published if port.server == name]:
        # The other mode, a port of all nodes, takes IPVS too.
        made["ports"] = [
            {
                "target": port.target,
                "published": port.published,
                "protocol": port.protocol,
                "mode": "host",
            }
            for port in ports
        ]
    return made


def without_sockets(block: Block, kept: set[str]) -> Block:
    """Return a block without volumes of sockets, and without what it is told of paths in them.

    A UNIX socket is of one machine, and a server and its clients may be on two.
    """
    volumes = list(block.get("volumes", ()))
    gone = tuple(each.split(":")[1] for each in volumes if source(each) not in kept)
    environment = {
        name: value
        for name, value in block.get("environment", {}).items()
        if not (gone and str(value).startswith(gone))
    }
    changed = {
        "volumes": [volume for volume in volumes if source(volume) in kept],
        "environment": environment,
    }
    return {**block, **{key: value for key, value in changed.items() if key in block}}


def source(volume: str) -> str:
    """Return the name of a volume, of `name:target`."""
    return volume.partition(":")[0]


def lasting(document: Block) -> set[str]:
    """Return the names of the volumes with data, not those of sockets."""
    return {
        name
        for name, volume in document["volumes"].items()
        if "wirelab.ephemeral" not in (volume or {}).get("labels", {})
    }


def secret_name(deployment: Deployment, name: str) -> str:
    """Return the name of a secret in the swarm."""
    return f"{deployment.name}_{name}_{deployment.digest}"


def in_bytes(size: str) -> int:
    """Return the bytes of a size such as 16m."""
    return int(size[:-1]) * UNITS[size[-1]] if size[-1] in UNITS else int(size)


def escaped_file(file: Block) -> Block:
    """Return a file in which no $ is taken for a variable by `docker stack deploy`."""
    return {name: escaped(part) for name, part in file.items()}


def escaped(part: Any) -> Any:
    """Return a part of such a file."""
    if isinstance(part, str):
        return part.replace("$", "$$")
    if isinstance(part, list):
        return [escaped(each) for each in part]
    if isinstance(part, dict):
        return {name: escaped(each) for name, each in part.items()}
    return part
