"""Servers as local processes, each on a port that the kernel picks."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

from clients.addresses import Address

ROOT = Path(__file__).parent.parent
LISTENING = re.compile(r"[Ll]istening (?:on|at:) (?:http://)?([\w.]+):(\d+)")


@dataclass
class Server:
    """A running server: where it listens, its process, and what it has logged so far."""

    address: Address
    process: "subprocess.Popen[str]"
    log: list[str] = field(default_factory=list)

    def stop(self, seconds: float = 2.0) -> int:
        """Send SIGTERM and return the exit status; TimeoutExpired if it takes longer."""
        self.process.terminate()
        return self.process.wait(seconds)


@contextmanager
def running(command: Sequence[str], **environment: str) -> Iterator[Server]:
    """Start `command`, wait until it logs where it listens, and stop it at the end.

    `python` as the first word is this Python, `gunicorn` the one beside it.
    """
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name(command[0])), *command[1:]],
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "WIRELAB_PORT": "0", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    server = Server(Address("", 0), process)
    listening = Event()

    def read() -> None:
        # Reads to the end, or the server would block once the pipe is full.
        assert process.stdout is not None
        for line in process.stdout:
            server.log.append(line)
            if (found := LISTENING.search(line)) and not listening.is_set():
                server.address = Address(found[1], int(found[2]))
                listening.set()

    reader = Thread(target=read, daemon=True)
    reader.start()
    try:
        deadline = time.monotonic() + 20
        while not listening.wait(0.02):
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{command} does not listen:\n{''.join(server.log)}")
        yield server
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join()
        assert process.stdout is not None
        process.stdout.close()
