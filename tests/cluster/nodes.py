"""The containers of the profile: their names, and what they say of themselves."""

import json
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPException
from typing import Any
from xmlrpc.client import Error

from clients import kv
from clients.addresses import Address
from lab.testing.service import Service
from tests.support.pace import until

NODES = ("etcd-1", "etcd-2", "etcd-3")
KV = ("kv-1", "kv-2", "kv-3")
STATUS = """
import urllib.request as r
url = "http://127.0.0.1:2379/v3/maintenance/status"
print(r.urlopen(r.Request(url, b"{}"), timeout=2).read().decode())
"""
HEALTH = "import urllib.request as r; r.urlopen('http://127.0.0.1:2379/health', timeout=2)"


def status(node: Service) -> Any:
    """Return what a node of etcd says of itself; nothing if it does not answer."""
    done = node.exec("python", "-ISc", STATUS)
    return json.loads(done.output) if done.status == 0 else None


def healthy(node: Service) -> bool:
    """Whether a node of etcd can read what a majority has."""
    return node.exec("python", "-ISc", HEALTH).status == 0


def leader(nodes: Mapping[str, Service]) -> str:
    """Wait until a node leads that all of them know, and return its name."""

    def found() -> str:
        said = {name: status(nodes[name]) for name in NODES}
        if None in said.values() or len({each.get("leader", "0") for each in said.values()}) != 1:
            return ""
        return next(
            (name for name, each in said.items() if each["leader"] == each["header"]["member_id"]),
            "",
        )

    return until(found, "all nodes know one leader", every=0.2)


def served(address: Address) -> bool:
    """Whether a replica is served by etcd."""
    with suppress(OSError, HTTPException, Error):
        kv.health(address, 1)
        return True
    return False


def published(replica: Service) -> Address:
    """Ask the engine where a replica is published."""
    (where,) = replica.container.attrs["NetworkSettings"]["Ports"]["15000/tcp"]
    return Address(where["HostIp"], int(where["HostPort"]))


def places(nodes: Mapping[str, Service]) -> list[Address]:
    """Wait until all replicas are served, and return where they are: after a restart elsewhere."""
    found = [published(nodes[name]) for name in KV]
    for name, where in zip(KV, found, strict=True):
        until(lambda where=where: served(where), f"{name} is served")  # type: ignore[misc]
    return found
