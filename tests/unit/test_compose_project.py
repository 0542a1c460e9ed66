"""A project of `docker compose`, without an engine: how its commands end."""

import os
import signal
import threading
from pathlib import Path

import psutil
import pytest

from lab.compose import run_quietly
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
