"""Every RPC peer gives the answers that our server gives."""

import importlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager

import pytest

from bench import workloads
from bench.peers.rpc import Functions, records
from bench.tests.rpc import load
from bench.workloads import Target
from clients.addresses import Address
from tests.support.processes import Server, running

RPC, ECHO = workloads.rpc()[-1].targets, workloads.object_echo()[0].targets


@pytest.fixture(scope="module", params=RPC, ids=lambda target: target.name)
def target(request: pytest.FixtureRequest) -> Target:
    """Return each of them."""
    found: Target = request.param
    return found


@pytest.fixture(scope="module")
def server(target: Target, key: bytes) -> Iterator[Server]:
    """Run each of them."""
    assert key
    with running(target.command, **target.environment) as server:
        yield server


def connected(target: Target, address: Address) -> AbstractContextManager[Functions]:
    """Connect with the client that goes with a server."""
    module = importlib.import_module(f"bench.peers.rpc.{target.client}")
    connection: AbstractContextManager[Functions] = module.connect((address.host, address.port))
    return connection


def test_a_peer_answers_as_ours_does(target: Target, server: Server) -> None:
    """Sums are right, and bytes are bytes, unchanged."""
    with connected(target, server.address) as functions:
        assert functions.add(2, 3) == 5
        assert functions.add(-7, 3) == -4
        for data in (b"", bytes(range(256)), os.urandom(2**20)):
            echoed = functions.echo(data)
            assert type(echoed) is bytes
            assert echoed == data
        assert functions.add(2, 3) == 5


def test_a_peer_puts_records_together(target: Target, server: Server) -> None:
    """So it has decoded both lists; what comes back are lists and dicts, with the same values."""
    some = records(50)
    with connected(target, server.address) as functions:
        joined = functions.join(some[:20], some[20:])
        assert repr(joined) == repr(some)
        assert {type(joined), *map(type, joined)} == {list, dict}
        assert functions.join(some, []) == some


@pytest.mark.parametrize("target", ECHO, ids=lambda target: target.name)
def test_a_client_of_object_echo_gets_its_bytes_back(target: Target, key: bytes) -> None:
    """In one message or in pieces, with the first call of a connection and with later ones."""
    assert key
    with running(target.command) as server:
        with connected(target, server.address) as functions:
            for size in (1, 20_000, 262_144):
                assert functions.echo(data := os.urandom(size)) == data
        report = load(target.client, server.address, call="connect", seconds=0.2)
    assert report["requests"] > 0
    assert [report[fault] for fault in ("never_served", "wrong", "errors")] == [0, 0, 0]


@pytest.mark.parametrize("call", ["add", "connect", "records", "1048576"])
def test_sixteen_clients_are_served_at_once(target: Target, server: Server, call: str) -> None:
    """None gets the answer of another."""
    report = load(target.client, server.address, call=call, clients=16, seconds=0.1)
    assert [report[fault] for fault in ("never_served", "wrong", "errors")] == [0, 0, 0]


def test_a_peer_stops_within_two_seconds(target: Target, server: Server) -> None:
    """On SIGTERM, with an idle client connected."""
    with connected(target, server.address) as functions:
        assert functions.add(2, 3) == 5
        assert server.stop() == 0
