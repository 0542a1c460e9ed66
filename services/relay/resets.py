"""Notices the RST of peers from which nothing is being received.

asyncio watches a socket only for what is to be received or sent. So it would not notice that a peer
has gone which has sent its FIN before, or which has to wait as the other side reads nothing. epoll
reports EPOLLERR although nothing is asked for (epoll_ctl(2)).
"""

import asyncio
import select
import socket
from collections.abc import Callable


class Resets:
    """Sockets, each with what is to be called once a RST has come."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._watched: dict[int, tuple[socket.socket, Callable[[], object]]] = {}
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._epoll, self._check)

    def watch(self, peer: socket.socket, call: Callable[[], object]) -> None:
        """Watch a socket until it is closed."""
        self._watched[peer.fileno()] = peer, call
        self._epoll.register(peer, select.EPOLLET)

    def _check(self) -> None:
        for descriptor, events in self._epoll.poll(0):
            peer, call = self._watched[descriptor]
            if events & select.EPOLLERR and peer.fileno() == descriptor:
                call()

    def close(self) -> None:
        """Watch nothing more."""
        self._loop.remove_reader(self._epoll)
        self._epoll.close()
