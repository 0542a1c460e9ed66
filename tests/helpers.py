"""What tests of several servers share: deadlines, exact reads, and commands run to their end."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from clients.addresses import Address

T = TypeVar("T")

ROOT = Path(__file__).parents[1]
LOOPBACK = "127.0.0.1"


def until(condition: Callable[[], T], seconds: float = 5.0) -> T:
    """Return what `condition` returns as soon as that is true; fail when it takes too long."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not so within {seconds} s"
        time.sleep(0.01)
    return value


def receive(connection: socket.socket, count: int) -> bytes:
    """Return the next `count` bytes, or fewer where the stream ends before."""
    received = bytearray()
    while len(received) < count and (chunk := connection.recv(count - len(received))):
        received += chunk
    return bytes(received)


def rest_of(connection: socket.socket) -> bytes:
    """Return all bytes up to the end of the stream."""
    return b"".join(iter(lambda: connection.recv(64 * 1024), b""))


def reset(connection: socket.socket) -> None:
    """Close with RST rather than FIN: socket(7), SO_LINGER with a linger time of 0."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()


def resident(pid: int) -> int:
    """Return how much memory a process has, in bytes: proc(5), VmRSS."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found
    return 1024 * int(found[1])


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
        timeout=30,
        check=False,
    )


def refuses_to_start(command: Sequence[str], **environment: str) -> str:
    """Return the one line that a server writes which does not start; fail for anything more."""
    result = run(command, **environment)
    assert result.returncode not in (0, None), result.stdout
    assert len(result.stderr.splitlines()) == 1, result.stderr
    return result.stderr.rstrip("\n")


@contextmanager
def closed_port() -> Iterator[Address]:
    """Lend a TCP port on which nobody listens, and nobody else can either."""
    with socket.socket() as holder:
        holder.bind((LOOPBACK, 0))
        yield Address(*holder.getsockname())
