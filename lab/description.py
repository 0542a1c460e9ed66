"""What compose.yaml says of the lab: its servers, their ports, and what the clients are told."""

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from clients.addresses import variable
from lab import ROOT, LabError

REFERENCE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


@dataclass(frozen=True)
class Port:
    """Where a service listens on the host: 0 is for a port that the engine picks."""

    host: str
    published: int
    target: int
    protocol: str


@dataclass(frozen=True)
class Service:
    """One server of compose.yaml, with its variables filled in.

    `speaks` is the service whose protocol it speaks: for a variant, the one that it is one of.
    """

    name: str
    speaks: str
    profiles: list[str]
    command: list[str]
    environment: dict[str, str]
    port: Port
    volumes: dict[str, str]
    ephemeral: set[str]
    variable: str


def project(environ: Mapping[str, str] = os.environ) -> str:
    """Return the name of the lab: `COMPOSE_PROJECT_NAME`, or else the one in compose.yaml."""
    name = environ.get("COMPOSE_PROJECT_NAME") or str(_document(environ={})["name"])
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
        raise LabError(
            f"COMPOSE_PROJECT_NAME has value {name!r}. Not a name of lower-case letters, digits,"
            " hyphens and underscores"
        )
    return name


def services(environ: Mapping[str, str] = os.environ, profile: str = "") -> list[Service]:
    """Return the servers that run by default, and those of `profile` too ("*": of any).

    Raises LabError for a profile that no server has, and for a port that is none.
    """
    document = _document(environ)
    servers = {name: block for name, block in document["services"].items() if "ports" in block}
    known = {word for block in servers.values() for word in block.get("profiles", ())}
    if profile and profile not in {"*", *known}:
        raise LabError(
            f"PROFILE has value {profile!r}. Not a profile of servers, which are:"
            f" {', '.join(sorted(known))}"
        )
    labels = {
        name: (volume or {}).get("labels", {}) for name, volume in document["volumes"].items()
    }
    ephemeral = {name for name in labels if "wirelab.ephemeral" in labels[name]}
    return [
        Service(
            name=name,
            speaks=block["healthcheck"]["test"][-1],
            profiles=block.get("profiles", []),
            command=[str(word) for word in block["command"]],
            environment={key: str(value) for key, value in block.get("environment", {}).items()},
            port=_port(name, block["ports"][0]),
            volumes=dict(volume.split(":")[:2] for volume in block.get("volumes", ())),
            ephemeral=ephemeral,
            variable=port_variable(name),
        )
        for name, block in servers.items()
        if "profiles" not in block or profile in ("*", *block["profiles"])
    ]


def built() -> list[str]:
    """Return the names of the services that an image is built for; variants share theirs."""
    return [name for name, block in _document(environ={})["services"].items() if "build" in block]


def clients_environment() -> dict[str, str]:
    """Return what the clients' container is told: where the servers are, and the key."""
    return dict(_document(environ={})["services"]["clients"]["environment"])


def port_variable(service: str) -> str:
    """Return the name of the setting for the port that `service` is published on."""
    return variable(service).replace("_ADDRESS", "_PORT")


def _port(service: str, text: str) -> Port:
    host, published, target = text.rsplit(":", 2)
    number, _, protocol = target.partition("/")
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        raise LabError(f"WIRELAB_BIND has value {host!r}. Not an IPv4 address") from None
    if not published.isdigit() or int(published) > 65535:
        raise LabError(
            f"{port_variable(service)} has value {published!r}. Not a port number (0 to 65535)"
        )
    return Port(host, int(published), int(number), protocol)


def _document(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return compose.yaml with `${NAME}` and `${NAME:-default}` replaced as Compose does."""
    text = (ROOT / "compose.yaml").read_text()
    document: dict[str, Any] = yaml.safe_load(
        REFERENCE.sub(lambda found: environ.get(found[1]) or found[2] or "", text)
    )
    return document
