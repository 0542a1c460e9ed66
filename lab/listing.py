"""Where the servers listen, in columns: each itself, and where the relay passes on to it."""

import re
from collections.abc import Mapping, Sequence

from clients.addresses import Address
from lab.description import Port, services

WEB = {"rest", "httpbin", "kv", "console"}  # what a browser or an HTTP client can be pointed at
DIRECTLY, RELAYED = "directly", "via the relay"
UP = re.compile(r"Up (?:About |Less than )?(.+) \((?:health: )?(\w+)\)")


def addresses(ports: Mapping[str, Address]) -> str:
    """Return where clients reach each server that has one of these ports, by their settings."""
    rows = [("server", DIRECTLY, RELAYED)]
    for name, (own, leading) in _ports().items():
        if own.setting in ports:
            rows.append((name, _url(own, ports), _url(leading, ports)))
    return columns(rows)


def states(states: Mapping[str, str], ports: Mapping[str, Address]) -> str:
    """Return the state of each server, and where it listens; variants only if they have a state."""
    rows = [("server", "state", DIRECTLY, RELAYED)]
    optional = {service.name for service in services({}, "*") if service.profiles}
    for name, (own, leading) in _ports().items():
        if name in states or name not in optional:
            state = states.get(name, "not running")
            rows.append((name, state, _text(own, ports), _text(leading, ports)))
    return columns(rows)


def short(status: str) -> str:
    """Return the status of a container, `Up 2 minutes (healthy)`, as `healthy, 2 minutes`."""
    return UP.sub(r"\2, \1", status)


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as lines, each column as wide as the longest text in it."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _ports() -> dict[str, tuple[Port, Port | None]]:
    """Return the port of each server, and the one that the relay has for it."""
    known = services({}, "*")
    leading = {port.speaks: port for service in known for port in service.ports[1:]}
    return {service.name: (service.port, leading.get(service.name)) for service in known}


def _text(port: Port | None, ports: Mapping[str, Address]) -> str:
    """Return where a port is, or nothing."""
    return str(ports[port.setting]) if port and port.setting in ports else ""


def _url(port: Port | None, ports: Mapping[str, Address]) -> str:
    """Return the same, as a URL where HTTP is spoken."""
    text = _text(port, ports)
    return f"http://{text}/" if text and port and port.speaks in WEB else text
