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


def keep_memory() -> None:
    """Let the C library keep freed memory for the next message, up to the largest one.

    It gives blocks that are larger than a threshold back to the kernel, and each page of the
    next one is then a fault: for a message of 1 MiB that costs more than all else. With glibc the
    threshold rises to the size of such a block when that is freed (mallopt(3), M_MMAP_THRESHOLD).
    """
    bytes(MAX_MESSAGE)


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
        self._incoming = frames.Incoming(handshake.LONGEST)
        self._deadline = time.monotonic() + HANDSHAKE_SECONDS
        self.unsent: bytes | memoryview = frames.encode(next(self._handshake))

    def receive(self, data: bytes) -> None:
        """Take bytes from the peer (none: its FIN) and put into `unsent` what they call for."""
        if not data:
            self.ended = "closed by the client"
            return
        replies: list[bytes] = []
        try:
            for message in self._incoming.messages(data):
                if self._authenticated:
                    replies.append(frames.encode(self._answer(message)))
                    self._deadline = math.inf
                else:
                    replies += map(frames.encode, self._shake_hands(message))
        except Exception as error:  # noqa: BLE001 - one peer's failure is not the others'
            self.ended = f"{type(error).__name__}: {error}"
        self.unsent = b"".join(replies)

    def sent(self, count: int) -> None:
        """Take note that the first `count` bytes of `unsent` have been sent."""
        if count < len(self.unsent):
            self.unsent = memoryview(self.unsent)[count:]
        else:
            self.unsent = b""
        if self._authenticated:
            self._deadline = math.inf

    def check_deadline(self, now: float) -> None:
        """End the session of a peer that has taken too long; to be called several times a second.

        The handshake has its time as a whole. After that a peer may be idle for ever, but a
        message that it has begun, or an answer that it does not read, has a time of its own. Its
        clock is started here, and not with each message, most of which are over by now.
        """
        if now > self._deadline:
            due = "a message" if self._authenticated else "the handshake"
            self.ended = f"{due} took too long"
        elif self._deadline == math.inf and (self.unsent or self._incoming.size):
            self._deadline = now + MESSAGE_SECONDS

    def _shake_hands(self, message: bytes) -> Iterator[bytes]:
        try:
            yield self._handshake.send(message)
        except StopIteration:
            self._authenticated = True
            self._incoming.limit = MAX_MESSAGE
            self._deadline = math.inf
        except AuthenticationError:
            yield handshake.FAILURE
            raise
