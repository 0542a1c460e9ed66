"""The lab on two machines: deployed, compared with compose.yaml, used, one of them dead, removed.

The tests of this file go on from one another, in their order.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from clients.addresses import PORTS
from lab import ROOT
from lab.description import filled, services
from lab.swarm.nodes import LOOPBACK
from lab.swarm.stack_file import in_bytes
from tests.support.pace import FAR, until, within
from tests.swarm.conftest import SCALE, Cluster
from tests.swarm.machines import Machine

SERVERS = [service.name for service in services({})]
REPLICAS = dict.fromkeys(SERVERS, 1) | {
    name: int(count) for name, count in (word.split("=") for word in SCALE.split())
}
SCALED = [name for name, count in REPLICAS.items() if count > 1]
BACK_SECONDS = 30.0  # from the death of a node until all of its tasks run on another one
NOTICED_SECONDS = 10.0  # of these until it is noticed, which no slow machine makes longer
GAP_SECONDS = 5.0  # without an answer, for a client that has another replica to ask
HERE = Path(__file__).parent


def inspected(machine: Machine, container: str) -> dict[str, Any]:
    """Return what the engine of a machine says of a container."""
    found: list[dict[str, Any]] = json.loads(machine.docker("inspect", container))
    return found[0]


def places(cluster: Cluster) -> dict[str, list[str]]:
    """Return the names of the nodes on which the replicas of each server are, by `make ps`."""
    done = cluster.make("ps")
    assert done.returncode == 0, done.stderr
    _, *rows = [line.split() for line in done.stdout.splitlines()]
    found: dict[str, list[str]] = {name: [] for name in SERVERS}
    for replica, node, *_ in rows:
        found[replica.rpartition(".")[0]].append(node)
    return found


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["NODES=unix:///nowhere/docker.sock"],
         "the engine at unix:///nowhere/docker.sock does not answer"),
        (["SCALE=spam=2"], "SCALE has value 'spam=2'. No service 'spam'; there are tcp-echo, "),
        (["PUBLISH=httpbin"], "PUBLISH has value 'httpbin'. httpbin is for 127.0.0.1 alone"),
    ],
    ids=["no engine", "no such service", "not to be published"],
)  # fmt: skip
def test_what_cannot_be_is_said_before_anything_is_changed(
    cluster: Cluster, settings: list[str], message: str
) -> None:
    """In a sentence, and no engine knows of it."""
    done = cluster.make("swarm", *settings)
    assert done.returncode == 2
    assert message in done.stderr
    assert cluster.left() == []


def test_ctrl_c_leaves_nothing_half_done(cluster: Cluster) -> None:
    """A first start that is interrupted is undone: no services, no images, and no swarm."""
    command = [sys.executable, "-m", "lab", "swarm", "--nodes", cluster.nodes]
    said = []
    with subprocess.Popen(
        command, cwd=ROOT, env=cluster.environment(), stderr=subprocess.PIPE, text=True,
        process_group=0,
    ) as process:  # fmt: skip
        try:
            assert process.stderr
            for line in process.stderr:
                said.append(line)
                if line.startswith("starting the services"):
                    os.killpg(process.pid, signal.SIGINT)
            assert process.wait(FAR) == 130, "".join(said)
        finally:
            process.kill()
    assert said[-1] == "interrupted\n"
    assert cluster.left() == []


def test_the_clients_hold_it_to_all_promises(deployed: Cluster) -> None:
    """Again, as `make demo`, with what cannot be checked over a network named."""
    done = deployed.make("demo", "ARGS=--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert {check["service"] for check in found["checks"]} == {*SERVERS, "cidr"}
    assert [check for check in found["checks"] if not check["held"]] == []
    unix = "the same over the UNIX socket"
    assert found["left_out"] == [f"object-echo: {unix}", f"rpc: {unix}"]


def test_ps_shows_the_node_of_each_replica(deployed: Cluster) -> None:
    """As many as were asked for, and both nodes have some of them; kv is where its data is."""
    found = places(deployed)
    assert {name: len(nodes) for name, nodes in found.items()} == REPLICAS
    assert {node for nodes in found.values() for node in nodes} == {
        machine.name for machine in deployed.machines
    }
    assert found["kv"] == [deployed.manager.name]


@pytest.mark.parametrize("service", SERVERS)
def test_a_container_is_as_compose_yaml_says(deployed: Cluster, service: str, key: bytes) -> None:
    """On whichever node it runs, with the exceptions that lab/swarm/stack_file.py explains."""
    block = filled(deployed.environment())["services"][service]
    containers = [
        (machine, container)
        for machine in deployed.machines
        for container in deployed.containers(machine, service)
    ]
    assert len(containers) == REPLICAS[service]
    name = f"{deployed.name}_{service}"
    spec = json.loads(deployed.manager.docker("service", "inspect", name))[0]["Spec"]
    grace = int(block["stop_grace_period"].removesuffix("s")) * 10**9
    assert spec["TaskTemplate"]["ContainerSpec"]["StopGracePeriod"] == grace
    for machine, container in containers:
        found = inspected(machine, container)
        config, host = found["Config"], found["HostConfig"]
        assert config["Cmd"] == block["command"]
        assert config["Image"] == f"{block['image']}:latest"
        assert config["User"] == block["user"]
        assert config["Healthcheck"] == nanoseconds(block["healthcheck"])
        assert found["State"]["Health"]["Status"] == "healthy"
        environment = dict(each.split("=", 1) for each in config["Env"])
        for name, value in block.get("environment", {}).items():
            if name == "WIRELAB_UNIX_SOCKET":
                assert name not in environment
            else:
                assert environment[name] == str(value)
        for name, value in block.get("labels", {}).items():
            assert config["Labels"][name] == value
        assert host["ReadonlyRootfs"] is block["read_only"]
        assert host["Init"] is block["init"]
        assert [each.removeprefix("CAP_") for each in host["CapDrop"]] == block["cap_drop"]
        assert host["Memory"] == in_bytes(block["mem_limit"])
        assert host["PidsLimit"] == block["pids_limit"]
        assert host["NanoCpus"] == 10**9
        nofile = block["ulimits"]["nofile"]
        assert host["Ulimits"] == [{"Name": "nofile", "Hard": nofile, "Soft": nofile}]
        assert host["LogConfig"] == {
            "Type": block["logging"]["driver"], "Config": block["logging"]["options"]
        }  # fmt: skip
        assert mounts(found) == wanted_mounts(deployed, block)
        has_secret = "authkey" in block.get("secrets", ())
        said = machine.docker(
            "exec", container, "sh", "-c",
            "grep NoNewPrivs /proc/self/status; cat /run/secrets/* 2>&1; id -u",
        )  # fmt: skip
        assert "NoNewPrivs:\t1" in said  # by the engines' own setting
        assert (key.decode() in said) == has_secret
        assert said.endswith("\n10001\n")


def nanoseconds(check: Mapping[str, Any]) -> dict[str, Any]:
    """Return a health check of compose.yaml as the engine has it."""
    times = {name: int(check[name].removesuffix("s")) * 10**9 for name in ("interval", "timeout")}
    return {
        "Test": check["test"], "Interval": times["interval"], "Timeout": times["timeout"],
        "Retries": check["retries"],
    }  # fmt: skip


def mounts(container: Mapping[str, Any]) -> set[tuple[str, str, object]]:
    """Return the mounts of a container: type, target, and source or size; secrets are no mounts."""
    found = {
        (each["Type"], each["Target"], each.get("TmpfsOptions", {}).get("SizeBytes"))
        for each in container["HostConfig"]["Mounts"]
        if each["Type"] == "tmpfs" and not each["Target"].startswith("/run/secrets")
    }
    return found | {
        (each["Type"], each["Destination"], each["Name"])
        for each in container["Mounts"]
        if each["Type"] == "volume"
    }


def wanted_mounts(cluster: Cluster, block: Mapping[str, Any]) -> set[tuple[str, str, object]]:
    """Return what compose.yaml says, but for folders of sockets."""
    wanted: set[tuple[str, str, object]] = set()
    for each in block["tmpfs"]:
        target, _, size = each.partition(":mode=1777,size=")
        wanted.add(("tmpfs", target, in_bytes(size)))
    for volume in block.get("volumes", ()):
        name, _, target = volume.partition(":")
        if name != "sockets":
            wanted.add(("volume", target, f"{cluster.name}_{name}"))
    return wanted


def test_nothing_is_published(deployed: Cluster) -> None:
    """No container has a port, and nothing but the engines listens on the machines."""
    for machine in deployed.machines:
        for container in machine.docker("ps", "--quiet").split():
            ports = inspected(machine, container)["NetworkSettings"]["Ports"]
            assert [port for port, where in ports.items() if where] == []
        assert {port for _, port in listening(machine)} <= {2377, 7946}  # swarm's own


def listening(machine: Machine) -> set[tuple[str, int]]:
    """Return the TCP addresses that somebody listens on in a machine, as in proc(5), tcp."""
    tables = inside(machine, "cat", "/proc/net/tcp", "/proc/net/tcp6")
    rows = [line.split() for line in tables.splitlines()]
    where = [row[1].split(":") for row in rows if row[3] == "0A"]
    return {(host, int(port, 16)) for host, port in where}


def inside(machine: Machine, *command: str) -> str:
    """Run a command in the network of a machine."""
    whole = ["nsenter", f"--net=/run/netns/{machine.name}", *command]
    return subprocess.run(whole, check=True, capture_output=True, text=True, timeout=FAR).stdout


CHOSEN = """
import json, socket
def chosen():
    with socket.create_connection(("rest", 8080)) as connection:
        return connection.getpeername()[0]
print(json.dumps(sorted({chosen() for _ in range(200)})))
"""


def in_object_echo(cluster: Cluster) -> list[str]:
    """Return the command that runs Python in the container of object-echo on the manager.

    It has the key, and the clients.
    """
    container, *_ = cluster.containers(cluster.manager, "object-echo")
    host = ["docker", "--host", cluster.manager.engine]
    return [*host, "exec", "--interactive", container, "python"]


def test_clients_spread_over_the_replicas_by_dns(deployed: Cluster) -> None:
    """Of many connections to the name, each of the four gets some."""
    chosen = json.loads(subprocess.check_output([*in_object_echo(deployed), "-c", CHOSEN]))
    assert len(chosen) == REPLICAS["rest"]


def test_all_replicas_of_rest_serve(deployed: Cluster) -> None:
    """A load on one and on all four, in turn: nobody fails, and each has its share."""
    load = [*in_object_echo(deployed), "-c", (HERE / "load.py").read_text(), "2"]
    rounds = [
        [json.loads(subprocess.check_output([*load, count], timeout=FAR)) for count in ("1", "4")]
        for _ in range(3)
    ]
    for _, four in rounds:
        served = list(four["served"].values())
        assert len(served) == REPLICAS["rest"]
        assert min(served) > sum(served) / 100  # those of another node are slower
    rates = [[each["per_second"] for each in pair] for pair in rounds]
    print("\nrest, requests/s with 1 and 4 replicas: "
          + ", ".join(f"{one:,.0f} and {four:,.0f}" for one, four in rates))  # fmt: skip


def test_a_worker_is_no_place_to_deploy_from(deployed: Cluster) -> None:
    """Who tries is told where the managers are."""
    nodes = f"NODES={deployed.worker.node}"
    done = deployed.make("swarm", nodes, "COMPOSE_PROJECT_NAME=wirelab-test-other")
    assert done.returncode == 2
    assert "is a worker of a swarm, and only its managers can deploy: 198.51.100.1" in done.stderr


def test_the_death_of_a_node(deployed: Cluster) -> None:
    """Its tasks are back on the other one within 30 s, and good clients go on meanwhile."""
    before = places(deployed)
    lost = [name for name, nodes in before.items() if deployed.worker.name in nodes]
    assert lost
    command = [*in_object_echo(deployed), "-c", (HERE / "good_clients.py").read_text()]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as clients:
        try:
            assert clients.stdout
            assert clients.stdout.readline() == "started\n"
            deployed.worker.plug("down")
            died = time.monotonic()
            deployed.worker.cut_power()
            until(lambda: is_back(deployed), "all tasks on the manager", 4 * FAR, every=0.3)
            back = time.monotonic() - died
            output, _ = clients.communicate(timeout=FAR)
        finally:
            clients.kill()
    found = json.loads(output)
    gaps = {name: gap(times, died) for name, times in found["answers"].items()}
    print(f"\nback after {back:.1f} s; longest without an answer, in s: "
          + ", ".join(f"{name} {seconds:.1f}" for name, seconds in gaps.items()))  # fmt: skip
    assert found["wrong"] == []
    # On a slow machine the start of the lost tasks may take twice what that of all has taken here.
    limit = max(BACK_SECONDS, NOTICED_SECONDS + 2 * deployed.started)
    assert back <= limit, f"{back:.1f} s"
    late = {name: seconds for name, seconds in gaps.items() if name not in SCALED}
    assert max(late.values()) <= limit + GAP_SECONDS
    assert all(within(gaps[name], GAP_SECONDS) for name in SCALED), gaps
    assert {node for nodes in places(deployed).values() for node in nodes} == {
        deployed.manager.name
    }
    done = deployed.make("demo")
    assert done.returncode == 0, done.stdout + done.stderr


def gap(times: list[float], since: float) -> float:
    """Return the longest time between two answers, the later of them after `since`."""
    return max(
        (later - earlier for earlier, later in pairwise(times)
         if later > since), default=float("inf"),
    )  # fmt: skip


def is_back(cluster: Cluster) -> bool:
    """Whether all replicas are healthy on the manager."""
    rows = [line.split() for line in cluster.make("ps").stdout.splitlines()[1:]]
    return len(rows) == sum(REPLICAS.values()) and all(
        row[1:3] == [cluster.manager.name, "healthy"] for row in rows
    )


def test_down_says_which_node_does_not_answer(deployed: Cluster) -> None:
    """What that one has stays, and so does what is known of it; all the rest is removed."""
    done = deployed.make("swarm-down")
    assert done.returncode == 2
    assert f"the engine at {deployed.worker.engine} does not answer, and keeps" in done.stderr
    assert deployed.manager.docker("ps", "--all", "--quiet") == ""


def test_a_node_that_is_back_is_cleared_and_can_be_used_again(deployed: Cluster) -> None:
    """Then nothing is left: no container, network, volume, image, secret or swarm."""
    deployed.worker.plug("up")
    deployed.worker.start()
    done = deployed.make("swarm-down")
    assert done.returncode == 0, done.stderr
    assert deployed.left() == []


def test_what_is_published_is_open_to_whoever_reaches_a_node(deployed: Cluster) -> None:
    """Only what PUBLISH names; here of a machine that is a swarm for itself. And all of it goes."""
    nodes = f"NODES={deployed.manager.engine}={LOOPBACK}"
    port = PORTS["tcp-echo"]  # of machines that nobody else has
    done = deployed.make("swarm", nodes, "PUBLISH=tcp-echo", f"WIRELAB_TCP_ECHO_PORT={port}")
    assert done.returncode == 0, done.stdout + done.stderr
    try:
        assert "open to whoever reaches a node: tcp-echo" in done.stderr
        assert {host for host, at in listening(deployed.manager) if at != port} == {"0100007F"}
        where = (deployed.manager.address, port)
        echo = f"import socket; s = socket.create_connection({where}); s.sendall(b'spam')"
        said = inside(deployed.worker, sys.executable, "-c", f"{echo}; print(s.recv(9))")
        assert said == "b'spam'\n"
    finally:
        done = deployed.make("swarm-down")
    assert done.returncode == 0, done.stderr
    assert deployed.left() == []
