"""Short ways to ask the engine."""

import docker
from docker.models.containers import Container

from scripts.stack import Stack


def container_of(engine: docker.DockerClient, stack: Stack, service: str) -> Container:
    """Return the container of a service, found by its compose labels."""
    labels = [
        f"com.docker.compose.project={stack.project}",
        f"com.docker.compose.service={service}",
        "com.docker.compose.oneoff=False",
    ]
    (container,) = engine.containers.list(all=True, filters={"label": labels})
    return container


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
