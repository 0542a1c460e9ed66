"""Stacks for tests, and short ways to ask the engine and to run the lab."""

import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
from docker.models.containers import Container

from scripts.stack import ROOT, Stack, base_image, port_variable, services
from tests.support.relay import ANY_PORTS

SERVICES = [service.name for service in services({})]


def new_stack(key_file: Path, **settings: str) -> Stack:
    """Return a stack of its own project, on ports that the engine picks."""
    ports = {port_variable(service): "0" for service in SERVICES} | ANY_PORTS
    return Stack(
        f"wirelab-test-{secrets.token_hex(4)}",
        {
            **ports,
            "WIRELAB_AUTHKEY_FILE": str(key_file),
            "PYTHON_IMAGE": base_image(),
            **settings,
        },
    )


@contextmanager
def up(stack: Stack, engine: docker.DockerClient) -> Iterator[None]:
    """Build and start a stack; remove all of it at the end, also when the start fails."""
    try:
        stack.build()
        stack.start()
        yield
    finally:
        stack.down(volumes=True, images=True)
    assert left(engine, stack) == []


def container_of(engine: docker.DockerClient, stack: Stack, service: str) -> Container:
    """Return the container of a service."""
    (container,) = containers_of(engine, stack, service)
    return container


def containers_of(engine: docker.DockerClient, stack: Stack, service: str) -> list[Container]:
    """Return the containers of a service, found by their compose labels: none or one."""
    labels = [
        f"com.docker.compose.project={stack.project}",
        f"com.docker.compose.service={service}",
        "com.docker.compose.oneoff=False",
    ]
    return list(engine.containers.list(all=True, filters={"label": labels}))


def run_in(container: Container, *command: str) -> tuple[int, str]:
    """Run a command in a container and return its exit status and output."""
    status, output = container.exec_run(list(command))
    assert isinstance(output, bytes)
    assert status is not None
    return status, output.decode()


def left(engine: docker.DockerClient, stack: Stack) -> list[str]:
    """Return the names of all that the engine has of a stack: containers, networks, volumes."""
    label = f"com.docker.compose.project={stack.project}"
    return [
        *(str(found.name) for found in engine.containers.list(all=True, filters={"label": label})),
        *(str(found.name) for found in engine.networks.list(filters={"label": label})),
        *(str(found.name) for found in engine.volumes.list(filters={"label": label})),
    ]


def lab(stack: Stack, *arguments: str, folder: Path = ROOT) -> "subprocess.CompletedProcess[str]":
    """Run the lab's command line in a folder, with the settings of `stack`."""
    return subprocess.run(
        [sys.executable, "-m", "scripts.lab", *arguments],
        cwd=folder,
        env=stack.environment(),
        timeout=100,
        check=False,
        capture_output=True,
        text=True,
    )
