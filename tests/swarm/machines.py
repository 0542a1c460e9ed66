"""Two machines made of namespaces, with an engine each, and a cable between them.

A machine is a PID namespace, whose end is that of all its processes, as of a power cut: dockerd,
containerd, its shims, the containers. It has a mount, a UTS and a network namespace too, so what it
mounts, its name, links and iptables rules go with it. Only its files are on the host's disk.
"""

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lab.engine import docker
from tests.support.pace import until

CGROUPS = Path("/sys/fs/cgroup")
CABLE = "cable"  # the name of its end in each machine
# The shell is process 1 of a machine: it reaps what nobody waits for.
INIT = 'hostname "$1" && shift && { "$@" & wait $!; }'
NAMESPACES = ("--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc")


@dataclass
class Machine:
    """A machine: its name, the address on the cable, its folder, and the process that holds it."""

    name: str
    address: str
    folder: Path
    process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    @property
    def engine(self) -> str:
        """Its engine, as in DOCKER_HOST."""
        return f"unix://{self.folder}/docker.sock"

    @property
    def log(self) -> str:
        """What its engine has written."""
        return (self.folder / "log").read_text(errors="replace")

    def docker(self, *arguments: str) -> str:
        """Run `docker` on it."""
        return docker(*arguments, host=self.engine)

    def start(self) -> None:
        """Switch it on."""
        (self.folder / "daemon.json").write_text("{}")  # not the host's
        for leftover in ("docker.sock", "docker.pid"):
            (self.folder / leftover).unlink(missing_ok=True)
        shutil.rmtree(self.folder / "exec", ignore_errors=True)  # as after the start of a machine
        command = self.inside(
            "unshare", *NAMESPACES, "sh", "-c", INIT, "sh", self.name,
            "dockerd", "--config-file", str(self.folder / "daemon.json"),
            "--data-root", str(self.folder / "data"), "--exec-root", str(self.folder / "exec"),
            "--pidfile", str(self.folder / "docker.pid"), "--host", self.engine,
            "--cgroup-parent", f"/{self.name}", "--bridge", "none", "--no-new-privileges",
        )  # fmt: skip
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def wait(self) -> None:
        """Wait until its engine answers."""

        def answers() -> bool:
            assert self.process
            assert self.process.poll() is None, f"{self.name} has ended:\n{self.log}"
            found = subprocess.run(
                ["docker", "--host", self.engine, "version"], check=False, capture_output=True
            )
            return found.returncode == 0

        until(answers, f"the engine of {self.name}", every=0.2)

    def cut_power(self) -> None:
        """End all its processes at once; `--kill-child` has them end with the one that we know."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None
            until(lambda: not self.processes(), f"processes of {self.name} have ended")

    def processes(self) -> list[int]:
        """Return the ids of all of its processes, those of containers too."""
        found = []
        for entry in Path("/proc").iterdir():
            with suppress(OSError):  # it has just ended
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                cgroup = (entry / "cgroup").read_text()
                if str(self.folder) in command or f"/{self.name}/" in cgroup:
                    found.append(int(entry.name))
        return found

    def inside(self, *command: str) -> list[str]:
        """Return a command as it is run in its network."""
        return ["nsenter", f"--net=/run/netns/{self.name}", *command]

    def listening(self) -> set[tuple[str, int]]:
        """Return the TCP addresses that somebody listens on, as in proc(5), /proc/net/tcp."""
        tables = run(*self.inside("cat", "/proc/net/tcp", "/proc/net/tcp6"))
        rows = [line.split() for line in tables.splitlines()]
        where = [row[1].split(":") for row in rows if row[3] == "0A"]
        return {(host, int(port, 16)) for host, port in where}

    def plug(self, state: str) -> None:
        """Plug its end of the cable in ("up") or out ("down")."""
        run("ip", "-n", self.name, "link", "set", CABLE, state)

    def remove(self) -> None:
        """Remove all of it, as far as it was made."""
        self.cut_power()
        subprocess.run(["ip", "netns", "delete", self.name], check=False, capture_output=True)
        for root in [CGROUPS, *CGROUPS.glob("*/")]:
            for folder in sorted((root / self.name).rglob("*"), reverse=True):
                if folder.is_dir():
                    with suppress(OSError):
                        folder.rmdir()
            with suppress(OSError):
                (root / self.name).rmdir()
        run("rm", "-rf", str(self.folder))  # of images, which is much for shutil.rmtree


def run(*command: str) -> str:
    """Run a command; fail with what it said."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


def why_not() -> str:
    """Return why there can be no such machines here, or nothing."""
    if os.geteuid() != 0:
        return "two engines in namespaces take root"
    missing = [name for name in ("ip", "nsenter", "unshare", "dockerd") if not shutil.which(name)]
    return f"{', '.join(missing)} missing" if missing else ""


@contextmanager
def two_machines() -> Iterator[tuple[Machine, Machine]]:
    """Make two machines that reach each other and nobody else, and remove them at the end.

    Where that is not possible the test is skipped; in CI it fails.
    """
    if reason := why_not():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    mark = secrets.token_hex(2)
    folder = Path(tempfile.mkdtemp(prefix="wl-", dir="/tmp"))
    made = []
    try:
        for number, role in enumerate(("manager", "worker"), 1):
            machine = Machine(f"wl-{mark}-{role}", f"198.51.100.{number}", folder / role)
            machine.folder.mkdir()
            made.append(machine)
            run("ip", "netns", "add", machine.name)
            run("ip", "-n", machine.name, "link", "set", "lo", "up")
        one, other = made
        run("ip", "link", "add", CABLE, "netns", one.name, "type", "veth",
            "peer", "name", CABLE, "netns", other.name)  # fmt: skip
        for machine in made:
            run("ip", "-n", machine.name, "address", "add", f"{machine.address}/24", "dev", CABLE)
            machine.plug("up")
        for machine in made:
            machine.start()
        for machine in made:
            machine.wait()
        yield one, other
    finally:
        for machine in made:
            machine.remove()
        folder.rmdir()
