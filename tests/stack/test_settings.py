"""The containers as the engine reports them: what each may do, and with how much.

Which control of the CIS Docker Benchmark each test holds: cis.py, and docs/security.md.
"""

import re
from collections.abc import Iterator

import docker
import pytest
from docker.models.containers import Container

from lab import ROOT
from lab.description import services
from lab.engine import base_image
from lab.stack import Stack
from services.relay.server import PROXIES
from tests.stack.conftest import SPEAKS, VARIANTS, Find
from tests.support.engine import SERVICES, run_in


@pytest.fixture(scope="module")
def one_off(stack: Stack, engine: docker.DockerClient) -> Iterator[Container]:
    """Start a clients container that stays."""
    identifier = stack.compose(
        "run", "--detach", "--entrypoint", "sleep", "clients", "600"
    ).stdout.strip()
    container = engine.containers.get(identifier)
    yield container
    container.remove(force=True)


@pytest.fixture(params=[*SERVICES, *VARIANTS, "clients"])
def container(request: pytest.FixtureRequest, find: Find, one_off: Container) -> Container:
    """Return each container in turn."""
    return one_off if request.param == "clients" else find(request.param)


def test_runs_as_nobody_in_particular(container: Container) -> None:
    """The user is a number that no account of the host has, and not root."""
    assert container.attrs["Config"]["User"] == "10001:10001"
    assert run_in(container, "id", "-u") == (0, "10001\n")


def test_file_system_is_read_only(container: Container) -> None:
    """Nothing can be written but in /tmp."""
    assert container.attrs["HostConfig"]["ReadonlyRootfs"] is True
    status, output = run_in(container, "touch", "/app/written")
    assert status != 0
    assert "Read-only file system" in output
    assert run_in(container, "touch", "/tmp/written") == (0, "")  # noqa: S108


def test_has_no_capabilities(container: Container) -> None:
    """All capabilities are dropped, none is added, and none can be gained by a set-uid program."""
    assert container.attrs["HostConfig"]["CapDrop"] == ["ALL"]
    assert not container.attrs["HostConfig"]["CapAdd"]
    assert container.attrs["HostConfig"]["Privileged"] is False
    _, status = run_in(container, "cat", "/proc/self/status")
    assert "CapBnd:\t0000000000000000\n" in status
    assert "NoNewPrivs:\t1\n" in status


def test_is_confined(container: Container, engine: docker.DockerClient) -> None:
    """The engine's own profiles for system calls, and of AppArmor where it is, are not disabled."""
    assert container.attrs["HostConfig"]["SecurityOpt"] == ["no-new-privileges:true"]
    with_apparmor = "name=apparmor" in engine.info()["SecurityOptions"]
    assert container.attrs["AppArmorProfile"] == ("docker-default" if with_apparmor else "")
    _, status = run_in(container, "cat", "/proc/self/status")
    assert "Seccomp:\t2\n" in status  # a filter: proc(5)


def test_is_limited(container: Container, engine: docker.DockerClient) -> None:
    """Processes, memory, processor time and descriptors have a limit, and so have the logs."""
    service = container.labels["com.docker.compose.service"]
    assert container.attrs["HostConfig"]["PidsLimit"] == (128 if service in VARIANTS else 64)
    larger = SPEAKS.get(service) in ("object-echo", "rpc", "relay") or service == "tcp-echo-forked"
    assert container.attrs["HostConfig"]["Memory"] == (256 if larger else 128) * 1024 * 1024
    shares = (
        512 if engine.info()["CPUShares"] else 0
    )  # an engine without root may have none to give
    assert container.attrs["HostConfig"]["CpuShares"] == shares
    assert container.attrs["HostConfig"]["Ulimits"] == [
        {"Name": "nofile", "Soft": 16384, "Hard": 16384}
    ]
    assert run_in(container, "sh", "-c", "ulimit -n") == (0, "16384\n")
    assert container.attrs["HostConfig"]["CgroupParent"] == ""
    assert container.attrs["HostConfig"]["LogConfig"] == {
        "Type": "json-file",
        "Config": {"max-size": "1m", "max-file": "3"},
    }


def test_has_an_init(container: Container) -> None:
    """Process 1 passes signals on and reaps."""
    assert container.attrs["HostConfig"]["Init"] is True
    assert run_in(container, "cat", "/proc/1/comm") == (0, "docker-init\n")
    assert container.attrs["Config"]["StopTimeout"] == 5


def test_shares_nothing_with_the_host(container: Container, stack: Stack) -> None:
    """No namespace, device or folder of the host is in the container, but for the key's file."""
    host = container.attrs["HostConfig"]
    assert (host["PidMode"], host["UTSMode"], host["UsernsMode"]) == ("", "", "")
    assert host["Devices"] is None
    assert host["IpcMode"] in ("private", "shareable")
    assert list(container.attrs["NetworkSettings"]["Networks"]) == [f"{stack.project}_default"]
    assert host["NetworkMode"] == f"{stack.project}_default"
    mounts = container.attrs["Mounts"]
    bound = [mount for mount in mounts if mount["Type"] == "bind"]
    assert all(mount["Destination"] == "/run/secrets/authkey" for mount in bound)
    assert all(mount["RW"] is False for mount in bound)
    assert not any("shared" in mount["Propagation"] for mount in mounts)


@pytest.mark.parametrize("service", [*SERVICES, *VARIANTS])
def test_server_restarts_and_is_checked(find: Find, service: str) -> None:
    """A server that ends is started again, and its health is checked."""
    container = find(service)
    assert container.attrs["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    assert container.attrs["Config"]["Healthcheck"]["Test"] == [
        "CMD", "sh", "clients/health.sh", SPEAKS[service]
    ]  # fmt: skip


@pytest.mark.parametrize("service", [*SERVICES, *VARIANTS])
def test_publishes_its_port_on_loopback_only(find: Find, service: str) -> None:
    """One port, which compose.yaml names, above those that only root may have.

    The relay has more, one for each service: tests/unit/test_compose.py knows which.
    """
    (declared,) = [found.port for found in services({}, "*") if found.name == service]
    found = find(service).attrs["NetworkSettings"]["Ports"]
    published = {port: bindings for port, bindings in found.items() if bindings}
    assert f"{declared.target}/{declared.protocol}" in published
    assert len(published) == (1 + len(PROXIES) if service == "relay" else 1)
    for inside, bindings in published.items():
        (binding,) = bindings
        assert binding["HostIp"] == "127.0.0.1"
        assert min(int(binding["HostPort"]), int(inside.partition("/")[0])) > 1023


def test_clients_publish_nothing(one_off: Container) -> None:
    """They call, and are not called."""
    assert not one_off.attrs["HostConfig"]["PortBindings"]


SOCKETS = (
    "object-echo", "object-echo-coroutines", "object-echo-threaded",
    "rpc", "rpc-coroutines", "rpc-threaded", "clients",
)  # fmt: skip
VOLUMES = {"kv": ["/data"], **{service: ["/run/wirelab"] for service in SOCKETS}}


def test_has_only_its_own_volumes(container: Container) -> None:
    """Kv has its data, who has a UNIX socket shares it with the clients, and /tmp is small."""
    volumes = [mount for mount in container.attrs["Mounts"] if mount["Type"] == "volume"]
    service = container.labels["com.docker.compose.service"]
    assert [volume["Destination"] for volume in volumes] == VOLUMES.get(service, [])
    assert container.attrs["HostConfig"]["Tmpfs"] == {"/tmp": "mode=1777,size=16m"}  # noqa: S108


WHAT_IS_IN_IT = """
import importlib.metadata, importlib.util, json, os, pathlib
compiled = [pathlib.Path(importlib.util.cache_from_source(path)).exists()
            for path in (json.__file__, "/app/services/runtime.py", "/app/clients/health.py")]
print(*sorted(os.listdir("/app")), all(compiled))
print(*sorted(found.name.lower().replace("_", "-") for found in importlib.metadata.distributions()))
"""


@pytest.mark.parametrize("service", [*SERVICES, "clients"])
def test_image_has_its_own_code_and_packages_and_no_root(
    engine: docker.DockerClient, stack: Stack, service: str
) -> None:
    """The packages are those of its lock file, all code is compiled, and the user is no root."""
    name = f"{stack.project}-{service}"
    assert engine.images.get(name).attrs["Config"]["User"] == "10001:10001"
    said = engine.containers.run(
        name, ["-c", WHAT_IS_IN_IT], entrypoint="python", remove=True
    ).decode()
    lock = ROOT / "requirements" / f"{service}.txt"
    locked = re.findall(r"^([\w.-]+)==", lock.read_text(), re.MULTILINE) if lock.exists() else []
    assert said.splitlines() == ["clients services True", " ".join(sorted(set(locked)))]


@pytest.mark.parametrize("service", [*SERVICES, "clients"])
def test_image_has_no_pip_and_only_its_own_service(
    engine: docker.DockerClient, stack: Stack, service: str
) -> None:
    """An image holds one service, and nothing to install more with."""
    listing = engine.containers.run(
        f"{stack.project}-{service}", ["sh", "-c", "ls services; ls /venv/bin"], remove=True
    ).decode().split()  # fmt: skip
    folders = {"__init__.py", "__pycache__", "connection", "runtime.py"}
    own = {service.replace("-", "_")} - {"clients"}
    assert set(listing) >= folders | own
    others = {name.replace("-", "_") for name in SERVICES} - own
    assert not others & set(listing)
    assert "pip" not in listing


@pytest.mark.parametrize("service", [*SERVICES, "clients"])
def test_image_has_no_set_uid_programs_and_no_sshd(
    engine: docker.DockerClient, stack: Stack, service: str
) -> None:
    """Nobody in an image gets another user's rights, and nobody logs in."""
    found = engine.containers.run(
        f"{stack.project}-{service}",
        ["/", "-xdev", "-type", "f", "(", "-perm", "/6000", "-o", "-name", "sshd", ")"],
        entrypoint="find", user="0", remove=True,
    )  # fmt: skip
    assert found == b""


@pytest.mark.parametrize("service", [*SERVICES, "clients"])
def test_image_is_built_of_copies_only(
    engine: docker.DockerClient, stack: Stack, service: str
) -> None:
    """On top of the base, nothing is added from elsewhere, and no package lists are updated."""
    of_the_base = len(engine.images.get(base_image()).history())
    history = engine.images.get(f"{stack.project}-{service}").history()
    steps = [str(step["CreatedBy"]) for step in history[:-of_the_base]]
    assert len([step for step in steps if step.startswith("COPY ")]) >= 4
    assert [
        step for step in steps if re.search(r"^ADD |\b(apt|apt-get|apk|pip install)\b", step)
    ] == []
