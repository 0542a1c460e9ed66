"""What all tests share."""

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import docker
import pytest

import lab.engine
from lab import authkey
from lab.stack import Stack
from tests.support.engine import new_stack, up
from tests.support.pace import slowness

OURS = ("WIRELAB_", "COMPOSE_", "ECHO_TRANSFORM")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of tests/hostile, tests/interop and tests/workshop."""
    group = parser.getgroup("hostile", "tests/hostile")
    group.addoption("--seed", type=int, default=None, help="of what is random")
    group.addoption("--soak", type=float, default=0.0, help="minutes for the long tests")
    group.addoption("--reliability", type=Path, help="write what was measured to this file")
    group = parser.getgroup("interop", "tests/interop")
    group.addoption("--clients", type=Path, help="write what each client does to this file")
    group = parser.getgroup("workshop", "tests/workshop")
    group.addoption("--busy", action="store_true", help="keep all cores busy meanwhile")


@pytest.fixture(scope="session", autouse=True)
def _no_settings() -> Iterator[None]:
    """Keep the settings of whoever runs the tests out of the servers under test."""
    kept = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(OURS)}
    yield
    os.environ.update(kept)


def pytest_report_header() -> str:
    """Say how slow this machine is: what tests allow for where something takes long."""
    return f"pace: {slowness():.1f} times as slow as where the promises were measured"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs an engine where there is none; with CI=true that is a failure."""
    if os.environ.get("CI") != "true" and not lab.engine.answers():
        for item in items:
            if "engine" in getattr(item, "fixturenames", ()):
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
def key(key_file: Path) -> bytes:
    """Return the key of this run."""
    return key_file.read_bytes().strip()


@pytest.fixture(scope="session")
def stack(key_file: Path, engine: docker.DockerClient) -> Iterator[Stack]:
    """Build and start the stack; remove all of it at the end, also when the start fails."""
    made = new_stack(key_file)
    with up(made, engine):
        yield made


@pytest.fixture(scope="module")
def key_in_environment(key_file: Path) -> Iterator[None]:
    """Name the file of the key in the environment, for servers and clients alike."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WIRELAB_AUTHKEY_FILE", str(key_file))
        yield


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
