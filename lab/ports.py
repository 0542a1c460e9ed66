"""Ports that somebody else has: found before anything is stopped or started for them."""

import errno
import os
import socket
from collections.abc import Mapping
from dataclasses import replace

import psutil

from clients.addresses import Address
from lab import LabError
from lab.description import Port, Service
from lab.engine import docker
from lab.local import MARK, Local


def problems(
    services: list[Service], bindings: Mapping[str, Address], *, containers: bool
) -> dict[str, str]:
    """Return, by its setting, why a port could not be published as it is to be.

    `bindings` are the ports of this lab's servers that run: one that stays has no problem, and one
    that is to be another makes room for others. So do strays, which a start stops.
    """
    strays = Local().strays()
    leaving = [port for service in services for port in left(service, bindings)]
    return {
        port.setting: problem
        for service in services
        for port in service.ports
        if port.where != bindings.get(port.setting)
        and (problem := taken(port, leaving, strays, containers))
    }


def left(service: Service, bindings: Mapping[str, Address]) -> list[Port]:
    """Return the ports that a server has, and is to have others for."""
    return [
        replace(port, host=has.host, published=has.port)
        for port in service.ports
        if (has := bindings.get(port.setting)) and has != port.where
    ]


def in_the_way(services: list[Service], bindings: Mapping[str, Address]) -> list[str]:
    """Return the servers that have to leave a port before another one of them gets it."""
    return [
        service.name
        for service in services
        if any(
            port.same(wanted)
            for port in left(service, bindings)
            for other in services
            if other is not service
            for wanted in other.ports
        )
    ]


def taken(port: Port, leaving: list[Port], strays: list[int], containers: bool) -> str:
    """Return why a port cannot be had, and who has it if that can be known; else nothing."""
    kind = socket.SOCK_DGRAM if port.protocol == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as probe:
        if kind is socket.SOCK_STREAM:
            # As servers do: connections that are only fading out (TIME_WAIT) are no hindrance.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(port.where)
        except OSError as error:
            if error.errno == errno.EACCES:
                # A low port, which the engine may have all the same.
                if containers:
                    return ""
                return (
                    f"{port.setting} has value '{port.published}'. Not a port that this user may"
                    f" have: {error.strerror}"
                )
            if error.errno != errno.EADDRINUSE:
                return (
                    f"{port.bind or port.setting} has value {port.host!r}. Not an address of this"
                    f" machine: {error.strerror}"
                )
        else:
            return ""
    if only_of(port, leaving, strays):
        return ""
    return (
        f"{port}, which {port.server} is to be published on, is in use{owner(port)}: free it, or"
        f" set {port.setting} (0: any free port)"
    )


def only_of(port: Port, leaving: list[Port], strays: list[int]) -> bool:
    """Whether a port is in use only by servers of this lab that are about to leave it."""
    left = {each.where for each in leaving if each.protocol == port.protocol}
    if not strays and not any(where.port == port.published for where in left):
        return False
    return all(
        Address(unmapped(host), port.published) in left or session(pid) in strays
        for host, pid in listeners(port)
    )


def session(pid: int) -> int:
    """Return the process that a process was started by as a server's, 0 where that is unknown."""
    try:
        return os.getsid(pid) if pid else 0
    except OSError:  # it has just ended, or is another user's
        return 0


def listeners(port: Port) -> list[tuple[str, int]]:
    """Return the address and process (0: unknown) of each socket that keeps others off the port."""
    try:
        sockets = psutil.net_connections(port.protocol)
    except psutil.Error:
        return []
    return [
        (each.laddr.ip, each.pid or 0)
        for each in sockets
        if each.laddr
        and each.laddr.port == port.published
        and each.status in ("LISTEN", "NONE")
        and ({"0.0.0.0", "::", port.host} & {unmapped(each.laddr.ip)} or port.host == "0.0.0.0")
    ]


def unmapped(host: str) -> str:
    """Return the IPv4 address that is written as an IPv6 one (RFC 4291, 2.5.5.2)."""
    return host.removeprefix("::ffff:")


def owner(port: Port) -> str:
    """Return " by ..." for who has the port, or nothing where that is not to be known."""
    columns = '{{.Names}} {{.Label "com.docker.compose.project"}}'
    folder = '{{.Label "com.docker.compose.project.working_dir"}}'
    found = f"publish={port.published}/{port.protocol}"
    try:
        lines = docker(
            "ps", "--filter", found, "--format", f"{columns} {folder}|{{{{.Ports}}}}"
        ).splitlines()
    except LabError:
        lines = []
    for line in lines:
        who, _, ports = line.partition("|")
        if any(f"{host}:{port.published}->" in ports for host in ("0.0.0.0", port.host)) or (
            port.host == "0.0.0.0"
        ):
            name, project, folder = who.split(" ", 2)
            return f" by container {name}{how_to_stop(project, folder)}"
    for _, pid in listeners(port):
        try:
            process = psutil.Process(pid)
            said = f" by {process.name()} (process {pid})"
        except psutil.Error:
            continue
        try:
            return said + how_to_stop(process.environ().get(MARK, ""), process.cwd())
        except (psutil.Error, OSError):
            return said
    return ""


def how_to_stop(project: str, folder: str) -> str:
    """Return how a lab is stopped whose folder is gone, so that nobody finds out there."""
    if not project or os.path.isdir(folder):  # noqa: PTH112 - a path as somebody else has it
        return ""
    return (
        f" of a lab whose folder, {folder}, is gone: `COMPOSE_PROJECT_NAME={project} make down`"
        " stops it"
    )
