"""What an epoll loop does when accept has no capacity: it pauses its listener."""

import select
import socket
import time

from services.listeners import RETRY_SECONDS, accept_failed


class AcceptBackoff:
    """Registers a listener with epoll, and pauses it for RETRY_SECONDS if accept has no capacity.

    accept is called inside a `with` block, which catches its OSError: see accept_failed().
    """

    def __init__(self, listener: socket.socket, epoll: select.epoll) -> None:
        self._listener = listener
        self._epoll = epoll
        self._until = 0.0  # when the pause ends, if there is one
        listener.setblocking(False)
        epoll.register(listener, select.EPOLLIN)

    def timeout(self) -> float | None:
        """Return for how many seconds epoll may wait; end a pause that lasted long enough."""
        if not self._until:
            return None
        if (remaining := self._until - time.monotonic()) > 0:
            return remaining
        self._epoll.modify(self._listener, select.EPOLLIN)
        self._until = 0.0
        return None

    def __enter__(self) -> None:
        pass

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> bool:
        if not isinstance(error, OSError):
            return False
        if accept_failed(error):
            self._epoll.modify(self._listener, 0)
            self._until = time.monotonic() + RETRY_SECONDS
        return True
