"""What the tests share: one node of etcd for the contract, and the stack of the profile."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from urllib.request import urlopen

import docker
import pytest
from docker.models.containers import Container

from clients.addresses import Address
from lab.compose import PROJECT_LABEL
from lab.stack import Stack
from lab.testing.lifetime import take_down
from lab.testing.service import Service
from tests.cluster.nodes import KV, NODES
from tests.support.engine import new_stack
from tests.support.pace import until
from tests.support.sockets import LOOPBACK

PORT = "2379/tcp"


@pytest.fixture(scope="module", autouse=True)
def _key(key_in_environment: None) -> None:
    """Have the key that compose.yaml names."""


@pytest.fixture(scope="session")
def cluster(key_file: Path, engine: docker.DockerClient) -> Iterator[Stack]:  # noqa: ARG001 - or skip
    """Build the images of the profile, and remove all of it at the end."""
    made = new_stack(key_file)
    with ExitStack() as undo:
        undo.callback(take_down, made)
        made.build("kv", "clients", "etcd-1")
        yield made


@pytest.fixture(scope="session")
def nodes(cluster: Stack, engine: docker.DockerClient) -> dict[str, Service]:
    """Start what the profile has, and return each part of it by its name; the rest is not run."""
    cluster.compose("up", "--detach", "--no-build", "--wait", *NODES, *KV)
    return {name: Service(cluster, engine, name) for name in (*NODES, *KV)}


@pytest.fixture(scope="session")
def etcd(cluster: Stack, engine: docker.DockerClient) -> Iterator[Address]:
    """Run one node of etcd, in memory, and return where it is."""
    with node(engine, f"{cluster.project}-etcd", "/tmp/etcd") as address:  # noqa: S108 - a tmpfs
        yield address


@contextmanager
def node(engine: docker.DockerClient, image: str, folder: str) -> Iterator[Address]:
    """Run a node of etcd by itself, with its data in a folder of its own; lend where it is."""
    container = engine.containers.run(
        image,
        ["etcd", f"--data-dir={folder}", "--log-level=warn",
         "--listen-client-urls=http://0.0.0.0:2379", "--advertise-client-urls=http://127.0.0.1:2379"],
        detach=True, init=True, tmpfs={"/tmp": "mode=1777"},  # noqa: S108
        ports={PORT: (LOOPBACK, 0)},
        labels={PROJECT_LABEL: ""},  # else it has that of its image, and is one of the stack
    )  # fmt: skip
    try:
        until(lambda: answers(container), "etcd answers")
        yield published(container)
    finally:
        container.remove(force=True, v=True)


def published(container: Container) -> Address:
    """Return where a node is published; raises LookupError if it is not yet."""
    container.reload()
    return Address(LOOPBACK, int((container.ports[PORT] or [])[0]["HostPort"]))


def answers(container: Container) -> bool:
    """Whether a node of etcd serves requests."""
    with (
        suppress(OSError, LookupError),
        urlopen(f"http://{published(container)}/health", timeout=5) as response,
    ):
        return bool(response.status == HTTPStatus.OK)
    return False
