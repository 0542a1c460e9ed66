"""Stopping, restarting and going down: what ends, what comes back, what stays."""

import importlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import docker
import pytest
from docker.models.containers import Container

from clients import kv
from clients.addresses import Address
from lab.stack import Stack
from tests.stack.conftest import SPEAKS, VARIANTS, Find
from tests.support.clients import connected
from tests.support.engine import SERVICES, container_of, run_in
from tests.support.pace import FAR, slowness, until
from tests.support.processes import STOP_SECONDS

State = dict[str, Any]


def is_healthy(container: Container) -> bool:
    """Whether the engine says so, asked now."""
    container.reload()
    return bool(container.health == "healthy")


@pytest.fixture(scope="module")
def stopped(
    stack: Stack,
    key_in_environment: None,  # noqa: ARG001 - which clients need
    engine: docker.DockerClient,
) -> Iterator[dict[str, State]]:
    """Stop each server while an idle client is connected; give what the engine says of them."""
    states = {}
    try:
        stack.start("variants")
        for service, where in stack.addresses().items():
            container = container_of(engine, stack, service)
            # Served once, it stays connected and sends nothing more.
            with connected(SPEAKS[service], where) as ask:
                ask("Hello")
                container.stop(timeout=math.ceil(STOP_SECONDS * slowness()))
            container.reload()
            states[service] = container.attrs["State"]
        yield states
    finally:
        stack.start("variants")


@pytest.mark.parametrize("service", [*SERVICES, *VARIANTS])
def test_stops_in_time_with_an_idle_client(stopped: dict[str, State], service: str) -> None:
    """SIGTERM ends each server with status 0, before the engine would kill it after 2 s."""
    state = stopped[service]
    assert (state["Status"], state["ExitCode"], state["OOMKilled"]) == ("exited", 0, False)


@pytest.fixture(scope="module")
def before(stack: Stack, engine: docker.DockerClient) -> dict[str, str]:
    """Restart the default servers; give when each was started before."""
    started = {
        name: container_of(engine, stack, name).attrs["State"]["StartedAt"] for name in SERVICES
    }
    stack.compose("restart", *SERVICES)
    return started


@pytest.mark.parametrize("service", SERVICES)
def test_serves_again_after_a_restart(
    before: dict[str, str], find: Find, published: Callable[[str], Address], service: str
) -> None:
    """A restarted server gets healthy, and is found on the port that the engine then gives it."""
    container = find(service)
    assert container.attrs["State"]["StartedAt"] != before[service]
    until(lambda: is_healthy(container), "healthy", every=0.1)
    client = importlib.import_module(f"clients.{service.replace('-', '_')}")
    client.health(published(service), FAR)


@pytest.fixture(scope="module")
def killed(stack: Stack, engine: docker.DockerClient) -> dict[str, int]:
    """Kill the server process of each container; give how often each had been restarted."""
    restarts = {}
    for service in SERVICES:
        container = container_of(engine, stack, service)
        restarts[service] = container.attrs["RestartCount"]
        # Process 1 is the init; the server is its child, the oldest.
        run_in(container, "sh", "-c", "kill -9 $(cut -d' ' -f1 /proc/1/task/1/children)")
    return restarts


@pytest.mark.parametrize("service", SERVICES)
def test_engine_restarts_a_server_that_dies(
    killed: dict[str, int], find: Find, service: str
) -> None:
    """A server that is killed is started again by its restart policy."""
    container = find(service)

    def restarted() -> bool:
        container.reload()
        return bool(container.attrs["RestartCount"] > killed[service])

    until(restarted, "restarted", every=0.1)
    until(lambda: is_healthy(container), "healthy", every=0.1)


def test_down_removes_everything_but_the_data_of_kv(
    stack: Stack, published: Callable[[str], Address]
) -> None:
    """What was set is there after down and up; between the two only its volume is.

    Down is the same with and without the variants that `stopped` has started.
    """
    with kv.proxy(published("kv")) as store:
        store.set("kept", "through down and up")
    stack.down()
    try:
        assert stack.left() == [f"volume {stack.project}_kv"]
    finally:
        stack.start()
    with kv.proxy(published("kv")) as store:
        assert store.get("kept") == "through down and up"
