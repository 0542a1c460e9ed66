"""A listener for each of gunicorn's workers, where there are several: all of them on one port.

gunicorn's workers share one listener, and a connection is for the worker that wakes up first. That
is no way to use several CPUs: of 64 clients that connect at once and stay, one worker may get all.
With SO_REUSEPORT the kernel chooses the listener by a hash of the connection's addresses and ports
(socket(7)). Why gunicorn's own process opens them and not each worker its own, which is what its
setting `reuse_port` does: services/workers.py.
"""

import socket
from typing import Any

from gunicorn.sock import TCP6Socket, TCPSocket  # type: ignore[import-untyped]

from services import listeners


class Another(TCPSocket):  # type: ignore[misc]
    """A further listener, with the options that gunicorn gives each."""

    def bind(self, sock: socket.socket) -> None:
        """Bind to the port that the first listener has."""
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listeners.keep_urgent_data(sock)
        super().bind(sock)


class Another6(Another, TCP6Socket):  # type: ignore[misc]
    """The same for IPv6."""


def when_ready(server: Any) -> None:
    """Open the further listeners; gunicorn calls this before it starts the first worker."""
    for each in server.LISTENERS:
        listeners.keep_urgent_data(each.sock)
    first = server.LISTENERS[0]
    if server.cfg.workers > 1 and isinstance(first, TCPSocket):  # not a UNIX socket
        # Only now: with this option on the first one, bind() would have joined another server that
        # has it too, and fails without it.
        first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        another = Another6 if isinstance(first, TCP6Socket) else Another
        address = first.getsockname()
        for _ in range(server.cfg.workers - len(server.LISTENERS)):
            server.LISTENERS.append(another(address, server.cfg, server.log))


def pre_fork(server: Any, worker: Any) -> None:
    """Give a new worker the listener that no other has; gunicorn calls this in its own process."""
    taken = [other.sockets[0] for other in server.WORKERS.values()]
    worker.sockets = [min(server.LISTENERS, key=taken.count)]
