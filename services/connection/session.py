"""One authenticated connection without its socket: bytes in, bytes out.

received bytes --> frames --> handshake, then answer(message) --> frames --> unsent bytes
"""

import math
import time
from collections.abc import Callable, Iterator
from multiprocessing import AuthenticationError

from services import runtime
from services.connection import frames, handshake

SMALLEST, LARGEST = 4096, 2**31 - 1  # bytes; the latter is what a length of 32 bits can say


def message_size(text: str) -> int:
    """Parse the size of the largest message, in bytes."""
    if text.isascii() and text.isdigit() and SMALLEST <= int(text) <= LARGEST:
        return int(text)
    raise ValueError(f"a number of bytes ({SMALLEST} to {LARGEST})")


HANDSHAKE_SECONDS = 5.0
# For a message from its first byte to its last, and for an answer until some of it is taken.
MESSAGE_SECONDS = runtime.setting("WIRELAB_SILENCE_SECONDS", "30", runtime.positive)
MAX_MESSAGE = runtime.setting("WIRELAB_MAX_MESSAGE", str(16 * 1024 * 1024), message_size)  # bytes
MOST_HELD = 2 * MAX_MESSAGE  # bytes, for all connections of a server together


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
    nothing should be received while it is not empty. When it is, and the session has `more` to
    do, it is to `go_on` in its next turn, instead of receiving. `held` is how many bytes it keeps
    of messages and answers. `ended` says why the connection is to be closed, once `unsent` has
    been offered to the peer; None while it goes on.
    """

    def __init__(self, peer: str, key: bytes, answer: Callable[[bytes], bytes]) -> None:
        self.peer = peer
        self.ended: str | None = None
        self.more = False
        self.held = 0
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
        self._take(data)

    def go_on(self) -> None:
        """Put into `unsent` what the next of the messages received before call for."""
        self._take(b"")

    def _take(self, data: bytes) -> None:
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
        waiting = self._incoming.size
        self.more = waiting > 0 and self._incoming.more
        self.held = waiting + len(self.unsent)

    def sent(self, count: int) -> None:
        """Take note that the first `count` bytes of `unsent` have been sent."""
        if count < len(self.unsent):
            self.unsent = memoryview(self.unsent)[count:]
        else:
            self.unsent = b""
            self.held = self._incoming.size
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
