"""A service stopped, killed, paused or cut off: it happens, and it is undone in any case."""

import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import docker
import pytest

from lab import LabError
from lab.compose import Project
from lab.engine import base_image
from lab.testing.lifetime import running
from lab.testing.service import Service
from tests.plugin.conftest import EXAMPLE

LOOK = "import socket; print(socket.gethostbyname_ex('cache')[2])"


@pytest.fixture(scope="module")
def stack(engine: docker.DockerClient) -> Iterator[Project]:  # noqa: ARG001 - or skip
    """Start the example."""
    made = Project(
        f"wirelab-test-{secrets.token_hex(4)}",
        {"PYTHON_IMAGE": base_image()},
        [EXAMPLE / "compose.yaml"],
    )
    with running(made):
        yield made


@pytest.fixture
def web(stack: Project, engine: docker.DockerClient) -> Service:
    """Return the service that looks."""
    return Service(stack, engine, "web")


@pytest.fixture
def cache(stack: Project, engine: docker.DockerClient) -> Service:
    """Return the service that things happen to."""
    return Service(stack, engine, "cache")


Fault = Callable[[Service], AbstractContextManager[None]]
FAULTS = {
    "stopped": lambda service: service.stopped(),
    "killed": lambda service: service.killed(),
    "paused": lambda service: service.paused(),
    "cut_off": lambda service: service.cut_off(),
}  # fmt: skip
STATES = {
    "stopped": ("exited", True),
    "killed": ("exited", True),
    "paused": ("paused", True),
    "cut_off": ("running", False),
}  # the state, and whether it has a network, at least by what it is set to


def settings(service: Service) -> dict[str, set[str]]:
    """Return the networks of a service, and its names in them but for those of its id."""
    container = service.container
    networks = container.attrs["NetworkSettings"]["Networks"]
    return {
        name: {alias for alias in each["Aliases"] if not str(container.id).startswith(alias)}
        for name, each in networks.items()
    }


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_lasts_as_long_as_the_body(fault: str, cache: Service, web: Service) -> None:
    """Then the service is healthy again, under the same names, and is reached from everywhere."""
    before = settings(cache)
    with FAULTS[fault](cache):
        status, connected = STATES[fault]
        assert cache.container.status == status
        assert bool(settings(cache)) == connected
    assert cache.container.health == "healthy"
    assert settings(cache) == before
    assert web.exec("python3", "-c", LOOK).status == 0
    with socket.create_connection(cache.address(8000, "tcp"), timeout=5) as connection:
        connection.sendall(b"get\n")
        assert connection.recv(100) == b"nothing"


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_undone_when_the_body_raises(fault: str, cache: Service) -> None:
    """And the error is the body's."""
    with pytest.raises(ZeroDivisionError), FAULTS[fault](cache):
        raise ZeroDivisionError
    assert cache.container.health == "healthy"
    assert len(settings(cache)) == 1


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_that_the_body_has_undone_is_no_error(
    fault: str, cache: Service, engine: docker.DockerClient
) -> None:
    """A test may do that itself."""
    with FAULTS[fault](cache):
        if fault == "cut_off":
            engine.networks.get(f"{cache.stack.project}_default").connect(
                cache.container, aliases=["cache"]
            )
        elif fault == "paused":
            cache.container.unpause()
        else:
            cache.container.start()
    assert cache.container.health == "healthy"


@pytest.mark.parametrize("fault", FAULTS)
def test_container_that_the_body_has_replaced_is_no_error(fault: str, cache: Service) -> None:
    """Another one is waited for then."""
    before = cache.container.id
    with FAULTS[fault](cache):
        cache.stack.compose("up", "--detach", "--force-recreate", "--no-deps", "cache")
    assert cache.container.id != before
    assert cache.container.health == "healthy"
    assert len(settings(cache)) == 1


def test_fault_happens_to_all_containers_of_a_service(stack: Project, web: Service) -> None:
    """And each of them is waited for; one alone cannot be meant."""
    stack.compose("up", "--detach", "--wait", "--no-recreate", "--scale", "web=2", "web")
    try:
        with web.killed():
            assert [container.status for container in web.containers] == ["exited", "exited"]
        assert [container.health for container in web.containers] == ["healthy", "healthy"]
        with pytest.raises(LabError, match="service 'web' has 2 containers: "):
            web.exec("true")
    finally:
        stack.start()
    assert len(web.containers) == 1


def test_service_on_the_network_of_another_cannot_be_cut_off(
    stack: Project, engine: docker.DockerClient, tmp_path: Path
) -> None:
    """It has none of its own: that is said, and nothing happens."""
    override = tmp_path / "override.yaml"
    override.write_text("""
services:
  sidecar:
    image: ${PYTHON_IMAGE}
    command: [sleep, infinity]
    init: true
    network_mode: service:cache
""")
    more = Project(stack.project, stack.settings, [*stack.files, override])
    more.compose("up", "--detach", "sidecar")
    sidecar = Service(more, engine, "sidecar")
    with pytest.raises(LabError, match="has no network to be cut off from"), sidecar.cut_off():
        pytest.fail("it has been")
    sidecar.container.remove(force=True)


def test_exit_signal_tells_a_stop_from_a_kill(cache: Service) -> None:
    """128 and the number of the signal: SIGTERM and SIGKILL."""
    with cache.stopped():
        assert cache.container.attrs["State"]["ExitCode"] == 128 + 15
    with cache.killed():
        assert cache.container.attrs["State"]["ExitCode"] == 128 + 9


def test_service_that_does_not_come_back_is_named(
    stack: Project, engine: docker.DockerClient
) -> None:
    """With its state and its log."""
    impatient = Service(stack, engine, "cache", seconds=0)
    with pytest.raises(LabError, match="service 'cache' is not healthy after 0 s: exited"):  # noqa: SIM117
        with impatient.stopped(wait=False):
            impatient.wait_healthy()
    impatient.stack.start()


def test_what_is_never_logged_is_named(stack: Project, engine: docker.DockerClient) -> None:
    """With what was logged instead; what is logged later is waited for."""
    web = Service(stack, engine, "web", seconds=1.0)
    web.wait_for_log("web is starting")
    with pytest.raises(LabError, match="has not written 'web has started' after 1 s:\nweb is"):
        web.wait_for_log("web has started")
