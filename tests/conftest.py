"""What all tests share."""

import os
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from lab import authkey
from lab.stack import Stack
from lab.testing.lifetime import running
from tests.support.engine import new_stack
from tests.support.pace import slowness
from tests.support.processes import heed_interrupts

pytest_plugins = ["lab.testing.plugin", "tests.support.progress"]

OURS = ("WIRELAB_", "COMPOSE_", "ECHO_TRANSFORM")
# What `make test` tells a make that it calls: those that tests call are to be by themselves.
OF_MAKE = ("MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that some folders of tests have."""
    group = parser.getgroup("hostile", "tests/hostile")
    group.addoption("--seed", type=int, default=None, help="of what is random")
    group.addoption("--soak", type=float, default=0.0, help="minutes for the long tests")
    group.addoption("--reliability", type=Path, help="write what was measured to this file")
    group = parser.getgroup("contract", "tests/contract")
    group.addoption(
        "--via-relay", action="store_true",
        help="run the tests of what a client receives, with the relay between it and the server",
    )  # fmt: skip
    group = parser.getgroup("interop", "tests/interop")
    group.addoption("--clients", type=Path, help="write what each client does to this file")
    group = parser.getgroup("browser", "tests/browser")
    group.addoption(
        "--pictures", type=Path, help="write the pictures of the console to this folder"
    )
    group = parser.getgroup("workshop", "tests/workshop")
    group.addoption("--busy", action="store_true", help="keep all cores busy meanwhile")
    group.addoption("--times", type=int, default=2, help="how often each solution is to pass")
    group.addoption("--matrix", type=Path, help="write what wrong files are told to this file")


@pytest.fixture(scope="session", autouse=True)
def _no_settings() -> Iterator[None]:
    """Keep the settings of whoever runs the tests out of the servers under test."""
    kept = {
        name: os.environ.pop(name)
        for name in list(os.environ)
        if name.startswith((*OURS, *OF_MAKE))
    }
    yield
    os.environ.update(kept)


def pytest_configure() -> None:
    """Have Ctrl-C mean in all processes what it means on a terminal."""
    heed_interrupts()


def pytest_report_header() -> str:
    """Say how slow this machine is: what tests allow for where something takes long."""
    return f"pace: {slowness():.1f} times as slow as where the promises were measured"


@pytest.fixture(scope="session")
def engine(docker_engine: docker.DockerClient) -> docker.DockerClient:
    """Connect to the engine; without one the test is skipped, and with CI=true it fails."""
    return docker_engine


@pytest.fixture(scope="session")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a key that no other run has."""
    file = tmp_path_factory.mktemp("secrets") / "authkey"
    authkey.ensure(file)
    return file


@pytest.fixture(scope="session")
def key(key_file: Path) -> bytes:
    """Return the key of this run."""
    return key_file.read_bytes().strip()


@pytest.fixture(scope="session")
def stack(key_file: Path, engine: docker.DockerClient) -> Iterator[Stack]:  # noqa: ARG001 - or skip
    """Build and start the lab's stack; remove all of it at the end, also when the start fails."""
    made = new_stack(key_file)
    with running(made):
        yield made


@pytest.fixture(scope="module")
def key_in_environment(key_file: Path) -> Iterator[None]:
    """Name the file of the key in the environment, for servers and clients alike."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WIRELAB_AUTHKEY_FILE", str(key_file))
        yield
