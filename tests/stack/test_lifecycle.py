"""Stopping, restarting and going down: what ends, what comes back, what stays."""

import importlib
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.models.containers import Container

from clients import kv
from clients.addresses import Address
from clients.connections import connect, exchange
from scripts.stack import Stack
from tests.engine import SERVICES, container_of, left, run_in
from tests.stack.conftest import SPEAKS, VARIANTS, Find

State = dict[str, Any]

STOP_SECONDS = 2
HEALTHY_SECONDS = 30.0


@contextmanager
def idle_client(service: str, where: Address, key: bytes) -> Iterator[None]:
    """Be a client that has been served once, stays connected and says nothing more."""
    with ExitStack() as opened:
        if service in ("rest", "kv", "httpbin"):
            connection = opened.enter_context(closing(HTTPConnection(*where, timeout=5)))
            connection.request("GET", "/")
            connection.getresponse().read()
        elif service in ("object-echo", "rpc"):
            conversation = opened.enter_context(connect(where, key, 5))
            exchange(conversation, ("add", (2, 3), {}))
        elif service == "tcp-echo":
            stream = opened.enter_context(socket.create_connection(where, 5))
            stream.sendall(b"Hello")
            assert stream.recv(5) == b"Hello"
        yield


def wait_until(what: str, condition: Callable[[], bool]) -> None:
    """Wait until `condition` holds, HEALTHY_SECONDS at most."""
    deadline = time.monotonic() + HEALTHY_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.1)


def is_healthy(container: Container) -> bool:
    """Whether the engine says so, asked now."""
    container.reload()
    return bool(container.health == "healthy")


@pytest.fixture(scope="module")
def stopped(
    stack: Stack, key_file: Path, engine: docker.DockerClient
) -> Iterator[dict[str, State]]:
    """Stop each server while an idle client is connected; give what the engine says of them."""
    states = {}
    try:
        stack.start("variants")
        for service, where in stack.addresses().items():
            container = container_of(engine, stack, service)
            with idle_client(SPEAKS[service], where, key_file.read_bytes().strip()):
                container.stop(timeout=STOP_SECONDS)
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
    wait_until("healthy", lambda: is_healthy(container))
    client = importlib.import_module(f"clients.{service.replace('-', '_')}")
    client.health(published(service), 5.0)


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

    wait_until("restarted", restarted)
    wait_until("healthy", lambda: is_healthy(container))


def test_down_removes_everything_but_the_data_of_kv(
    stack: Stack, engine: docker.DockerClient, published: Callable[[str], Address]
) -> None:
    """What was set is there after down and up; between the two only its volume is.

    Down is the same with and without the variants that `stopped` has started.
    """
    with kv.proxy(published("kv")) as store:
        store.set("kept", "through down and up")
    stack.down()
    try:
        assert left(engine, stack) == [f"{stack.project}_kv"]
    finally:
        stack.start()
    with kv.proxy(published("kv")) as store:
        assert store.get("kept") == "through down and up"
