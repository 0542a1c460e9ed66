"""A copy of the repository that lost what a zip file or another system does not keep."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lab import ROOT
from tests.support.clones import clone
from tests.support.pace import FAR

Done = subprocess.CompletedProcess[str]
NO_ENGINE = {"DOCKER_HOST": "tcp://127.0.0.1:1", "COMPOSE_PROJECT_NAME": "wirelab-test-checkout"}
NO_IMAGE = '#!/bin/sh\ncase "$1" in image) exit 1 ;; esac\necho 1.0\n'


def run(folder: Path, *command: str, **settings: str) -> Done:
    """Run a command in a folder, where no engine answers."""
    return subprocess.run(
        command, cwd=folder, env={**os.environ, **NO_ENGINE, **settings},
        check=False, capture_output=True, text=True, timeout=FAR,
    )  # fmt: skip


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy in which no file may be executed."""
    folder = clone(tmp_path_factory.mktemp("unpacked"))
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(0o644)
    return folder


def test_tasks_run_scripts_that_are_not_executable(unpacked: Path) -> None:
    """As those of a zip file are: `make` calls them, and they call each other."""
    done = run(unpacked, "make", "doctor")
    assert "base image" in done.stdout, done.stderr
    assert "Permission denied" not in done.stdout + done.stderr


@pytest.mark.parametrize("command", ["ps", "demo"])
def test_the_lab_runs_scripts_that_are_not_executable(unpacked: Path, command: str) -> None:
    """It says that there is no engine, by a script."""
    done = run(unpacked, sys.executable, "-m", "lab", command)
    assert done.stderr.startswith("engine.sh: "), done.stderr
    assert "wirelab: nothing runs: `make up` starts the lab\n" in done.stderr


def test_scripts_run_scripts_that_are_not_executable(unpacked: Path, tmp_path: Path) -> None:
    """base_image.sh asks engine.sh whether there is an engine to build with."""
    (tmp_path / "docker").write_text(NO_IMAGE)
    (tmp_path / "docker").chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = run(unpacked, "bash", "scripts/base_image.sh", PATH=path, PYTHON_IMAGE="")
    assert done.returncode == 1
    assert done.stderr == "engine.sh: Docker Engine is 1.0; wirelab needs 20.10 or newer\n"


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a clone")
def test_a_clone_has_the_line_ends_that_shells_read(tmp_path: Path) -> None:
    """Whatever Git is told of line ends in general: each file is as it is in the repository."""
    names = run(ROOT, "git", "ls-files", "-z").stdout.split("\0")[:-1]
    for name in names:
        if (ROOT / name).is_file():
            (tmp_path / "origin" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / "origin" / name)
    origin, cloned = tmp_path / "origin", tmp_path / "cloned"
    author = ["-c", "user.name=test", "-c", "user.email=test", "-c", "core.autocrlf=false"]
    for arguments in (
        ["init", "--quiet", str(origin)],
        ["-C", str(origin), "add", "--all"],
        ["-C", str(origin), *author, "commit", "--quiet", "--message", "all"],
        ["-c", "core.autocrlf=true", "clone", "--quiet", str(origin), str(cloned)],
    ):
        done = run(tmp_path, "git", *arguments)
        assert done.returncode == 0, done.stderr
    copied = [path for path in origin.rglob("*") if path.is_file() and ".git" not in path.parts]
    assert len(copied) > 100
    changed = [
        str(path.relative_to(origin))
        for path in copied
        if (cloned / path.relative_to(origin)).read_bytes() != path.read_bytes()
    ]
    assert changed == []


LOCKS = '. "$0/scripts/common.sh" && begin && readlink /proc/self/fd/9'


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="no /proc, and no flock")
@pytest.mark.parametrize("folder", ["/", "/nowhere", "/etc/hostname", ""])
def test_runs_wait_for_each_other_whatever_runtime_folder_there_is(folder: str) -> None:
    """After `su` it is that of another user; it may be missing, or be no folder."""
    user = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    command = ["bash", "-c", LOCKS, str(ROOT)]
    done = subprocess.run(
        command, env={"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": folder}, cwd="/",
        check=False, capture_output=True, text=True, timeout=FAR, **user,  # type: ignore[call-overload]
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("/tmp/wirelab-setup.")  # noqa: S108
