"""What compose.yaml says of the lab: its servers, their ports, and what the clients are told."""

import functools
import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import yaml

from clients.addresses import variable
from lab import ROOT, LabError
from services.runtime import port_number

REFERENCE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


@dataclass(frozen=True)
class Port:
    """Where a service listens on the host: 0 is for a port that the engine picks."""

    host: str
    published: int
    target: int
    protocol: str

    def __str__(self) -> str:
        return f"{self.host}:{self.published}/{self.protocol}"

    def same(self, other: "Port") -> bool:
        """Whether only one of the two can be had: the same number, on an address of both."""
        return (
            0 != self.published == other.published
            and self.protocol == other.protocol
            and (self.host == other.host or "0.0.0.0" in (self.host, other.host))
        )


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
    name = environ.get("COMPOSE_PROJECT_NAME") or str(_template()["name"])
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
        raise LabError(
            f"COMPOSE_PROJECT_NAME has value {name!r}. Not a name of lower-case letters, digits,"
            " hyphens and underscores"
        )
    return name


def services(environ: Mapping[str, str] = os.environ, profile: str = "") -> list[Service]:
    """Return the servers that run by default, and those of `profile` too ("*": of any).

    Raises LabError for a profile that no server has, for a port that is none, and where two servers
    would have the same; of all servers, as Compose reads all of the file.
    """
    document = _filled(_template(), environ)
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
    known_servers = [
        Service(
            name=name,
            speaks=block["healthcheck"]["test"][-1],
            profiles=block.get("profiles", []),
            command=[str(word) for word in block["command"]],
            environment={key: str(value) for key, value in block.get("environment", {}).items()},
            port=_port(name, environ),
            volumes=dict(volume.split(":")[:2] for volume in block.get("volumes", ())),
            ephemeral=ephemeral,
            variable=port_variable(name),
        )
        for name, block in servers.items()
    ]
    for one, other in combinations(known_servers, 2):
        if one.port.same(other.port):
            raise LabError(
                f"{port_variable(one.name)} and {port_variable(other.name)} both have value"
                f" {one.port.published}: {one.name} and {other.name} need a port each"
            )
    return [
        service
        for service in known_servers
        if not service.profiles or profile in ("*", *service.profiles)
    ]


def built() -> list[str]:
    """Return the names of the services that an image is built for; variants share theirs."""
    return [name for name, block in _template()["services"].items() if "build" in block]


def clients_environment() -> dict[str, str]:
    """Return what the clients' container is told: where the servers are, and the key."""
    return dict(_template()["services"]["clients"]["environment"])


def port_variable(service: str) -> str:
    """Return the name of the setting for the port that `service` is published on."""
    return variable(service).replace("_ADDRESS", "_PORT")


def _port(service: str, environ: Mapping[str, str]) -> Port:
    template: str = _template()["services"][service]["ports"][0]
    # Before it is filled in: a value may have colons too.
    host, published, target = (
        _filled(part, environ) for part in re.split(r":(?![^{]*\})", template)
    )
    number, _, protocol = target.partition("/")
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        raise LabError(f"WIRELAB_BIND has value {host!r}. Not an IPv4 address") from None
    try:
        return Port(host, port_number(published), int(number), protocol)
    except ValueError as error:
        raise LabError(f"{port_variable(service)} has value {published!r}. Not {error}") from None


@functools.cache
def _template() -> dict[str, Any]:
    """Return compose.yaml as it stands there."""
    document: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return document


def _filled(part: Any, environ: Mapping[str, str]) -> Any:
    """Return a part of it with `${NAME}` and `${NAME:-default}` replaced in texts, as Compose does.

    Whatever a value is, it stays one text: it is no YAML.
    """
    if isinstance(part, str):
        return REFERENCE.sub(lambda found: environ.get(found[1]) or found[2] or "", part)
    if isinstance(part, list):
        return [_filled(each, environ) for each in part]
    if isinstance(part, dict):
        return {name: _filled(each, environ) for name, each in part.items()}
    return part
