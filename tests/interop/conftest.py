"""What the tests share: a stack, a container with the clients beside it, and the page."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container

from lab import SCRIPTS
from lab.console import step
from lab.stack import Stack
from tests.interop.matrix import PROGRAMS, Outcome, document
from tests.interop.tshark import Tshark
from tests.interop.tshark import running as running_tshark
from tests.support.engine import container_of, run_in

RESULTS = pytest.StashKey[dict[tuple[str, str], list[Outcome]]]()
VERSIONS = pytest.StashKey[dict[str, str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Begin the page."""
    config.stash[RESULTS] = {}
    config.stash[VERSIONS] = {}


@pytest.fixture(scope="session")
def machine(
    stack: Stack, engine: docker.DockerClient, key_file: Path, pytestconfig: pytest.Config
) -> Iterator[Container]:
    """Run a container with all clients in the network of the stack, and note their versions."""
    with step("building the image of the clients"):
        image = subprocess.run(
            ["bash", str(SCRIPTS / "interop_image.sh")],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout.strip()
    (network,) = container_of(engine, stack, "kv").attrs["NetworkSettings"]["Networks"]
    container = engine.containers.run(
        image,
        ["sleep", "infinity"],
        detach=True,
        init=True,
        network=network,
        working_dir="/interop",
        volumes={
            str(PROGRAMS): {"bind": "/interop", "mode": "ro"},
            str(key_file): {"bind": "/authkey", "mode": "ro"},
        },
        labels={"wirelab.test": "interop"},
    )
    try:
        status, output = run_in(container, "sh", "shell/versions.sh")
        assert status == 0, output
        found = json.loads(output)
        pytestconfig.stash[VERSIONS].update({name: f"{name} {found[name]}" for name in found})
        yield container
    finally:
        container.remove(force=True, v=True)


@pytest.fixture(scope="session")
def tshark(engine: docker.DockerClient) -> Iterator[Tshark]:
    """Lend tshark."""
    with running_tshark(engine) as made:
        yield made


@pytest.fixture
def results(pytestconfig: pytest.Config) -> dict[tuple[str, str], list[Outcome]]:
    """Lend what the page is made of."""
    return pytestconfig.stash[RESULTS]


@pytest.fixture
def versions(pytestconfig: pytest.Config) -> dict[str, str]:
    """Lend the versions on the page."""
    return pytestconfig.stash[VERSIONS]


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Write the page, if that was asked for and every client does what is known of it."""
    if (path := session.config.getoption("--clients")) and exitstatus == 0:
        path.write_text(document(session.config.stash[RESULTS], session.config.stash[VERSIONS]))
