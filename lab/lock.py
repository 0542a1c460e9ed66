"""One command at a time changes a lab: a lock for each, which the kernel frees with its holder.

The file is in a folder that all users and clones of this machine have in common, as the engine and
the ports are. It is removed when the lock is released, so that none stays for a lab of a moment.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lab.console import say

FOLDER = Path("/tmp")  # noqa: S108 - TMPDIR may be another one in each terminal


@contextmanager
def held(project: str, command: str) -> Iterator[None]:
    """Hold the lock of a lab; wait for a command that has it, and say for which one."""
    path = FOLDER / f"wirelab-{project}.lock"
    descriptor = acquired(path)
    try:
        with suppress(OSError):  # no space, or somebody else's file: those who wait are told less
            os.ftruncate(descriptor, 0)
            since = time.strftime("%H:%M:%S")
            os.pwrite(descriptor, f"`{command}`, process {os.getpid()}, since {since}".encode(), 0)
        yield
    finally:
        with suppress(OSError):
            path.unlink()
        os.close(descriptor)


def acquired(path: Path) -> int:
    """Return the descriptor of the file, locked."""
    while True:
        descriptor = opened(path)
        try:
            lock(descriptor)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), path.stat()):
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its holder has removed it: another file is the lock now


def lock(descriptor: int) -> None:
    """Take the lock, and wait for it if need be."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 200, 0).decode(errors="replace") or "another command"
        say(f"waiting for {holder}")
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def opened(path: Path) -> int:
    """Open the file, and make it for all users where there is none.

    Only one that is there is opened without O_CREAT: in a sticky folder that is refused for a file
    of somebody else (proc(5), protected_regular).
    """
    while True:
        with suppress(FileNotFoundError):
            try:
                return os.open(path, os.O_RDWR | os.O_NOFOLLOW)
            except PermissionError:
                return os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        with suppress(FileExistsError):
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CREAT | os.O_EXCL)
            os.fchmod(descriptor, 0o666)
            return descriptor
