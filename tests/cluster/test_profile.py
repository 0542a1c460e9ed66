"""`make up PROFILE=cluster`: started, listed, used by the clients, and stopped like the rest."""

import json
import re

from clients import kv
from clients.relay import Relay
from lab.stack import Stack
from lab.testing.service import Service
from tests.cluster.nodes import KV, NODES, published
from tests.support.engine import SERVICES, lab


def test_the_profile_is_added_to_the_lab(cluster: Stack, nodes: dict[str, Service]) -> None:
    """It is listed where it listens, and the clients' checks of kv are made there."""
    for each in nodes.values():  # after a fault its check may have failed, and `up` fails for that
        each.wait_healthy()
    done = lab(cluster, "up", "--profile=cluster")
    assert done.returncode == 0, done.stdout + done.stderr
    shown = re.findall(r"^(\S+) {2,}\S*127\.0\.0\.1:", done.stderr, re.MULTILINE)
    assert sorted(shown) == sorted([*SERVICES, *KV])
    listed = {line.split()[0]: line for line in lab(cluster, "ps").stdout.splitlines()}
    assert {*shown} <= {*listed}
    assert all("healthy" in listed[name] for name in KV)
    made = json.loads(lab(cluster, "demo", "--", "--json").stdout)["checks"]
    assert {each["address"] for each in made if each["service"] == "kv"} == {"kv-1:15000"}


def test_clients_use_the_replicas_and_pass_over_one_that_is_gone(
    cluster: Stack, nodes: dict[str, Service]
) -> None:
    """What one has set, another one has; kv itself, on disk, is another store."""
    with kv.proxy(published(nodes["kv-1"])) as store:
        store.set("spam", [1, 2])
    with nodes["kv-1"].stopped(wait=False):
        done = lab(cluster, "demo", "--", "kv", "get", "spam")
        assert (done.returncode, done.stdout) == (0, "[1, 2]\n"), done.stderr
    done = lab(cluster, "demo", "--", "--via", "relay", "kv", "get", "spam")
    assert done.returncode == 1
    assert "no such key" in done.stderr


def test_the_relay_can_lead_to_a_replica(cluster: Stack) -> None:
    """It may lead to all servers of the network, by the names that they have there."""
    control = Relay(cluster.address("relay"), 5)
    control.create("kv-2", "kv-2:15000")
    control.delete("kv-2")


def test_the_data_stays_when_the_lab_is_stopped(cluster: Stack) -> None:
    """As that of kv does, which the volumes of the nodes are for."""
    assert lab(cluster, "down").returncode == 0
    assert cluster.running() == []
    volumes = [each for each in cluster.left() if each.startswith("volume")]
    assert {f"volume {cluster.project}_{name}" for name in NODES} <= {*volumes}
