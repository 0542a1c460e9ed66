"""Where each service is.

`WIRELAB_<SERVICE>_ADDRESS` says so as `host:port`, with an IPv6 address in brackets: `[::1]:20000`.
Of a service that has replicas it can name them all, with commas; the first is asked first.
Otherwise a service listens on its port, in the table below: with `WIRELAB_DISCOVERY=dns` on the
host of its name, as in the network of compose.yaml, and without on loopback. A variant is a name
of its own, as `tcp-echo-forked`, on the port of its service.

Through the relay, a service is where its control is, on the service's port + 20; or where
`WIRELAB_RELAY_<SERVICE>_ADDRESS` says.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from services import addresses

PORTS = {
    "tcp-echo": 20000,
    "udp-time": 20000,
    "rest": 8080,
    "kv": 15000,
    "object-echo": 25000,
    "rpc": 17000,
    "httpbin": 8081,
    "relay": 8474,
    "console": 8090,
}
RELAY, CONSOLE = "relay", "console"
BEYOND = 20  # what a service's port and its port at the relay differ by
DISCOVERY = "WIRELAB_DISCOVERY"


class Address(NamedTuple):
    """A host name, IPv4 or IPv6 address, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return addresses.join(*self)


def variable(server: str) -> str:
    """Return the name of the environment variable that holds the address of `server`."""
    return f"WIRELAB_{server.upper().replace('-', '_')}_ADDRESS"


def variables(
    direct: Mapping[str, Address], relayed: Mapping[str, Address] = MappingProxyType({})
) -> dict[str, str]:
    """Return the variables that say where servers are, and where the relay leads to them."""
    return {
        **{variable(name): str(where) for name, where in direct.items()},
        **{variable(f"{RELAY}-{name}"): str(where) for name, where in relayed.items()},
    }


def address(service: str, environ: Mapping[str, str] = os.environ) -> Address:
    """Return where `service` is; ValueError for a variable that does not say it."""
    return known(service, service, environ) or Address("127.0.0.1", PORTS[service])


def replicas(service: str, environ: Mapping[str, str] = os.environ) -> list[Address]:
    """Return where all replicas of `service` are; ValueError for a bad variable."""
    return listed(variable(service), environ) or [address(service, environ)]


def through_relay(service: str, environ: Mapping[str, str] = os.environ) -> Address:
    """Return where `service` is reached through the relay; ValueError for a bad variable."""
    name = variable(f"{RELAY}-{service}")
    if value := environ.get(name):
        return host_and_port(value, name)
    return Address(address(RELAY, environ).host, PORTS[service] + BEYOND)


def known(server: str, service: str, environ: Mapping[str, str] = os.environ) -> Address | None:
    """Return where a server is that speaks as `service`, or None if nothing says it.

    Raises ValueError for a variable with another value than it can have.
    """
    if found := listed(variable(server), environ):
        return found[0]
    if discovered_by_dns(environ):
        return Address(server, PORTS[service])
    return None


def discovered_by_dns(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a server is the host of its name; ValueError for another way to find it."""
    value = environ.get(DISCOVERY, "")
    if value not in ("", "dns"):
        raise ValueError(f"{DISCOVERY} has value {value!r}. Not 'dns', nor empty")
    return bool(value)


def unix_socket(server: str, environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the UNIX socket of a server, in the folder `WIRELAB_SOCKETS`, if it is there."""
    folder = environ.get("WIRELAB_SOCKETS")
    path = Path(folder) / f"{server}.sock" if folder else None
    return path if path and path.is_socket() else None


def listed(name: str, environ: Mapping[str, str]) -> list[Address]:
    """Return the addresses in the variable `name`, which has commas between them; none if unset."""
    value = environ.get(name)
    return [host_and_port(part, name) for part in value.split(",")] if value else []


def host_and_port(value: str, name: str) -> Address:
    """Parse `host:port`, the value of the variable `name`; ValueError for what is not."""
    try:
        return Address(*addresses.split(value))
    except ValueError as error:
        raise ValueError(f"{name} has value {value!r}. Not {error}") from None
