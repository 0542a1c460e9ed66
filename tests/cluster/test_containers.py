"""The containers of the profile may do as little as the others."""

import docker
import pytest
from docker.models.containers import Container

from lab.stack import Stack
from lab.testing.service import Service
from tests.cluster.nodes import KV, NODES
from tests.stack.test_settings import (  # noqa: F401 - they are collected here
    test_file_system_is_read_only,
    test_has_an_init,
    test_has_no_capabilities,
    test_is_confined,
    test_runs_as_nobody_in_particular,
)
from tests.support.engine import run_in
from tests.support.pace import within

SEARCH = """
import socket, time
began = time.monotonic()
try:
    socket.getaddrinfo("etcd-9", 2380)
except socket.gaierror:
    print(time.monotonic() - began)
"""


@pytest.fixture(params=[*NODES, *KV])
def container(request: pytest.FixtureRequest, nodes: dict[str, Service]) -> Container:
    """Return each container in turn."""
    return nodes[request.param].container


def test_who_is_gone_is_not_searched_for(container: Container) -> None:
    """Nodes look for one another all the time, and join a search that has begun: it is short."""
    status, seconds = run_in(container, "python", "-ISc", SEARCH)
    assert status == 0, seconds
    assert within(float(seconds), 0.5)


def test_etcd_is_reached_by_kv_alone(nodes: dict[str, Service], cluster: Stack) -> None:
    """Its network leads nowhere else, and none of its ports is published."""
    for name, node in nodes.items():
        networks = {*node.container.attrs["NetworkSettings"]["Networks"]}
        wanted = {"etcd"} | ({"default"} if name in KV else set())
        assert networks == {f"{cluster.project}_{network}" for network in wanted}
        ports = node.container.attrs["NetworkSettings"]["Ports"]
        assert any(ports.values()) is (name in KV)


def test_what_leads_to_it_is_internal(
    nodes: dict[str, Service], cluster: Stack, engine: docker.DockerClient
) -> None:
    """Nobody has to authenticate there."""
    assert nodes
    assert engine.networks.get(f"{cluster.project}_etcd").attrs["Internal"] is True
