"""What the tests share: a copy of the example, and pytest to run in it, as its people would."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from shutil import copytree

import docker
import pytest
from docker.models.containers import Container

from lab import ROOT
from lab.compose import PROJECT_LABEL, Project
from lab.engine import base_image
from tests.support.pace import FAR, until

collect_ignore = ["example"]  # a project of its own

EXAMPLE = ROOT / "tests" / "plugin" / "example"
SECONDS = 4 * FAR


@dataclass
class Foreign:
    """A project in a folder, and pytest with the plugin in that."""

    folder: Path
    engine: docker.DockerClient
    environment: dict[str, str]
    pytest: list[str] = field(
        default_factory=lambda: [sys.executable, "-m", "pytest", "-p", "lab.testing.plugin"]
    )
    started: "list[subprocess.Popen[str]]" = field(default_factory=list)

    def start(self, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        """Start pytest; what it prints is in one stream."""
        process = subprocess.Popen(
            [*self.pytest, "-p", "no:cacheprovider", *arguments],
            cwd=self.folder,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.started.append(process)
        return process

    def run(self, *arguments: str, **environment: str) -> tuple[int, str]:
        """Run pytest; return the exit status and what it printed."""
        return ended(self.start(*arguments, **environment))

    def test(self, code: str) -> str:
        """Write a test file of the project, and return its name."""
        name = f"test_{len(list(self.folder.iterdir()))}.py"
        (self.folder / name).write_text(code)
        return name

    def override(self, **services: object) -> list[str]:
        """Return the options for the compose file with something else in some services."""
        (self.folder / "override.json").write_text(json.dumps({"services": services}))
        return ["--stack-file=compose.yaml", "--stack-file=override.json"]

    def containers(self, *, everything: bool = True) -> list[Container]:
        """Return the containers of this folder's projects, also those that do not run."""
        folder = f"com.docker.compose.project.working_dir={self.folder}"
        # One that goes while it is asked for is none.
        return self.engine.containers.list(
            all=everything, filters={"label": folder}, ignore_removed=True
        )

    def running(self) -> list[Container]:
        """Return those that run."""
        return self.containers(everything=False)

    def projects(self) -> set[str]:
        """Return the names of this folder's projects that the engine has containers of."""
        return {container.labels[PROJECT_LABEL] for container in self.containers()}

    def file(self, name: str) -> Path:
        """Wait for a file, which a test writes into the folder, and return it."""
        until((self.folder / name).exists, f"the test has written {name}", seconds=SECONDS)
        return self.folder / name

    def left(self) -> list[str]:
        """Return what the engine has of this folder's projects: networks and volumes too."""
        prefix = f"{self.folder.name}-test-"
        return [
            *self.projects(),
            *(str(found.name) for found in self.engine.networks.list(names=[prefix])),
            *(
                str(found.name)
                for found in self.engine.volumes.list(filters={"name": prefix})
            ),
            *(
                tag
                for image in self.engine.images.list(filters={"reference": f"{prefix}*"})
                for tag in image.tags
            ),
        ]  # fmt: skip


def ended(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """Wait for pytest; return its exit status and what it printed."""
    output, _ = process.communicate(timeout=SECONDS)
    return process.returncode, output


@pytest.fixture
def foreign(tmp_path: Path, engine: docker.DockerClient) -> Iterator[Foreign]:
    """Copy the example to a folder that no other test has; whatever is left of it is removed."""
    folder = tmp_path / f"example{os.urandom(4).hex()}"
    copytree(EXAMPLE, folder)
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "CI"))
    }
    environment = {**inherited, "PYTHONPATH": str(ROOT), "PYTHON_IMAGE": base_image()}
    made = Foreign(folder, engine, environment)
    try:
        yield made
    finally:
        for process in made.started:
            process.kill()
            process.communicate()
        for name in made.projects():
            Project(name).remove()
