"""Starts that fail: torn down, with the reason and the logs on the terminal."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from lab import ROOT
from lab.compose import PROJECT_LABEL
from lab.stack import Stack
from tests.support import clones
from tests.support.engine import SERVICES, container_of, lab, new_stack

pytestmark = pytest.mark.usefixtures("engine")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Copy what the lab is made of to another folder."""
    return clones.clone(tmp_path)


@pytest.fixture
def broken(key_file: Path) -> Iterator[Stack]:
    """Return a stack whose tcp-echo cannot start."""
    stack = new_stack(key_file, ECHO_TRANSFORM="rot13")
    yield stack
    stack.remove()


def test_failed_start_is_torn_down_and_its_logs_are_shown(broken: Stack) -> None:
    """`make up` names the container that failed, shows what it logged, and leaves nothing."""
    done = lab(broken, "up")
    assert done.returncode == 1
    assert (
        "\nnot healthy: tcp-echo\nAll that had started is stopped again: `make up`" in done.stderr
    )
    assert "ECHO_TRANSFORM has value 'rot13'. Not one of 'none', 'upper'" in done.stderr
    assert "Traceback" not in done.stderr
    assert broken.left() == [f"volume {broken.project}_kv"]


def test_port_in_use_is_named_with_its_owner(key_file: Path) -> None:
    """A port that somebody has is named before anything starts, with the setting to change."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        second = new_stack(key_file, WIRELAB_REST_PORT=port)
        try:
            done = lab(second, "up")
        finally:
            second.remove()
    assert done.returncode == 1
    assert f"127.0.0.1:{port}/tcp, which rest is to be published on, is in use by " in done.stderr
    assert f"(process {os.getpid()})" in done.stderr
    assert "set WIRELAB_REST_PORT" in done.stderr


def test_build_that_fails_shows_the_file_and_line(clone: Path, key_file: Path) -> None:
    """A slip in a server is named where it is, and nothing is started."""
    with (clone / "services" / "tcp_echo" / "evented.py").open("a") as server:
        server.write("def broken(:\n")
    done = lab(new_stack(key_file), "up", folder=clone)
    assert done.returncode == 1
    assert "docker compose build failed:\n" in done.stderr
    assert "services/tcp_echo/evented.py" in done.stderr
    assert "def broken(:" in done.stderr
    assert "SyntaxError" in done.stderr


@pytest.mark.parametrize("command", ["up", "down", "distclean"])
def test_lab_of_the_same_name_in_another_folder_is_left_alone(
    stack: Stack, engine: docker.DockerClient, clone: Path, command: str
) -> None:
    """Whose it is, and how to have one of one's own, is said; its containers go on as they are."""
    before = [container_of(engine, stack, service).id for service in SERVICES]
    done = lab(stack, command, folder=clone)
    assert done.returncode == 1
    assert f"the lab named {stack.project} is that of {ROOT}: " in done.stderr
    assert [container_of(engine, stack, service).id for service in SERVICES] == before
    assert all(container_of(engine, stack, name).status == "running" for name in SERVICES)


def test_down_says_that_nothing_runs(engine: docker.DockerClient, key_file: Path) -> None:
    """It does not claim to have removed something; a network that is left is something."""
    never = new_stack(key_file)
    done = lab(never, "down")
    assert done.returncode == 0
    assert "nothing runs" in done.stderr.splitlines()
    labels = {PROJECT_LABEL: never.project, "com.docker.compose.network": "default"}
    engine.networks.create(f"{never.project}_default", labels=labels)
    done = lab(never, "down")
    assert done.returncode == 0
    assert "nothing runs" not in done.stderr
    assert never.left() == []
