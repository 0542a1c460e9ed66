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

from clients.addresses import PORTS, RELAY, Address, variable
from lab import ROOT, LabError
from services.runtime import port_number

FILE = ROOT / "compose.yaml"
CLASS = "class"  # the profile of what `make class-server` starts, and nothing else does
REFERENCE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


@dataclass(frozen=True)
class Port:
    """Where a server is published on the host: 0 is for a port that the engine picks.

    `setting` names the port's variable, `bind` that of the address, nothing where that is fixed.
    `speaks` is the service whose protocol is spoken there: the relay has a port for each.
    """

    server: str
    speaks: str
    host: str
    published: int
    target: int
    protocol: str
    setting: str
    bind: str

    def __str__(self) -> str:
        return f"{self.where}/{self.protocol}"

    @property
    def where(self) -> Address:
        """The address and the number."""
        return Address(self.host, self.published)

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
    ports: tuple[Port, ...]
    volumes: dict[str, str]
    ephemeral: set[str]

    @property
    def port(self) -> Port:
        """The first port: the server's own, where its health is asked for."""
        return self.ports[0]


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

    Raises LabError for a profile that no server has, for a port that is none, and for one that is
    to be had twice; of all servers, as Compose reads all of the file.
    """
    document = filled(environ)
    servers = {
        name: block
        for name, block in document["services"].items()
        if isinstance(block, dict) and "ports" in block
    }
    known = {word for block in servers.values() for word in block.get("profiles", ())} - {CLASS}
    if profile and profile not in {"*", *known}:
        raise LabError(
            f"PROFILE has value {profile!r}. Not a profile of servers, which are:"
            f" {', '.join(sorted(known))}"
        )
    volumes = document["volumes"].items()
    ephemeral = {
        name for name, volume in volumes if "wirelab.ephemeral" in (volume or {}).get("labels", {})
    }
    found = [_server(name, block, ephemeral, environ) for name, block in servers.items()]
    for one, other in combinations([port for each in found for port in each.ports], 2):
        if one.same(other):
            raise LabError(
                f"{one.setting} and {other.setting} both have value {one.published}: each needs a"
                " port of its own"
            )
    return [each for each in found if not each.profiles or profile in ("*", *each.profiles)]


def _server(
    name: str, block: Mapping[str, Any], ephemeral: set[str], environ: Mapping[str, str]
) -> Service:
    """Return what compose.yaml says of a server; LabError for a port that is none, or for less."""
    try:
        speaks = block["healthcheck"]["test"][-1]
        templates = _template()["services"][name]["ports"]
        return Service(
            name=name,
            speaks=speaks,
            profiles=block.get("profiles", []),
            command=[str(word) for word in block["command"]],
            environment={key: str(value) for key, value in block.get("environment", {}).items()},
            ports=tuple(_port(name, speaks, template, environ) for template in templates),
            volumes=dict(volume.split(":")[:2] for volume in block.get("volumes", ())),
            ephemeral=ephemeral,
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise LabError(f"{FILE} cannot be used: service {name!r}: {error!r}") from None


def filled(environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Return compose.yaml as a document, with its variables filled in."""
    document: dict[str, Any] = _filled(_template(), environ)
    return document


def own(ports: Mapping[str, Address]) -> dict[str, Address]:
    """Return where each server is itself, of ports by their settings."""
    return {
        service.name: ports[service.port.setting]
        for service in services({}, profile="*")
        if service.port.setting in ports
    }


def through_relay(ports: Mapping[str, Address]) -> dict[str, Address]:
    """Return where each service is reached through the relay, of ports by their settings."""
    return {
        port.speaks: ports[port.setting]
        for service in services({})
        for port in service.ports
        if port.speaks != port.server == RELAY and port.setting in ports
    }


def built(profile: str = "") -> list[str]:
    """Return the services that an image is built for, those of `profile` too; some share one."""
    return [
        name
        for name, block in _template()["services"].items()
        if "build" in block and {*block.get("profiles", ("clients",))} & {"clients", profile}
    ]


def only_in_containers(profile: str) -> list[str]:
    """Return what a profile has beside the lab's servers: it cannot run without an engine."""
    blocks = _template()["services"].items()
    return [name for name, block in blocks
            if profile in block.get("profiles", ()) and "ports" not in block]  # fmt: skip


def replicated(servers: Mapping[str, Address]) -> dict[str, str]:
    """Return the variables that name all replicas of a service, of those that run.

    `servers` says where each server is that runs.
    """
    found: dict[str, list[str]] = {}
    for each in services({}, profile="cluster"):
        if each.profiles and each.name in servers:
            found.setdefault(variable(each.speaks), []).append(str(servers[each.name]))
    return {name: ",".join(places) for name, places in found.items()}


def clients_environment() -> dict[str, str]:
    """Return what the clients' container is told: where the servers are, and the key."""
    return dict(_template()["services"]["clients"]["environment"])


def port_variable(server: str) -> str:
    """Return the name of the setting for the port that `server` itself is published on."""
    return variable(server).replace("_ADDRESS", "_PORT")


def _port(server: str, speaks: str, template: str, environ: Mapping[str, str]) -> Port:
    """Read a port as compose.yaml has it, `${BIND:-host}:${SETTING:-published}:target/protocol`."""
    # Before it is filled in: a value may have colons too.
    parts = re.split(r":(?![^{]*\})", template)
    bind, setting = (found[1] if (found := REFERENCE.search(part)) else "" for part in parts[:2])
    host, published, target = (_filled(part, environ) for part in parts)
    leading = {port_variable(f"{server}-{service}"): service for service in PORTS}
    number, _, protocol = target.partition("/")
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        raise LabError(f"{bind} has value {host!r}. Not an IPv4 address") from None
    try:
        return Port(
            server=server,
            speaks=leading.get(setting, speaks),
            host=host,
            published=port_number(published),
            target=int(number),
            protocol=protocol,
            setting=setting,
            bind=bind,
        )
    except ValueError as error:
        raise LabError(f"{setting} has value {published!r}. Not {error}") from None


@functools.cache
def _template() -> dict[str, Any]:
    """Return compose.yaml as it stands there; LabError for what is no description of a stack."""
    try:
        with FILE.open(encoding="utf-8") as stream:
            document: dict[str, Any] = yaml.safe_load(stream)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise LabError(f"{FILE} cannot be used:\n{error}") from None
    for name in ("name", "services", "volumes"):
        if not isinstance(document, dict) or not document.get(name):
            raise LabError(f"{FILE} cannot be used: it has no {name!r}")
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
