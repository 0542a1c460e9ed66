"""What the tests share: a kit, and a machine without a network to install it on."""

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import docker
import psutil
import pytest

from lab import ROOT
from lab.console import step
from lab.release import FOLDER, git
from tests.support.pace import until

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HOME = "/srv"
INSTALLED = f"{HOME}/wirelab"
# Process 1 of the machine. The root is changed by pivot_root(2): a container has that of its mount
# namespace, whatever chroot(2) says. /sys is that of its own network, control groups this kernel's.
BOOT = """
set -e
root=$1
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount --rbind /sys/fs/cgroup "$root/sys/fs/cgroup"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
ip link set lo up
cd "$root"
mkdir before
pivot_root . before
umount -l before
rmdir before
touch booted
sleep infinity & wait # bash also waits for whatever has lost its parent
"""


@dataclass
class Machine:
    """A system of Debian's essential packages and apt, whose network has no way out."""

    root: Path
    init: int
    environment: dict[str, str]

    def start(self, command: str) -> "subprocess.Popen[str]":
        """Start a command of bash on it; what it prints is in one stream."""
        inside = ["nsenter", "--target", str(self.init), "--all", "--root", "--wd"]
        return subprocess.Popen(
            [*inside, "bash", "-c", command],
            env={"PATH": PATH, "HOME": HOME, "LANG": "C.UTF-8", **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, command: str, seconds: float = 100.0) -> str:
        """Run a command of bash to its end, and return what it printed; it has to succeed."""
        with self.start(command) as process:
            try:
                output, _ = process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                output, _ = process.communicate()
        assert process.returncode == 0, f"{command}:\n{output}"
        return output


@pytest.fixture(scope="session")
def project() -> str:
    """Return the name of a lab that no other run has; the kit's images are named after it."""
    return f"wirelab-test-{secrets.token_hex(4)}"


@pytest.fixture(scope="session")
def release(engine: docker.DockerClient, project: str) -> Iterator[Path]:
    """Make what a release is made of, the kit too, whose images go from this engine at the end."""
    tags = git("tag")
    environment = {**os.environ, "COMPOSE_PROJECT_NAME": project}
    try:
        with step("making a release"):
            subprocess.run(
                [sys.executable, "-m", "lab", "release", "--dry"],
                cwd=ROOT, env=environment, check=True,
            )  # fmt: skip
        assert git("tag") == tags, "a dry run tags nothing"
        yield FOLDER
    finally:
        for image in engine.images.list(filters={"reference": f"{project}-*"}):
            engine.images.remove(str(image.id), force=True)


@pytest.fixture(scope="session")
def unpacked(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpack the kit, as onto a USB stick."""
    (archive,) = release.glob("wirelab-kit-*.tar")
    folder = tmp_path_factory.mktemp("stick")
    subprocess.run(["tar", "--extract", "--file", archive, "--directory", folder], check=True)
    (made,) = folder.iterdir()
    return made


@pytest.fixture(scope="session")
def machine(unpacked: Path, project: str) -> Iterator[Machine]:
    """Start a machine as bare as this one's release gets, with the stick at /media/stick."""
    if os.geteuid() != 0 or not shutil.which("mmdebstrap"):
        pytest.skip("a machine of its own takes root, and mmdebstrap")
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="wirelab-kit.") as name:
        root = Path(name, "root")
        with step("making a bare machine"):
            bare_system(root)
        unpacked.rename(root / "media/stick")
        command = ["unshare", "--net", "--mount", "--pid", "--uts", "--ipc", "--fork",
                   "--kill-child", "bash", "-c", BOOT, "boot", str(root)]  # fmt: skip
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        try:
            until((root / "booted").exists, "the machine has started")
            (init,) = psutil.Process(process.pid).children()
            yield Machine(root, init.pid, {"COMPOSE_PROJECT_NAME": project})
        finally:
            process.kill()
            process.wait()
            remove_groups(root)


def bare_system(root: Path) -> None:
    """Install the release of this machine into a folder, from where this one's apt takes it."""
    release = dict(
        line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if line
    )["VERSION_CODENAME"]
    common = f". {ROOT}/scripts/common.sh; apt_proxies; mirror=$(mirror Debian); "
    # In a mount namespace of its own, what is mounted goes with it.
    make = f'unshare --mount mmdebstrap --variant=minbase {release} "{root}" "$mirror"'
    done = subprocess.run(
        ["bash", "-c", common + make], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def remove_groups(root: Path) -> None:
    """Remove the control groups of containers that ended with the machine's engine."""
    for container in (root / "var/lib/docker/containers").glob("*"):
        for group in Path("/sys/fs/cgroup").glob(f"*/docker/{container.name}"):
            with suppress(OSError):
                group.rmdir()
