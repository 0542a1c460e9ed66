"""What the tests share: ways to find a container, and where its server is published."""

from collections.abc import Callable

import docker
import pytest
from docker.models.containers import Container

from clients.addresses import Address, variable
from lab.description import services
from lab.stack import Stack
from lab.testing.service import Service

SPEAKS = {service.name: service.speaks for service in services({}, "variants")}
VARIANTS = [service.name for service in services({}, "variants") if service.profiles]

Find = Callable[[str], Container]


@pytest.fixture
def find(stack: Stack, engine: docker.DockerClient) -> Find:
    """Return a function that finds the container of a server; variants run once one is wanted."""

    def find(service: str) -> Container:
        found = Service(stack, engine, service)
        if service in VARIANTS and not found.containers:
            stack.start("variants")
        return found.container

    return find


@pytest.fixture
def published(
    stack: Stack,
    key_in_environment: None,  # noqa: ARG001 - which clients need
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[str], Address]:
    """Return a function that asks the engine where a service is published; let clients know too."""

    def address(service: str) -> Address:
        where = stack.addresses()[service]  # the relay publishes more than its own port
        monkeypatch.setenv(variable(service), str(where))
        return where

    return address
