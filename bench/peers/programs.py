"""Peers that are programs: they say in another form where they listen, or before they do."""

import logging
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from services import runtime

log = logging.getLogger("bench.peers")


def become(
    command: Callable[[str, int], list[str]], address: runtime.Address, request: bytes
) -> NoReturn:
    """Become the program `command(host, port)`; port 0 becomes a free one.

    Not under runtime.main: the program would inherit that the signals are blocked. It is stopped
    by them as it would be anywhere. A process of ours stays behind until it has logged where the
    program listens, which is when that has answered `request`.
    """
    runtime.start_logging()
    with socket.socket() as holder:
        # Sockets may share a port if all of them set this, and only one listens (socket(7)). So
        # until it does, nobody else is given the port.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(address)
        holder.set_inheritable(True)
        host, port = holder.getsockname()
        if (child := os.fork()) == 0:
            if os.fork() == 0:  # not a child of the program, which does not wait for one
                announce((host, port), request)
            os._exit(0)
        os.waitpid(child, 0)
        arguments = command(host, port)
        os.execvp(arguments[0], arguments)  # noqa: S606 - there is no shell


def announce(address: runtime.Address, request: bytes) -> None:
    """Log that the server listens as soon as it answers; give up after 10 s."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(address, 1) as connection:
            connection.sendall(request)
            if connection.recv(1):
                log.info("listening on %s:%d", *address)
                return
        time.sleep(0.01)
