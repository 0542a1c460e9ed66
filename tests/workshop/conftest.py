"""What the tests of the lessons share: their runs, a copy of the house, busy cores."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import ROOT
from tests.workshop.jobs import HERE, Job, Outcomes, submitted
from tests.workshop.matrix import matrix

# Until its parent has ended, however that was.
BUSY = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"


def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin all runs that the chosen tests need, so that they go on side by side."""
    if session.config.option.collectonly:
        return
    for item in session.items:
        parameters = getattr(item, "callspec", None)
        job = parameters.params.get("job") if parameters else None
        if isinstance(job, Job) and not job.on_cluster:
            submitted(job)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """With --matrix, write what each wrong file was told."""
    if file := session.config.option.matrix:
        file.write_text(matrix(HERE), encoding="utf-8")


@pytest.fixture(scope="session", autouse=True)
def _busy(request: pytest.FixtureRequest) -> Iterator[None]:
    """With --busy, keep all cores busy."""
    if not request.config.option.busy:
        yield
        return
    command = [sys.executable, "-I", "-S", "-c", BUSY]
    others = [subprocess.Popen(command) for _ in range(os.cpu_count() or 1)]
    yield
    for other in others:
        other.kill()
        other.wait()


@pytest.fixture
def outcomes(job: Job) -> Outcomes:
    """Return what the checks have found."""
    return submitted(job).result()


@pytest.fixture(scope="session")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of what is needed for the lessons, where nobody's files are in the way."""
    folder = tmp_path_factory.mktemp("house")
    for name in ("lab", "scripts", "services", "clients", "workshop"):
        ignored = shutil.ignore_patterns("__pycache__", "mine")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in ("Makefile", "compose.yaml"):
        shutil.copy(ROOT / name, folder)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    return folder


@pytest.fixture
def house(copied: Path) -> Path:
    """Return that copy, without a participant's files."""
    shutil.rmtree(copied / "workshop" / "mine", ignore_errors=True)
    return copied
