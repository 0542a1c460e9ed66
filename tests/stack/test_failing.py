"""Starts that fail: torn down, with the reason and the logs on the terminal."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from scripts.stack import ROOT, Stack
from tests.stack.conftest import new_stack
from tests.stack.engine import left


def lab(stack: Stack, *arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Run the lab's command line with the settings of `stack`."""
    return subprocess.run(
        [sys.executable, "-m", "scripts.lab", *arguments],
        cwd=ROOT,
        env={**stack.environment(), **settings},
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.fixture
def broken(key_file: Path) -> Iterator[Stack]:
    """Return a stack whose tcp-echo cannot start."""
    stack = new_stack(key_file, ECHO_TRANSFORM="rot13")
    yield stack
    stack.down(volumes=True, images=True)


def test_failed_start_is_torn_down_and_its_logs_are_shown(
    broken: Stack, engine: docker.DockerClient
) -> None:
    """`make up` names the container that failed, shows what it logged, and leaves nothing."""
    done = lab(broken, "up")
    assert done.returncode == 1
    assert "not healthy: tcp-echo" in done.stderr
    assert "ECHO_TRANSFORM has value 'rot13'. Not one of 'none', 'upper'" in done.stderr
    assert "Traceback" not in done.stderr
    assert [name for name in left(engine, broken) if not name.endswith("_kv")] == []


def test_port_in_use_is_named_with_its_owner(key_file: Path) -> None:
    """A port that somebody has is named before anything starts, with the setting to change."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        second = new_stack(key_file, WIRELAB_REST_PORT=port)
        try:
            done = lab(second, "up")
        finally:
            second.down(volumes=True, images=True)
    assert done.returncode == 1
    assert f"127.0.0.1:{port}/tcp, which rest is to be published on, is in use by " in done.stderr
    assert f"(process {os.getpid()})" in done.stderr
    assert "set WIRELAB_REST_PORT" in done.stderr
