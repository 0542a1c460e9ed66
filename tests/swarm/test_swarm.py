"""The lab on two machines: deployed, compared with compose.yaml, used, one of them dead, removed.

The tests of this file go on from one another, in their order.
"""

import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from clients.addresses import PORTS
from lab import ROOT
from lab.description import filled, services
from lab.swarm.nodes import BRIDGE, LOOPBACK
from lab.swarm.stack_file import in_bytes
from tests.support.pace import FAR, until, within
from tests.support.processes import beside
from tests.swarm import ssh
from tests.swarm.conftest import SCALE, Cluster
from tests.swarm.machines import Machine, run

SERVERS = [service.name for service in services({})]
REPLICAS = dict.fromkeys(SERVERS, 1) | {
    name: int(count) for name, count in (word.split("=") for word in SCALE.split())
}
SCALED = [name for name, count in REPLICAS.items() if count > 1]
BACK_SECONDS = 30.0  # from the death of a node until all of its tasks run on another one
NOTICED_SECONDS = 10.0  # of these until it is noticed, which no slow machine makes longer
GAP_SECONDS = 5.0  # without an answer, for a client that has another replica to ask
OTHERS = "somebody-elses"  # a service
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
        (["SCALE=spam=2"], "SCALE has value 'spam=2'. No service 'spam'; there are tcp-echo, "),
        (["PUBLISH=httpbin"], "PUBLISH has value 'httpbin'. httpbin is for 127.0.0.1 alone"),
    ],
    ids=["no such service", "not to be published"],
)
def test_what_cannot_be_is_said_before_anything_is_changed(
    cluster: Cluster, settings: list[str], message: str
) -> None:
    """In a sentence, and no engine knows of it."""
    done = cluster.make("swarm", *settings)
    assert done.returncode == 2
    assert message in done.stderr
    assert cluster.left() == []


def test_of_each_engine_out_of_reach_a_line_says_why(cluster: Cluster) -> None:
    """Of all of them at once, and nothing is changed on those that answer."""
    at = cluster.worker.address
    reasons = {
        f"ssh://root@{at}:23": f"ssh: connect to host {at} port 23: Connection refused",
        f"ssh://nemo@{at}": f"nemo@{at}: Permission denied (publickey)",
        f"ssh://root@{ssh.STRANGER}": "Host key verification failed",
        f"ssh://dockerless@{at}": "sh: 1: docker: not found",
        f"ssh://outsider@{at}": "no engine runs there, or this user may not use it",
    }
    lines = [
        f"the engine at {engine} does not answer: {reason}."
        f" `ssh {where} docker version` has to work without a question"
        for engine, reason in reasons.items()
        for where in [engine if engine.endswith(":23") else engine.removeprefix("ssh://")]
    ]
    nowhere = "unix:///nowhere/docker.sock"
    lines.append(
        f"the engine at {nowhere} does not answer: Cannot connect to the Docker daemon at"
        f" {nowhere}. Is the docker daemon running?"
    )
    done = cluster.make("swarm", f"NODES={cluster.nodes} {' '.join(reasons)} {nowhere}")
    assert done.returncode == 2
    _, _, said = done.stderr.partition("wirelab: ")
    assert said.splitlines()[: len(lines)] == lines
    assert cluster.left() == []


def test_ctrl_c_leaves_nothing_half_done(cluster: Cluster) -> None:
    """A first start that is interrupted is undone: no services, no images, and no swarm.

    Here it is on one machine alone, whose engine listens on 127.0.0.1, and which is reached by ssh.
    """
    nodes = f"{cluster.worker_engine}={LOOPBACK}"
    command = cluster.manager.inside(sys.executable, "-m", "lab", "swarm", "--nodes", nodes)
    said = []
    with beside(
        command, cwd=ROOT, env=cluster.environment(), stderr=subprocess.PIPE, text=True,
        process_group=0,
    ) as process:  # fmt: skip
        assert process.stderr
        for line in process.stderr:
            said.append(line)
            if line.startswith("starting the services"):
                listening = cluster.worker.listening()
                os.killpg(process.pid, signal.SIGINT)
        assert process.wait(FAR) == 130, "".join(said)
    print("".join(said))
    assert said[-1] == "interrupted\n"
    assert {host for host, port in listening if port != ssh.PORT} == {"0100007F"}
    assert cluster.left() == []


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
    """No container has a port, and nothing but the engines and sshd listens on the machines."""
    for machine in deployed.machines:
        for container in machine.docker("ps", "--quiet").split():
            ports = inspected(machine, container)["NetworkSettings"]["Ports"]
            assert [port for port, where in ports.items() if where] == []
        own = {2377, 7946, ssh.PORT}  # two are the swarm's
        assert {port for _, port in machine.listening()} <= own


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
    load = [*in_object_echo(deployed), "-c", (HERE / "load.py").read_text(), "1"]
    one, four = (
        json.loads(subprocess.check_output([*load, count], timeout=FAR)) for count in ("1", "4")
    )
    served = list(four["served"].values())
    assert len(served) == REPLICAS["rest"]
    assert min(served) > sum(served) / 100  # those of another node are slower
    print(f"\nrest, requests/s with 1 replica: {one['per_second']:,.0f}, with 4:"
          f" {four['per_second']:,.0f}")  # fmt: skip


def test_a_worker_is_no_place_to_deploy_from(deployed: Cluster) -> None:
    """Who tries is told where the managers are."""
    nodes = f"NODES={deployed.worker_engine}"
    done = deployed.make("swarm", nodes, "COMPOSE_PROJECT_NAME=wirelab-test-other")
    assert done.returncode == 2
    assert "is a worker of a swarm, and only its managers can deploy: 198.51.100.1" in done.stderr


def test_a_second_deployment_changes_what_is_asked_and_nothing_else(deployed: Cluster) -> None:
    """The nodes are known; a port that is published is open to whoever reaches its node."""
    before = tasks(deployed)
    empty = deployed.worker.folder / "empty.tar"
    tarfile.open(empty, "w").close()
    # Another image of that name, as the one of before is after a change of the code.
    deployed.worker.docker("import", str(empty), f"{deployed.builder.project}-udp-time")
    done = deployed.make("swarm", f"SCALE={SCALE}", "PUBLISH=kv", f"WIRELAB_KV_PORT={PORTS['kv']}")
    print(done.stderr)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "loading 1 images on the engine at ssh://" in done.stderr
    assert "open to whoever reaches a node: kv" in done.stderr
    after = tasks(deployed)
    assert {name for name in REPLICAS if before[name] != after[name]} == {"kv"}
    where = (deployed.manager.address, PORTS["kv"])
    connect = f"import socket; socket.create_connection({where}).close()"
    run(*deployed.worker.inside(sys.executable, "-c", connect))


def tasks(cluster: Cluster) -> dict[str, set[str]]:
    """Return the IDs of the containers of each service."""
    return {
        name: {each for machine in cluster.machines for each in cluster.containers(machine, name)}
        for name in SERVERS
    }


def test_the_death_of_a_node(deployed: Cluster) -> None:
    """Its tasks are back on the other one within 30 s, and good clients go on meanwhile."""
    lost = [name for name, nodes in places(deployed).items() if deployed.worker.name in nodes]
    assert lost
    command = [*in_object_echo(deployed), "-c", (HERE / "good_clients.py").read_text()]
    with beside(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as clients:
        assert clients.stdout
        assert clients.stdout.readline() == "started\n"
        deployed.worker.plug("down")
        died = time.monotonic()
        deployed.worker.cut_power()
        until(lambda: is_down(deployed), "the manager notices it", 4 * FAR, every=0.3)
        noticed = time.monotonic() - died
        until(lambda: is_back(deployed), "all tasks on the manager", 4 * FAR, every=0.3)
        back = time.monotonic() - died
        output, _ = clients.communicate(timeout=FAR)
    found = json.loads(output)
    gaps = {name: gap(times, died) for name, times in found["answers"].items()}
    print(f"\nnoticed after {noticed:.1f} s, back after {back:.1f} s;"
          " longest without an answer, in s: "
          + ", ".join(f"{name} {seconds:.1f}" for name, seconds in gaps.items()))  # fmt: skip
    assert found["wrong"] == []
    assert within(noticed, NOTICED_SECONDS)
    # On a slow machine the start of the lost tasks may take twice what that of all has taken here.
    limit = max(BACK_SECONDS, NOTICED_SECONDS + 2 * deployed.started)
    assert back <= limit, f"{back:.1f} s"
    late = {name: seconds for name, seconds in gaps.items() if name not in SCALED}
    assert max(late.values()) <= limit + GAP_SECONDS
    assert all(within(gaps[name], GAP_SECONDS) for name in SCALED), gaps
    assert {node for nodes in places(deployed).values() for node in nodes} == {
        deployed.manager.name
    }


def gap(times: list[float], since: float) -> float:
    """Return the longest time between two answers, the later of them after `since`."""
    return max(
        (later - earlier for earlier, later in pairwise(times)
         if later > since), default=float("inf"),
    )  # fmt: skip


def is_down(cluster: Cluster) -> bool:
    """Whether the manager has noticed that the worker is gone."""
    return "Down" in cluster.manager.docker("node", "ls", "--format", "{{.Status}}").split()


def is_back(cluster: Cluster) -> bool:
    """Whether all replicas are healthy on the manager."""
    rows = [line.split() for line in cluster.make("ps").stdout.splitlines()[1:]]
    return len(rows) == sum(REPLICAS.values()) and all(
        row[1:3] == [cluster.manager.name, "healthy"] for row in rows
    )


def test_after_that_the_clients_hold_it_to_all_promises(deployed: Cluster) -> None:
    """As `make demo`, with what cannot be checked over a network named."""
    done = deployed.make("demo", "ARGS=--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert {check["service"] for check in found["checks"]} == {*SERVERS, "cidr"}
    assert [check for check in found["checks"] if not check["held"]] == []
    unix = "the same over the UNIX socket"
    assert found["left_out"] == [f"object-echo: {unix}", f"rpc: {unix}"]


def test_down_says_what_stays_and_removes_the_rest(deployed: Cluster) -> None:
    """What a node has that does not answer, and the swarm, while a service of others is in it."""
    image = f"{deployed.builder.project}-rest"
    deployed.manager.docker("service", "create", "--detach", "--name", OTHERS, "--replicas", "0",
                            "--no-resolve-image", image)  # fmt: skip
    done = deployed.make("swarm-down")
    assert done.returncode == 2
    assert f"the engine at {deployed.worker_engine} does not answer, and keeps" in done.stderr
    assert f"the swarm that `make swarm` made stays, for {OTHERS}" in done.stderr
    ask = deployed.manager.docker
    networks = set(ask("network", "ls", "--format", "{{.Name}}").split())
    left = {kind: ask(kind, "ls", "--quiet").split() for kind in ("volume", "secret", "config")}
    there = ask("service", "ls", "--format", "{{.Name}}").split()
    ask("service", "rm", OTHERS)
    assert there == [OTHERS]
    assert left == {"volume": [], "secret": [], "config": []}
    assert networks == {"host", "none", "ingress", BRIDGE}  # the engine's and the swarm's own
    assert ask("ps", "--all", "--quiet") == ""


def test_a_node_that_is_back_is_cleared_and_can_be_used_again(deployed: Cluster) -> None:
    """Then nothing is left: no container, network, volume, image, secret or swarm."""
    deployed.worker.plug("up")
    deployed.worker.start()
    deployed.worker.wait()
    deployed.wait_for_ssh()
    done = deployed.make("swarm-down")
    assert done.returncode == 0, done.stderr
    assert deployed.left() == []
