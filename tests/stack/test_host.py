"""What `make` does with the containers where something is in the way, or has changed meanwhile."""

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import docker
import pytest

from clients.addresses import Address
from lab import ROOT
from lab.description import services
from lab.engine import base_image
from lab.stack import Stack
from tests.support.engine import SERVICES, container_of, lab, new_stack
from tests.support.pace import FAR, until
from tests.support.processes import beside

WITH_KEY = ["console", "object-echo", "rpc"]


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where the key of this lab is."""
    return tmp_path_factory.mktemp("key") / "authkey"


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy what the lab is made of to another folder."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("clients", "lab", "requirements", "scripts", "services"):
        shutil.copytree(ROOT / name, folder / name)
    for name in (".dockerignore", "Dockerfile", "compose.yaml"):
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def mine(
    engine: docker.DockerClient,  # noqa: ARG001 - it takes one
    key: Path,
    clone: Path,
) -> Iterator[Stack]:
    """Start a lab as `make up` does, from a clone."""
    stack = new_stack(key)
    try:
        done = lab(stack, "up", folder=clone)
        assert done.returncode == 0, done.stderr
        yield stack
    finally:
        stack.down(volumes=True, images=True)
    assert stack.left() == []


def containers(engine: docker.DockerClient, stack: Stack) -> dict[str, str]:
    """Return the container of each server."""
    return {name: str(container_of(engine, stack, name).id) for name in SERVICES}


def test_new_key_recreates_those_that_have_it(
    engine: docker.DockerClient, mine: Stack, key: Path, clone: Path
) -> None:
    """Until then `ps` and `doctor` say who still has the old one."""
    before = containers(engine, mine)
    key.unlink()
    key.write_text(secrets.token_urlsafe(48))
    key.chmod(0o444)
    said = "console, object-echo and rpc run with an older key: `make up` gives them the new one"
    assert said in lab(mine, "ps", folder=clone).stderr
    assert said in lab(mine, "doctor", folder=clone).stdout
    done = lab(mine, "up", folder=clone)
    assert done.returncode == 0, done.stderr
    after = containers(engine, mine)
    assert sorted(name for name in SERVICES if after[name] != before[name]) == WITH_KEY
    assert said not in lab(mine, "ps", folder=clone).stderr


def test_nothing_is_stopped_for_a_binding_that_cannot_be_had(
    engine: docker.DockerClient, mine: Stack, clone: Path
) -> None:
    """A port that somebody has, an address of another machine, a key that no container may read."""
    before = containers(engine, mine)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        for setting in ("WIRELAB_REST_PORT", "WIRELAB_RELAY_PORT", "WIRELAB_RELAY_KV_PORT"):
            taken = Stack(mine.project, {**mine.settings, setting: port})
            for command in ("up", "doctor"):
                done = lab(taken, command, folder=clone)
                assert done.returncode == 1
                said = f"(process {os.getpid()}): free it, or set {setting} "
                assert said in done.stdout + done.stderr
    foreign = Stack(mine.project, {**mine.settings, "WIRELAB_BIND": "192.0.2.1"})
    for command in ("up", "doctor"):
        done = lab(foreign, command, folder=clone)
        assert done.returncode == 1
        assert "Not an address of this machine" in done.stdout + done.stderr
    key = Path(mine.settings["WIRELAB_AUTHKEY_FILE"])
    key.chmod(0o600)
    try:
        for command in ("up", "doctor"):
            done = lab(mine, command, folder=clone)
            assert done.returncode == 1
            assert f"chmod o+r {key}" in done.stdout + done.stderr
    finally:
        key.chmod(0o444)
    assert containers(engine, mine) == before


def test_changed_port_of_the_relay_recreates_it_alone(
    engine: docker.DockerClient, mine: Stack, clone: Path
) -> None:
    """It passes traffic on there, and `up` and `ps` say so; doctor has nothing against it."""
    before = containers(engine, mine)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    setting = "WIRELAB_RELAY_TCP_ECHO_PORT"
    changed = Stack(mine.project, {**mine.settings, setting: str(port)})
    done = lab(changed, "up", folder=clone)
    assert done.returncode == 0, done.stderr
    after = containers(engine, mine)
    assert [name for name in SERVICES if after[name] != before[name]] == ["relay"]
    bindings = changed.bindings()
    assert set(bindings) == {each.setting for found in services({}) for each in found.ports}
    assert bindings[setting] == Address("127.0.0.1", port)
    row = rf"^tcp-echo .*  {bindings['WIRELAB_TCP_ECHO_PORT']} +{bindings[setting]}$"
    assert re.search(row, done.stderr, re.MULTILINE)
    assert re.search(row, lab(changed, "ps", folder=clone).stdout, re.MULTILINE)
    used = f"relay         {bindings[setting]}/tcp, for tcp-echo, used by this lab"
    assert used in lab(changed, "doctor", folder=clone).stdout
    with socket.create_connection(("127.0.0.1", port), FAR) as s:
        s.sendall(b"hello")
        assert s.recv(5, socket.MSG_WAITALL) == b"hello"


def test_port_that_the_relay_leaves_is_another_servers(
    engine: docker.DockerClient, mine: Stack, clone: Path
) -> None:
    """It is free for whoever is to have it now, at the same start."""
    before = containers(engine, mine)
    setting = "WIRELAB_RELAY_TCP_ECHO_PORT"
    where = mine.bindings()[setting]
    given = Stack(mine.project, {**mine.settings, "WIRELAB_TCP_ECHO_PORT": str(where.port)})
    assert lab(given, "doctor", folder=clone).returncode == 0
    done = lab(given, "up", folder=clone)
    assert done.returncode == 0, done.stderr
    after = containers(engine, mine)
    assert sorted(name for name in SERVICES if after[name] != before[name]) == ["relay", "tcp-echo"]
    assert given.addresses()["tcp-echo"] == where
    assert given.bindings()[setting] != where


def test_what_does_not_run_is_said(mine: Stack, clone: Path) -> None:
    """By `logs`, which shows what there is all the same, and by `shell`."""
    for command in ("logs", "shell"):
        done = lab(mine, command, "--service=tcp-echo-forked", folder=clone)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == (
            "wirelab: tcp-echo-forked does not run: `make up PROFILE=variants` starts it\n"
        )
    mine.compose("stop", "rest")
    try:
        done = lab(mine, "logs", "--service=rest", folder=clone)
        assert done.stdout.startswith("rest-1 ")
        assert (done.returncode, done.stderr) == (
            1, "wirelab: rest does not run: `make up` starts it\n",
        )  # fmt: skip
    finally:
        mine.compose("start", "rest")


def test_clients_that_were_removed_are_built(
    engine: docker.DockerClient, mine: Stack, clone: Path
) -> None:
    """As after `docker image prune --all`: from the base image that the others have."""
    engine.images.remove(f"{mine.project}-clients")
    settings = {name: value for name, value in mine.settings.items() if name != "PYTHON_IMAGE"}
    done = lab(Stack(mine.project, settings), "demo", "--", "rest", "hello", "Guido", folder=clone)
    assert done.returncode == 0, done.stderr
    assert "Hello Guido!" in done.stdout


def test_down_says_what_stays_and_why(
    engine: docker.DockerClient, mine: Stack, clone: Path
) -> None:
    """A container that is not the lab's keeps its network."""
    name = f"{mine.project}-foreign"
    network = f"{mine.project}_default"
    foreign = engine.containers.run(
        base_image(), ["sleep", "300"], name=name, network=network, detach=True
    )
    try:
        done = lab(mine, "down", folder=clone)
        assert done.returncode == 1
        assert f"wirelab: network {network} stays: container {name} is on it. Stop it, or" in (
            done.stderr
        )
    finally:
        foreign.remove(force=True)
    assert lab(mine, "down", folder=clone).returncode == 0
    assert mine.left() == [f"volume {mine.project}_kv"]


def test_interrupted_start_leaves_nothing(mine: Stack, clone: Path) -> None:
    """However often it is interrupted: what was created meanwhile is removed."""
    with beside(
        [sys.executable, "-m", "lab", "up"], cwd=clone, env=mine.environment(),
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    ) as starting:  # fmt: skip
        until(lambda: len(mine.left()) > 1, "something is created", every=0.05)
        for _ in range(3):
            starting.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                starting.wait(0.05)
        _, said = starting.communicate(timeout=FAR)
    assert starting.returncode == 130, said
    assert "interrupted: this is finished first" in said
    assert said.endswith("interrupted\n")
    assert mine.left() == [f"volume {mine.project}_kv"]


def test_lab_of_a_deleted_clone_is_taken_over(mine: Stack, clone: Path) -> None:
    """Another clone may stop it, as its own can no more; as long as it is there, none may."""
    done = lab(mine, "up", folder=clone)
    assert done.returncode == 0, done.stderr
    assert f"is that of {clone}: " in lab(mine, "down").stderr
    shutil.rmtree(clone)
    done = lab(mine, "down")
    assert done.returncode == 0, done.stderr
    assert mine.left() == [f"volume {mine.project}_kv"]
