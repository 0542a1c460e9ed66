"""One authenticated connection without its socket: bytes in, bytes out.

received bytes --> frames --> handshake, then answer(message) --> frames --> unsent bytes
"""

import math
import time
from collections.abc import Callable, Iterator
from multiprocessing import AuthenticationError

from services.connection import frames, handshake

HANDSHAKE_SECONDS = 5.0
MESSAGE_SECONDS = 30.0
MAX_MESSAGE = 16 * 1024 * 1024  # bytes


class Session:
    """The server's side of one connection, from its first challenge on.

    `answer` turns each message into the one to send back. `unsent` holds what is to be sent;
    nothing should be received while it is not empty. `ended` says why the connection is to be
    closed, once `unsent` has been offered to the peer; None while it goes on.
    """

    def __init__(self, peer: str, key: bytes, answer: Callable[[bytes], bytes]) -> None:
        self.peer = peer
        self.ended: str | None = None
        self._answer = answer
        self._authenticated = False
        self._handshake = handshake.server(key)
        self._received = bytearray()
        self._deadline = time.monotonic() + HANDSHAKE_SECONDS
        self.unsent = memoryview(frames.encode(next(self._handshake)))

    def receive(self, data: bytes) -> None:
        """Take bytes from the peer (none: its FIN) and put into `unsent` what they call for."""
        if not data:
            self.ended = "closed by the client"
            return
        self._received += data
        replies: list[bytes] = []
        try:
            while (message := frames.take(self._received, self._limit())) is not None:
                replies += map(frames.encode, self._replies(message))
        except Exception as error:  # noqa: BLE001 - one peer's failure is not the others'
            self.ended = f"{type(error).__name__}: {error}"
        self.unsent = memoryview(b"".join(replies))
        # A message has its time from its first byte on, not anew with each.
        if replies or self._deadline == math.inf:
            self._renew_deadline()

    def sent(self, count: int) -> None:
        """Take note that the first `count` bytes of `unsent` have been sent."""
        self.unsent = self.unsent[count:]
        self._renew_deadline()

    def check_deadline(self, now: float) -> None:
        """End the session of a peer that has taken too long."""
        if now > self._deadline:
            due = "a message" if self._authenticated else "the handshake"
            self.ended = f"{due} took too long"

    def _renew_deadline(self) -> None:
        if self._authenticated:
            waiting = self.unsent or self._received
            self._deadline = time.monotonic() + MESSAGE_SECONDS if waiting else math.inf

    def _limit(self) -> int:
        return MAX_MESSAGE if self._authenticated else handshake.LONGEST

    def _replies(self, message: bytes) -> Iterator[bytes]:
        if self._authenticated:
            yield self._answer(message)
            return
        try:
            yield self._handshake.send(message)
        except StopIteration:
            self._authenticated = True
            self._deadline = math.inf
        except AuthenticationError:
            yield handshake.FAILURE
            raise
