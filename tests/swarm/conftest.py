"""What the tests of the swarm share: two machines, and the lab on them, by the real commands."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest

from lab import ROOT, LabError
from lab.stack import Stack
from lab.swarm.nodes import BRIDGE
from tests.support.engine import new_stack
from tests.support.pace import until
from tests.swarm import ssh
from tests.swarm.machines import Machine, two_machines

SCALE = "rest=4 tcp-echo=2 object-echo=2 rpc=2"
MAKE = ["make", "--no-print-directory", "-o", "venv", "-o", "any-venv"]  # .venv as it is


@dataclass
class Cluster:
    """Two machines, and the lab that is put on them; `builder` has its images on this machine.

    Whoever does that sits at the manager, and reaches the worker by ssh, which is in `programs`.
    """

    manager: Machine
    worker: Machine
    builder: Stack
    programs: Path
    started: float = 0.0  # the seconds that the first start of all services took

    @property
    def name(self) -> str:
        """The name of the stack."""
        return f"{self.builder.project}-swarm"

    @property
    def machines(self) -> tuple[Machine, Machine]:
        """Both."""
        return self.manager, self.worker

    @property
    def worker_engine(self) -> str:
        """The engine of the worker, as the lab reaches it."""
        return f"ssh://root@{self.worker.address}"

    @property
    def nodes(self) -> str:
        """Both, as in NODES."""
        return (
            f"{self.manager.engine}={self.manager.address}"
            f" {self.worker_engine}={self.worker.address}"
        )

    @property
    def folder(self) -> Path:
        """Where the lab keeps what it knows of the swarm."""
        return ROOT / ".wirelab" / self.name

    def make(self, task: str, *settings: str) -> "subprocess.CompletedProcess[str]":
        """Run a task of the Makefile."""
        return subprocess.run(
            self.manager.inside(*MAKE, task, *settings), cwd=ROOT, env=self.environment(),
            check=False, capture_output=True, text=True, timeout=280,
        )  # fmt: skip

    def environment(self) -> dict[str, str]:
        """Return the environment that it is run in."""
        path = f"{self.programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        return {**self.builder.environment(), "PATH": path, "COLUMNS": "160"}

    def wait_for_ssh(self) -> None:
        """Wait until sshd listens on the worker."""
        until(lambda: ssh.PORT in {port for _, port in self.worker.listening()}, "sshd listens")

    def containers(self, machine: Machine, service: str) -> list[str]:
        """Return the IDs of the containers of a service that run on a machine."""
        label = f"label=com.docker.swarm.service.name={self.name}_{service}"
        return machine.docker("ps", "--quiet", "--no-trunc", "--filter", label).split()

    def left(self) -> list[str]:
        """Return what there is of the lab on the machines, beside images that were not loaded."""
        found = [f"folder {self.folder}"] if self.folder.exists() else []
        for machine in self.machines:
            rows = {
                "container": machine.docker("ps", "--all", "--format", "{{.Names}}"),
                "network": machine.docker("network", "ls", "--format", "{{.Name}}"),
                "volume": machine.docker("volume", "ls", "--quiet"),
                "image": machine.docker("image", "ls", "--format", "{{.Repository}}"),
            }
            # Every engine has these networks, and one of the machines has sshd.
            own = {"bridge", "host", "none", ssh.CONTAINER, ssh.IMAGE}
            found += [
                f"{kind} {name} on {machine.name}"
                for kind, names in rows.items()
                for name in names.split()
                if name not in own
            ]
            state = machine.docker("info", "--format", "{{.Swarm.LocalNodeState}}").strip()
            found += [f"a swarm, {state}, on {machine.name}"] if state != "inactive" else []
        return found


@pytest.fixture(scope="session")
def cluster(key_file: Path, engine: docker.DockerClient) -> Iterator[Cluster]:  # noqa: ARG001
    """Make two machines; the images are built by the engine of this one, and removed with them."""
    builder = new_stack(key_file)
    with two_machines() as (manager, worker):
        made = Cluster(manager, worker, builder, ssh.serve_ssh(worker))
        try:
            made.wait_for_ssh()
            yield made
        finally:
            with suppress(LabError):
                builder.remove()
            shutil.rmtree(made.folder, ignore_errors=True)  # of machines that are gone


@pytest.fixture(scope="session")
def deployed(cluster: Cluster) -> Cluster:
    """Put the lab on the machines; the table of the clients is in its output."""
    done = cluster.make("swarm", f"NODES={cluster.nodes}", f"SCALE={SCALE}")
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stderr)  # how long each step took
    took = re.search(r"starting the services: done in (?:(\d+) min )?(\d+) s", done.stderr)
    assert took, done.stderr
    cluster.started = 60.0 * int(took[1] or 0) + int(took[2])
    assert BRIDGE in cluster.manager.docker("network", "ls")
    return cluster
