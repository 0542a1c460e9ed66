"""One authenticated connection without its socket: bytes in, bytes out.

    received bytes -> frames -> handshake, then the answer -> frames -> outgoing bytes

A driver calls `receive_data` with what it has received, sends what `data_to_send` returns, and
reports by `sent` how much of that the kernel took. It receives nothing while there is something to
send, so a client that does not read its answers is not read from either.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import AuthenticationError

from services.connection import frames, handshake

Clock = Callable[[], float]


@dataclass(frozen=True)
class Answer:
    """What a server answers: to a message, and where that fails or it is too large, to the error.

    Either way the connection goes on; it is closed where `to_error` raises as well.
    """

    to_message: Callable[[bytes], bytes]
    to_error: Callable[[Exception], bytes]


@dataclass(frozen=True)
class Limits:
    """What a server allows its clients: times in seconds, sizes in bytes."""

    handshake_timeout: float = 5.0  # for the handshake as a whole
    # For a message from its first byte to its last, and for an answer until some of it is taken.
    message_timeout: float = 30.0
    max_message: int = 16 * 1024 * 1024

    @property
    def max_buffered(self) -> int:
        """How much is buffered for all connections of a server together."""
        return 2 * self.max_message


class Protocol:
    """The server's side of one connection, from its first challenge on.

    `answer` makes what is sent back. While messages are `queued`, received earlier and not answered
    yet, the driver calls `resume` instead of receiving, once everything is sent. `closed` is None,
    or says why the connection is over: what is left to send is still sent, and then its socket is
    closed. `deadline` is a reading of `clock`, infinity for none.
    """

    def __init__(
        self, peer: str, key: bytes, answer: Answer, limits: Limits, clock: Clock = time.monotonic
    ) -> None:
        self.peer = peer
        self.closed: str | None = None
        self.authenticated = False
        self.buffered = 0  # bytes of messages and answers; an answer until all of it is sent
        self.deadline = clock() + limits.handshake_timeout
        self._answer = answer
        self._limits = limits
        self._handshake = handshake.server(key)
        self._incoming = frames.Incoming(handshake.MAX_MESSAGE)
        self._outgoing: bytes | memoryview = frames.encode(next(self._handshake))

    @property
    def queued(self) -> bool:
        """Whether messages that were received earlier wait to be answered."""
        return self._incoming.queued

    @property
    def over(self) -> bool:
        """Whether the connection is closed, and nothing is left to send."""
        return self.closed is not None and not self._outgoing

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the client, b"" at the end of its stream, and answer what is complete."""
        if data:
            self._take(data)
        elif not self.closed:
            self.closed = "closed by the client"

    def resume(self) -> None:
        """Answer the next of the queued messages."""
        self._take(b"")

    def data_to_send(self) -> bytes | memoryview:
        """Return the bytes to send, and keep them until `sent` says that the kernel has them."""
        return self._outgoing

    def sent(self, count: int) -> None:
        """Drop the first `count` bytes to send."""
        if count < len(self._outgoing):
            self._outgoing = memoryview(self._outgoing)[count:]
        else:
            self._outgoing = b""
            self.buffered = self._incoming.size
        if self.authenticated:
            self.deadline = math.inf

    def close(self, reason: str) -> None:
        """End the connection from our side, and drop all that is buffered for it."""
        self.closed = reason
        self._incoming.clear()
        self._outgoing = b""
        self.buffered = 0

    def _take(self, data: bytes) -> None:
        if self.closed:  # evicted: these bytes would be taken for the start of a message
            return
        self.buffered = 0  # no deadline while a message is answered, however long that takes
        replies: list[bytes] = []
        try:
            try:
                for message in self._incoming.messages(data):
                    if self.authenticated:
                        self.deadline = math.inf
                        try:
                            reply = self._answer.to_message(message)
                        except Exception as error:  # noqa: BLE001 - the client is told
                            reply = self._answer.to_error(error)
                        replies.append(frames.encode(reply))
                    else:
                        # Not a list: what was yielded is still sent where the next step raises.
                        replies += map(frames.encode, self._shake_hands(message))
            except frames.MessageTooLarge as error:
                self.deadline = math.inf
                replies.append(frames.encode(self._answer.to_error(error)))
        except Exception as error:  # noqa: BLE001 - one client's failure is not the others'
            self.closed = f"{type(error).__name__}: {error}"
        self._outgoing = b"".join(replies)
        self.buffered = self._incoming.size + len(self._outgoing)

    def _shake_hands(self, message: bytes) -> Iterator[bytes]:
        try:
            yield self._handshake.send(message)
        except StopIteration:
            self.authenticated = True
            self._incoming.limit = self._limits.max_message
            self._incoming.drops_too_large = True
            self.deadline = math.inf
        except AuthenticationError:
            yield handshake.FAILURE
            raise
