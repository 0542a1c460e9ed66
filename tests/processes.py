"""Servers as local processes, each on a port that the kernel picks."""

import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from clients.addresses import Address
from scripts import processes


@dataclass
class Server:
    """A running server: where it listens, and its process."""

    address: Address
    process: "subprocess.Popen[bytes]"
    logfile: Path

    @property
    def log(self) -> list[str]:
        """The lines that it has logged so far."""
        return self.logfile.read_text().splitlines(keepends=True)

    def stop(self, seconds: float = 2.0) -> int:
        """Send SIGTERM and return the exit status; TimeoutExpired if it takes longer."""
        self.process.terminate()
        return self.process.wait(seconds)


@contextmanager
def running(command: Sequence[str], **environment: str) -> Iterator[Server]:
    """Start `command`, wait until it logs where it listens, and stop it at the end."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        process = processes.start(command, {"WIRELAB_PORT": "0", **environment}, log)
        try:
            yield Server(processes.listening(process, log), process, log)
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
