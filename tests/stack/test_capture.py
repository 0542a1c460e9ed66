"""`make capture`: real packets of a container, by somebody with as few privileges as possible."""

import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import docker
import pytest
from docker.models.containers import Container

from lab import ROOT, LabError, capture
from lab.engine import tool_image
from lab.stack import Stack
from tests.support.engine import container_of, lab, run_in
from tests.support.pace import FAR
from tests.support.processes import beside


@pytest.fixture(scope="module", autouse=True)
def _image(engine: docker.DockerClient) -> None:  # noqa: ARG001 - skipped where there is none
    """Build the image first, so that no test waits for that."""
    tool_image("tools")


@pytest.fixture
def written() -> Iterator[list[Path]]:
    """Lend a list for the files that a test has had written, which are removed at the end."""
    files: list[Path] = []
    yield files
    for file in files:
        file.unlink(missing_ok=True)


@contextmanager
def capturing(stack: Stack, seconds: str) -> Iterator["subprocess.Popen[str]"]:
    """Start to capture the packets of rest, and wait until none is missed."""
    command = [sys.executable, "-m", "lab", "capture", "--service=rest"]
    with beside(
        [*command, f"--seconds={seconds}"],
        cwd=ROOT,
        env=stack.environment(),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("capturing rest"):
                break
        yield process


def left_over(engine: docker.DockerClient, stack: Stack) -> list[Container]:
    """Return the containers that are in the network namespace of one of the stack's."""
    label = f"com.docker.compose.project={stack.project}"
    servers = engine.containers.list(all=True, filters={"label": label})
    namespaces = {f"container:{server.id}" for server in servers}
    return [
        each
        for each in engine.containers.list(all=True)
        if each.attrs["HostConfig"]["NetworkMode"] in namespaces
    ]


def segments(file: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield the ports and the data of each TCP segment over IPv4 in a pcap file."""
    magic, _, _, _, _, _, link_type = struct.unpack_from("<IHHiIII", file)
    assert (magic, link_type) == (0xA1B2C3D4, 1)  # microseconds, Ethernet
    at = 24
    while at < len(file):
        captured, size = struct.unpack_from("<8xII", file, at)
        assert captured == size, "a packet is cut off"
        packet = file[at + 16 : at + 16 + captured]
        at += 16 + captured
        if packet[12:14] == b"\x08\x00" and packet[23] == socket.IPPROTO_TCP:
            start = 14 + (packet[14] & 15) * 4
            end = 14 + int.from_bytes(packet[16:18], "big")
            source, destination = struct.unpack_from("!HH", packet, start)
            yield source, destination, packet[start + (packet[start + 12] >> 4) * 4 : end]
    assert at == len(file)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_it_has_the_packets_of_a_request(
    stack: Stack, engine: docker.DockerClient, written: list[Path], number: int
) -> None:
    """To and from the server's port, whole: ended early, it keeps them, and no container."""
    where = stack.address("rest")
    with capturing(stack, "60") as process:
        with urlopen(f"http://{where}/hello?name=wire", timeout=FAR) as response:
            body = response.read()
        process.send_signal(number)
        said = process.communicate(timeout=FAR)[1]
    assert process.returncode == 0, said
    name, _, counted = said.splitlines()[-1].partition(": ")
    file = ROOT / name
    written.append(file)
    assert file.parent == ROOT / "captures"
    assert file.name.startswith("rest-")
    passed = list(segments(file.read_bytes()))
    asked = b"".join(data for _, port, data in passed if port == 8080)
    answered = b"".join(data for port, _, data in passed if port == 8080)
    assert asked.startswith(b"GET /hello?name=wire HTTP/1.1\r\n")
    assert answered.endswith(body)
    assert int(counted.split()[0]) >= len(passed) >= 8
    assert left_over(engine, stack) == []


def test_it_ends_by_itself(stack: Stack, engine: docker.DockerClient, written: list[Path]) -> None:
    """After as many seconds as asked for; without packets there is a file all the same."""
    done = lab(stack, "capture", "--service=kv", "--seconds=0.1")
    assert done.returncode == 0, done.stderr
    file = ROOT / done.stderr.splitlines()[-1].partition(": ")[0]
    written.append(file)
    assert len(file.read_bytes()) >= 24
    assert left_over(engine, stack) == []


def test_nothing_is_left_where_it_is_killed(stack: Stack, engine: docker.DockerClient) -> None:
    """Some time later it ends by itself, as then nobody is there to end it."""
    with capture.tcpdump(str(container_of(engine, stack, "rest").id), 7) as source:
        assert source.read(FAR)
        (container,) = left_over(engine, stack)
        command = container.attrs["Config"]["Cmd"]
        assert command[: command.index("tcpdump")] == ["timeout", "--signal", "INT", "67"]
    assert left_over(engine, stack) == []


def test_it_has_one_capability_and_nothing_else(stack: Stack, engine: docker.DockerClient) -> None:
    """Root in its container, and there with CAP_NET_RAW only; it cannot write or gain anything."""
    with capture.tcpdump(str(container_of(engine, stack, "rest").id), 60) as source:
        assert source.read(FAR)
        (container,) = left_over(engine, stack)
        config, host = container.attrs["Config"], container.attrs["HostConfig"]
        assert config["User"] == "0:0"
        assert not config["Tty"]
        assert host["CapDrop"] == ["ALL"]
        assert [each.removeprefix("CAP_") for each in host["CapAdd"]] == ["NET_RAW"]
        assert host["ReadonlyRootfs"]
        assert host["SecurityOpt"] == ["no-new-privileges"]
        assert not host["Privileged"]
        assert container.attrs["Mounts"] == []
        assert 0 < host["PidsLimit"] <= 64
        assert host["Memory"] > 0
        _, status = run_in(container, "grep", "CapEff", "/proc/1/status")
        assert int(status.split()[1], 16) == 1 << 13  # CAP_NET_RAW, in linux/capability.h


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--service=nothing"], "no service 'nothing'; there are tcp-echo, "),
        ([], "SERVICE has no value: packets of which server? tcp-echo, "),
        (
            ["--service=rest", "--seconds=0"],
            "SECONDS has value '0'. Not a number of seconds up to 3600",
        ),
        (["--service=rest", "--seconds=nan"], "SECONDS has value 'nan'. Not a number"),
        (["--service=kv-1"], "kv-1 does not run; `make ps` lists what does"),
    ],
    ids=["no such service", "none", "no time", "no number", "not running"],
)
def test_an_error_names_the_thing(stack: Stack, arguments: list[str], said: str) -> None:
    """And nothing is written."""
    before = sorted((ROOT / "captures").glob("*"))
    done = lab(stack, "capture", *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"wirelab: {said}" in done.stderr
    assert sorted((ROOT / "captures").glob("*")) == before


def test_a_lab_that_does_not_run(engine: docker.DockerClient) -> None:  # noqa: ARG001
    """It says how to start it."""
    done = lab(Stack(f"wirelab-test-none-{os.getpid()}"), "capture", "--service=rest")
    assert (done.returncode, done.stdout) == (1, "")
    assert "wirelab: nothing runs: `make up` starts the lab" in done.stderr


def test_a_container_that_is_gone(engine: docker.DockerClient) -> None:  # noqa: ARG001
    """It says what tcpdump, or the engine, had to say."""
    with (
        capture.tcpdump("0" * 64, 60) as source,
        pytest.raises(LabError, match=r"(?s)does not start beside rest:.*No such container"),
    ):
        list(capture.captured(source, "rest", 60, capture.Packets()))
