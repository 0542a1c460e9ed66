"""Where each service is: `WIRELAB_<SERVICE>_ADDRESS` as `host:port`, by default on loopback.

An IPv6 address stands in brackets, `[::1]:20000`.
"""

import os
from collections.abc import Mapping
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
}


class Address(NamedTuple):
    """A host name, IPv4 or IPv6 address, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return addresses.join(*self)


def variable(service: str) -> str:
    """Return the name of the environment variable that holds the address of `service`."""
    return f"WIRELAB_{service.upper().replace('-', '_')}_ADDRESS"


def address(service: str, environ: Mapping[str, str] = os.environ) -> Address:
    """Return where `service` is; ValueError for a variable that is not `host:port`."""
    value = environ.get(variable(service)) or f"127.0.0.1:{PORTS[service]}"
    return host_and_port(value, variable(service))


def host_and_port(value: str, name: str) -> Address:
    """Parse `host:port`, the value of the variable `name`; ValueError for what is not."""
    try:
        return Address(*addresses.split(value))
    except ValueError as error:
        raise ValueError(f"{name} has value {value!r}. Not {error}") from None
