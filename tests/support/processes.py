"""Servers and commands as local processes; each server is on a port that the kernel picks."""

import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from clients.addresses import Address
from lab import ROOT, processes
from tests.support.pace import FAR, until, within

STOP_SECONDS = 2.0  # within which every server promises to stop
SILENCE_TIMEOUT = "WIRELAB_SILENCE_TIMEOUT"  # the settings that tests change, by their names
VANISHED_TIMEOUT = "WIRELAB_VANISHED_TIMEOUT"
WORKERS = "WIRELAB_WORKERS"


@dataclass
class Server:
    """A running server: where it listens, and its processes."""

    address: Address
    process: "subprocess.Popen[bytes]"
    logfile: Path
    count: int = 0  # of its workers; 0 if it has none, and serves by itself

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return self.logfile.read_text()

    @property
    def workers(self) -> list[psutil.Process]:
        """The processes that serve: those of gunicorn or of a preforked driver, or the only one."""
        process = psutil.Process(self.process.pid)
        if not self.count:
            return [process]

        def started() -> list[psutil.Process]:
            found = process.children()
            return found if len(found) >= self.count else []

        return until(started, f"{self.count} workers")

    @property
    def worker(self) -> psutil.Process:
        """The process that serves, where it is one."""
        return self.workers[0]

    @property
    def memory(self) -> int:
        """Bytes of memory that it has; what its workers share is counted in each of them."""
        return sum(worker.memory_info().rss for worker in self.workers)

    @property
    def peak(self) -> int:
        """Bytes of memory that it has had at most: proc(5), VmHWM."""
        statuses = [Path(f"/proc/{worker.pid}/status").read_text() for worker in self.workers]
        return sum(1024 * int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) for status in statuses)

    @property
    def descriptors(self) -> int:
        """How many descriptors it has open."""
        return sum(worker.num_fds() for worker in self.workers)

    @property
    def cpu(self) -> float:
        """Seconds of processor time that it has taken."""
        return sum(sum(worker.cpu_times()[:2]) for worker in self.workers)

    @contextmanager
    def limited(self, limit: int, value: Callable[[psutil.Process], int]) -> Iterator[None]:
        """Lower a soft limit of each process that serves, while the body of the `with` runs.

        `limit` is one such as resource.RLIMIT_NOFILE, and `value` returns what it is for a process.
        """
        before = {worker: resource.prlimit(worker.pid, limit) for worker in self.workers}
        for worker, (_, hard) in before.items():
            resource.prlimit(worker.pid, limit, (value(worker), hard))
        try:
            yield
        finally:
            for worker, limits in before.items():
                with suppress(ProcessLookupError):
                    resource.prlimit(worker.pid, limit, limits)

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
def beside(command: Sequence[str | Path], **options: Any) -> Iterator["subprocess.Popen[Any]"]:
    """Run a program, with options of Popen, beside the body of the `with`, and no longer.

    Popen itself would wait for its end, and so a test that fails meanwhile would last for ever.
    """
    with subprocess.Popen(command, **options) as process:
        try:
            yield process
        finally:
            with suppress(psutil.NoSuchProcess):
                top = psutil.Process(process.pid)
                for each in (*top.children(recursive=True), top):
                    with suppress(psutil.NoSuchProcess):
                        each.kill()


@contextmanager
def running(command: Sequence[str], **environment: str) -> Iterator[Server]:
    """Start `command`, wait until it logs where it listens, and stop it at the end.

    Each worker of `preforked` logs it; of others, the process that opens the sockets does. A store
    without WIRELAB_KV_FILE has a database of its own.
    """
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        settings = {"WIRELAB_PORT": "0", "WIRELAB_KV_FILE": f"{folder}/kv.sqlite3", **environment}
        gunicorn = Path(command[0]).name == "gunicorn"
        preforked = command[-1].endswith(".preforked")
        workers = int(environment.get(WORKERS, 0)) if not gunicorn else 1
        if workers == 1 and not (gunicorn or preforked):
            workers = 0  # it is the process itself
        process = processes.start(command, settings, log)
        try:
            address = processes.listening(process, log)
            ready = processes.LISTENING
            lines = workers if preforked else 1
            until(lambda: len(ready.findall(log.read_text())) >= lines, "all workers listen")
            yield Server(address, process, log, workers)
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
    result = run(command, **{"WIRELAB_PORT": "0", **environment})  # its own port may be a lab's
    assert result.returncode not in (0, None), result.stdout
    assert len(result.stderr.splitlines()) == 1, result.stderr
    return result.stderr.rstrip("\n")


def heed_interrupts() -> None:
    """Have Ctrl-C mean in all processes what it means on a terminal.

    A shell ignores it for what it runs in the background, and whatever is started there inherits
    that: tests that interrupt a program would wait for it in vain.
    """
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
