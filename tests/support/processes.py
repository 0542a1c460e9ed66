"""Servers and commands as local processes; each server is on a port that the kernel picks."""

import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from clients.addresses import Address
from scripts import processes
from scripts.stack import ROOT
from tests.support.pace import FAR, until, within

STOP_SECONDS = 2.0  # within which every server promises to stop
SILENCE_TIMEOUT = "WIRELAB_SILENCE_TIMEOUT"  # the settings that tests change, by their names
VANISHED_TIMEOUT = "WIRELAB_VANISHED_TIMEOUT"


@dataclass
class Server:
    """A running server: where it listens, and its process."""

    address: Address
    process: "subprocess.Popen[bytes]"
    logfile: Path

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return self.logfile.read_text()

    @property
    def worker(self) -> psutil.Process:
        """The process that serves: gunicorn's worker, or the only one that there is."""
        process = psutil.Process(self.process.pid)
        assert isinstance(self.process.args, list)
        if Path(self.process.args[0]).name != "gunicorn":
            return process
        return until(process.children, "gunicorn starts a worker")[0]

    @property
    def memory(self) -> int:
        """Bytes of memory that it has."""
        return int(self.worker.memory_info().rss)

    @property
    def peak(self) -> int:
        """Bytes of memory that it has had at most: proc(5), VmHWM."""
        status = Path(f"/proc/{self.worker.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found
        return 1024 * int(found[1])

    @property
    def descriptors(self) -> int:
        """How many descriptors it has open."""
        return int(self.worker.num_fds())

    @property
    def cpu(self) -> float:
        """Seconds of processor time that it has taken."""
        return float(sum(self.worker.cpu_times()[:2]))

    @contextmanager
    def limited(self, limit: int, value: int) -> Iterator[None]:
        """Lower a soft limit, such as resource.RLIMIT_NOFILE, while the body of the `with` runs."""
        pid = self.worker.pid
        before = resource.prlimit(pid, limit)
        resource.prlimit(pid, limit, (value, before[1]))
        try:
            yield
        finally:
            with suppress(ProcessLookupError):
                resource.prlimit(pid, limit, before)

    def stop(self) -> int:
        """Send SIGTERM, and return the exit status; fail if that takes longer than promised."""
        self.process.terminate()
        return self.ended()

    def ended(self) -> int:
        """Wait for a server that was told to stop, and return the exit status; fail as `stop`."""
        began = time.monotonic()
        status = self.process.wait(FAR)
        took = time.monotonic() - began
        assert within(took, STOP_SECONDS), f"stopped after {took:.1f} s"
        return status


@contextmanager
def running(command: Sequence[str], **environment: str) -> Iterator[Server]:
    """Start `command`, wait until it logs where it listens, and stop it at the end.

    A store without WIRELAB_KV_FILE has a database of its own.
    """
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        settings = {"WIRELAB_PORT": "0", "WIRELAB_KV_FILE": f"{folder}/kv.sqlite3", **environment}
        process = processes.start(command, settings, log)
        try:
            yield Server(processes.listening(process, log), process, log)
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def run(command: Sequence[str], **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a program of this environment to its end, with WIRELAB_* set as given and not else."""
    inherited = {name: value for name, value in os.environ.items() if "WIRELAB" not in name}
    return subprocess.run(
        [str(Path(sys.executable).with_name(command[0])), *command[1:]],
        cwd=ROOT,
        env={**inherited, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=FAR,
        check=False,
    )


def refuses_to_start(command: Sequence[str], **environment: str) -> str:
    """Return the one line that a server writes which does not start; fail for anything more."""
    result = run(command, **environment)
    assert result.returncode not in (0, None), result.stdout
    assert len(result.stderr.splitlines()) == 1, result.stderr
    return result.stderr.rstrip("\n")
