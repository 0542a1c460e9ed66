"""One stack for all tests of this folder: a project, ports and a key of its own."""

import os
import secrets
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container

from clients.addresses import Address, variable
from scripts import authkey
from scripts.lab import engine_answers
from scripts.stack import Stack, base_image, port_variable, services
from tests.stack.engine import container_of, containers_of, left

SERVICES = [service.name for service in services({})]
SPEAKS = {service.name: service.speaks for service in services({}, "*")}
VARIANTS = [service.name for service in services({}, "*") if service.profiles]

Find = Callable[[str], Container]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs an engine where there is none; with CI=true that is a failure."""
    if os.environ.get("CI") != "true" and not engine_answers():
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(
                    pytest.mark.skip(reason="no Docker engine: scripts/engine.sh check")
                )


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """Connect to the engine."""
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture(scope="session")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a key that no other run has."""
    file = tmp_path_factory.mktemp("secrets") / "authkey"
    authkey.ensure(file)
    return file


@pytest.fixture(scope="session")
def stack(key_file: Path, engine: docker.DockerClient) -> Iterator[Stack]:
    """Build and start the stack; remove all of it at the end, also when the start fails."""
    made = new_stack(key_file)
    try:
        made.build()
        made.start()
        yield made
    finally:
        made.down(volumes=True, images=True)
    assert left(engine, made) == []


def new_stack(key_file: Path, **settings: str) -> Stack:
    """Return a stack of its own project, on ports that the engine picks."""
    ports = {port_variable(service): "0" for service in SERVICES}
    return Stack(
        f"wirelab-test-{secrets.token_hex(4)}",
        {
            **ports,
            "WIRELAB_AUTHKEY_FILE": str(key_file),
            "PYTHON_IMAGE": base_image(),
            **settings,
        },
    )


@pytest.fixture
def find(stack: Stack, engine: docker.DockerClient) -> Find:
    """Return a function that finds the container of a server; variants run once one is wanted."""

    def find(service: str) -> Container:
        if service in VARIANTS and not containers_of(engine, stack, service):
            stack.start("variants")
        return container_of(engine, stack, service)

    return find


@pytest.fixture
def published(
    stack: Stack, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Address]:
    """Return a function that asks the engine where a service is published; let clients know too."""
    monkeypatch.setenv("WIRELAB_AUTHKEY_FILE", str(key_file))

    def address(service: str) -> Address:
        where = stack.address(service)
        monkeypatch.setenv(variable(service), str(where))
        return where

    return address


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the containers' logs below a failure."""
    report = yield
    made = getattr(item, "funcargs", {}).get("stack")
    if report.failed and made:
        logs = made.run("logs", "--tail", "15", capture=True).stdout
        report.sections.append(("containers", logs))
    return report
