"""Ports that somebody else has: found before a start fails on them."""

import errno
import socket

import psutil

from lab import LabError
from lab.description import Service, port_variable
from lab.engine import docker


def check(services: list[Service]) -> None:
    """Raise LabError that names each port which is in use, and by whom if that can be known."""
    taken = [
        f"{where}/{service.port.protocol}, which {service.name} is to be published on,"
        f" is in use{owner(service)}: free it, or set {port_variable(service.name)}"
        f" (0: any free port)"
        for service in services
        if in_use(service)
        for where in [f"{service.port.host}:{service.port.published}"]
    ]
    if taken:
        raise LabError("\n".join(taken))


def in_use(service: Service) -> bool:
    """Whether the port that a service is to be published on cannot be bound."""
    kind = socket.SOCK_DGRAM if service.port.protocol == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as probe:
        if kind is socket.SOCK_STREAM:
            # As servers do: connections that are only fading out (TIME_WAIT) are no hindrance.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((service.port.host, service.port.published))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return True
            if error.errno != errno.EACCES:  # a low port, which the engine may have all the same
                raise LabError(
                    f"WIRELAB_BIND has value {service.port.host!r}. Not an address of this machine:"
                    f" {error.strerror}"
                ) from None
    return False


def owner(service: Service) -> str:
    """Return " by ..." for who has the port, or nothing where that is not to be known."""
    port = service.port
    try:
        names = docker("ps", "--filter", f"publish={port.published}/{port.protocol}",
                       "--format", "{{.Names}}").split()  # fmt: skip
    except (LabError, OSError):
        names = []
    if names:
        return f" by container {names[0]}"
    try:
        for connection in psutil.net_connections(port.protocol + "4"):
            address = connection.laddr
            if address and address.port == port.published and connection.pid and (
                connection.status in ("LISTEN", "NONE")
            ):  # fmt: skip
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    except psutil.Error:
        pass
    return ""
