"""What scripts/engine.sh says of an engine that will not do; a real one is in tests/stack."""

import os
import subprocess
from pathlib import Path

import pytest

from lab import SCRIPTS

DOCKER = """#!/bin/sh
case "$*" in
    "version --format"*) echo {engine} ;;
    version) ;;
    "compose version --short") echo {compose} ;;
    "buildx version") {buildx} ;;
    "context inspect"*) echo unix:///var/run/docker.sock ;;
    *) echo "unexpected: $*" >&2; exit 99 ;;
esac
"""


def check(folder: Path, **docker: str) -> "subprocess.CompletedProcess[str]":
    """Run `engine.sh check` with a docker command that reports what is given."""
    command = folder / "docker"
    command.write_text(DOCKER.format(**docker))
    command.chmod(0o755)
    return subprocess.run(
        ["bash", str(SCRIPTS / "engine.sh"), "check"],
        env={"PATH": f"{folder}:{os.environ['PATH']}"},
        check=False,
        capture_output=True,
        text=True,
    )


def test_says_nothing_where_all_is_there(tmp_path: Path) -> None:
    """The oldest versions that will do are accepted."""
    done = check(tmp_path, engine="20.10.0", compose="2.26.0", buildx=":")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("engine", "compose", "buildx", "message"),
    [
        ("19.03.15", "2.26.1", ":", "Docker Engine is 19.03.15; wirelab needs 20.10 or newer"),
        ("20.10.24", "2.12.2", ":", "Docker Compose is 2.12.2; wirelab needs 2.26 or newer"),
        ("28.2.2", "v2.9.0", ":", "Docker Compose is v2.9.0; wirelab needs 2.26 or newer"),
        ("28.2.2", "", ":", "Docker Compose is missing; wirelab needs 2.26 or newer"),
        ("28.2.2", "2.40.0", "false", "Docker buildx is missing"),
    ],
    ids=["old engine", "old Compose", "old Compose with a v", "no Compose", "no buildx"],
)
def test_names_what_will_not_do(
    tmp_path: Path, engine: str, compose: str, buildx: str, message: str
) -> None:
    """One line names the thing, its version and the version that it takes."""
    done = check(tmp_path, engine=engine, compose=compose, buildx=buildx)
    assert done.returncode == 1
    assert (done.stdout, done.stderr) == ("", f"engine.sh: {message}\n")


def test_names_an_engine_that_does_not_answer() -> None:
    """The address that was tried is in the message."""
    done = subprocess.run(
        ["bash", str(SCRIPTS / "engine.sh"), "check"],
        env={"PATH": os.environ["PATH"], "DOCKER_HOST": "tcp://127.0.0.1:1"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr in (
        "engine.sh: no Docker engine answers at tcp://127.0.0.1:1\n",
        "engine.sh: the docker command is missing\n",
    )
