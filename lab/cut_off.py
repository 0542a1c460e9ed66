"""Runs a command where loopback is all the network there is: `python -m lab.cut_off COMMAND...`.

It is a network namespace of its own (network_namespaces(7)), without a route to anywhere. Whoever
is not root gets one in a user namespace of their own (user_namespaces(7)), where the machine
allows that; if not, nothing is run, and the exit status is NOT_ALLOWED.
"""

import ctypes
import fcntl
import os
import socket
import struct
import sys
from pathlib import Path
from typing import NoReturn

NOT_ALLOWED = 125
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000  # unshare(2), and linux/sched.h
SIOCSIFFLAGS, IFF_UP = 0x8914, 1  # netdevice(7)


def main(command: list[str]) -> NoReturn:
    """Leave the network, and become the command."""
    try:
        leave()
    except OSError as error:
        print(error.strerror, file=sys.stderr)
        sys.exit(NOT_ALLOWED)
    os.execvp(command[0], command)  # noqa: S606 - there is no shell on purpose


def leave() -> None:
    """Leave the network for one of this process alone; OSError where that is not allowed."""
    try:
        unshare(CLONE_NEWNET)
    except PermissionError:
        user, group = os.geteuid(), os.getegid()
        unshare(CLONE_NEWUSER | CLONE_NEWNET)
        # The files stay whose they are: each number is mapped to itself.
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        # A struct ifreq of 40 bytes: 16 of name, then the flags.
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", IFF_UP))


def unshare(flags: int) -> None:
    """Have namespaces of one's own from now on; OSError where that is not allowed."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


if __name__ == "__main__":
    main(sys.argv[1:])
