"""A copy of the repository, to change or to run the lab from."""

import os
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil

from lab import ROOT, processes
from tests.support.relay import ANY_PORTS

FOLDERS = ("clients", "lab", "requirements", "scripts", "services")
FILES = (".dockerignore", ".gitattributes", ".gitignore", "Dockerfile", "Makefile", "compose.yaml")
NO_ENGINE = {"DOCKER_HOST": "tcp://127.0.0.1:1"}
LOGGED = re.compile(r"^(\S+) +process (\d+)", re.MULTILINE)


def clone(folder: Path) -> Path:
    """Copy what the lab is made of into a folder, and return that."""
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, folder / name)
    return folder


class Clone:
    """A copy of the repository, and the lab of a project of its own in it."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.project = f"wirelab-test-{os.urandom(4).hex()}"
        ours = ("WIRELAB_", "COMPOSE_", "ECHO_TRANSFORM")
        self.settings = {
            **{name: value for name, value in os.environ.items() if not name.startswith(ours)},
            **ANY_PORTS,
            **NO_ENGINE,
            "COMPOSE_PROJECT_NAME": self.project,
            **settings,
        }
        clone(folder)

    def command(self, *arguments: str) -> list[str]:
        """Return a command of the lab."""
        return [sys.executable, "-m", "lab", *arguments]

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment of a command: without the settings that are empty in `more`."""
        merged = {**self.settings, **more}
        return {name: value for name, value in merged.items() if value or name not in more}

    def run(self, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end."""
        return subprocess.run(
            self.command(*arguments), cwd=self.folder, env=self.environment(**more),
            check=False, capture_output=True, text=True, timeout=100,
        )  # fmt: skip

    def up(self, **more: str) -> str:
        """Run `up`, and return what it says; its clients are another matter, and have tests."""
        done = self.run("up", **more)
        assert "starting the servers: done in" in done.stderr, done.stderr
        return done.stderr

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start a command, whose messages are on its stderr."""
        return subprocess.Popen(
            self.command(*arguments), cwd=self.folder, env=self.environment(),
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def pids(self) -> dict[str, int]:
        """Return the process of each server that `ps` lists."""
        return {name: int(pid) for name, pid in LOGGED.findall(self.run("ps").stdout)}

    def listed(self) -> dict[str, list[str]]:
        """Return where each server listens, and where the relay does for it, as `ps` lists them."""
        lines = self.run("ps").stdout.splitlines()[1:]
        return {
            name: [word for word in words if re.fullmatch(r"[\d.]+:\d+", word)]
            for name, *words in map(str.split, lines)
        }

    def servers(self) -> list[psutil.Process]:
        """Return all servers of the project, whatever any command knows of them."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if (
                    os.getsid(process.pid) == process.pid
                    and process.environ().get("WIRELAB_PROJECT") == self.project
                    and processes.alive(process.pid)
                ):
                    found.append(process)
        return found


def one_line(done: "subprocess.CompletedProcess[str]") -> str:
    """Return the last line on stderr of a command that failed, as it should."""
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.rstrip("\n").split("\n")[-1]
