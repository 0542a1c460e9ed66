"""A project of `docker compose`, without an engine: how its commands end."""

import json
import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from lab import LabError
from lab.compose import Project, run_quietly
from tests.support.pace import until


def test_interrupted_command_ends_with_its_children(tmp_path: Path) -> None:
    """As `docker` has Compose for a child, which would go on starting containers."""
    file = tmp_path / "child"
    script = "sleep 600 & echo $! > new; mv new child; wait"

    def interrupt() -> None:
        until(file.exists, "the child runs")
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run_quietly(["sh", "-c", script], tmp_path, os.environ)
    thread.join()
    child = int(file.read_text())

    def gone() -> bool:
        try:
            return psutil.Process(child).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    until(gone, "the child has ended")


class Restarting(Project):
    """A project whose container ends at once, and happens to run when Compose is asked again."""

    def execute(
        self,
        command: Sequence[str],
        *_: object,
        **__: object,
    ) -> "subprocess.CompletedProcess[str]":
        """Answer what Compose 2.26 was seen to: `ps` asks for the state and the health in turn."""
        shown = json.dumps(
            {"ID": "", "Name": "x-web-1", "Service": "web", "State": "running", "Health": "",
             "Status": "Up Less than a second"}
        )  # fmt: skip
        if "up" in command:
            said = "container x-web-1 is unhealthy\n"
            return subprocess.CompletedProcess(command, 1, "", said)
        logged = "x-web-1  | 2026-01-01T00:00:00.0Z no such setting\n"
        return subprocess.CompletedProcess(command, 0, logged if "logs" in command else shown, "")


def test_a_failed_start_names_a_container_that_is_restarted_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also when it has just been started once more, and seems to be well."""
    monkeypatch.setattr("lab.compose.last_check", lambda _: "")
    with pytest.raises(LabError) as failed:
        Restarting("x").start()
    assert str(failed.value).splitlines() == [
        "not healthy: web",
        "container x-web-1 is unhealthy",
        "web: Up Less than a second",
        "x-web-1  | no such setting",
    ]
