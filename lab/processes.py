"""Servers as processes on this machine: started, found listening, and stopped."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from clients import health
from clients.addresses import Address
from lab import ROOT, LabError
from services import addresses

LISTENING = re.compile(r"[Ll]istening (?:on|at:) (?:http://)?((?:[\w.]+|\[\S+\]):\d+)")
START_SECONDS = 20.0


def start(
    command: Sequence[str], environment: Mapping[str, str], log: Path, folder: Path = ROOT
) -> "subprocess.Popen[bytes]":
    """Start a server, in a session of its own so that a Ctrl-C here is none of its business.

    The first word of `command` is a program of this Python's environment (python, gunicorn) or
    a path. It runs in `folder`, and what it writes goes to the file `log`.
    """
    with log.open("wb") as output:
        return subprocess.Popen(
            [str(Path(sys.executable).parent / command[0]), *command[1:]],
            cwd=folder,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def listening(
    process: "subprocess.Popen[bytes]", log: Path, seconds: float = START_SECONDS
) -> Address:
    """Wait until the server logs where it listens, and return that.

    Raises LabError with what it did log when it ends, or takes longer than so many seconds.
    """
    deadline = time.monotonic() + seconds
    while True:
        ended = process.poll() is not None or time.monotonic() > deadline
        if found := LISTENING.search(log.read_text(errors="replace")):
            return Address(*addresses.split(found[1]))
        if ended:
            raise LabError(
                f"process {process.pid} does not listen:\n{log.read_text(errors='replace')}"
            )
        time.sleep(0.02)


def wait_healthy(service: str, address: Address, seconds: float) -> None:
    """Wait until a server answers the health check of a service.

    Raises LabError with what is wrong when it does not within so many seconds.
    """
    deadline = time.monotonic() + seconds
    while problem := health.problem(service, address):
        if time.monotonic() > deadline:
            raise LabError(problem)
        time.sleep(0.05)


def stop(pids: Sequence[int], seconds: float = 5.0) -> None:
    """Stop the servers that `start` made: ask all of them, and kill those that take too long.

    Raises LabError for one that is still there after that, or that is another user's.
    """
    for pid in pids:
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            pass
        except PermissionError:
            owner = psutil.Process(pid).username()
            raise LabError(
                f"process {pid} belongs to {owner}, who has started the lab: only {owner} can stop"
                " it"
            ) from None
    deadline = time.monotonic() + seconds
    for pid in pids:
        while alive(pid) and time.monotonic() < deadline:
            time.sleep(0.02)
        if alive(pid):
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
    deadline += 1
    for pid in pids:
        while alive(pid):
            if time.monotonic() > deadline:
                raise LabError(f"process {pid} does not end")
            time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether the process runs; one that only waits for its parent to take note does not."""
    with suppress(ChildProcessError):  # another process's child
        os.waitpid(pid, os.WNOHANG)
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
