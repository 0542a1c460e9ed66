"""Machines for attacks that need one of their own: to lose packets, to forge them, to vanish."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import docker
from docker.models.containers import Container

from clients.addresses import Address
from lab import ROOT
from tests.support.engine import run_in
from tests.support.pace import until
from tests.support.processes import WORKERS
from tests.support.sockets import LOOPBACK

CODE = {str(ROOT / name): {"bind": f"/lab/{name}", "mode": "ro"} for name in ("services", "tests")}


@contextmanager
def machine(
    engine: docker.DockerClient,
    image: str,
    command: Sequence[str],
    network: Container | None = None,
    **environment: str,
) -> Iterator[Container]:
    """Run a `command` of Python in a container, wait until it is ready; remove it at the end.

    What it runs is the code of this folder. Its network is its own, or that of another container,
    and it may do with it as it likes. Port 20000 of its own one is published on loopback.
    """
    ports = {"20000/tcp": (LOOPBACK, None), "20000/udp": (LOOPBACK, None)}
    container = engine.containers.run(
        image,
        ["python3", *command[1:]],  # the image has no python
        detach=True,
        environment={"WIRELAB_HOST": "0.0.0.0", "PYTHONUNBUFFERED": "1", **environment},
        working_dir="/lab",
        volumes=CODE,
        cap_add=["NET_ADMIN", "NET_RAW"],
        labels={"wirelab.test": "machine"},
        **({"network_mode": f"container:{network.id}"} if network else {"ports": ports}),
    )
    processes = int(environment.get(WORKERS, 1))
    try:
        until(
            lambda: len(re.findall(b"listening on|ready", container.logs())) >= processes,
            f"{command} is ready",
        )
        container.reload()
        yield container
    finally:
        container.remove(force=True, v=True)


def published(container: Container, port: str) -> Address:
    """Return where a port of it is published, such as "20000/udp"."""
    found = container.ports[port]
    assert found
    return Address(LOOPBACK, int(found[0]["HostPort"]))


def succeed(container: Container, *command: str) -> str:
    """Run a command in it, and return what that printed."""
    status, output = run_in(container, *command)
    assert status == 0, output
    return output
