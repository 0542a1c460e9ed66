"""One authenticated connection without its socket: bytes in, bytes out.

    received bytes -> frames -> handshake, then the answer -> frames -> outgoing bytes

A driver calls `receive_data` with what it has received, `receive_size` bytes at once, sends what
`data_to_send` returns, and reports by `sent` how much of that the kernel took. It receives nothing
while there is something to send, so a client that does not read its answers is not read from
either; and nothing while a large message waits for room, or for its turn.

A large message is answered in steps, and the driver serves other connections between two of them.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import AuthenticationError

from services.connection import frames, handshake

CHUNK = 288 * 1024  # bytes to receive at once: 256 KiB, and what is around them in a message
PART = 64 * 1024  # bytes to send at once, where a driver is told only when all of them are taken
SMALL = 16 * 1024  # bytes of a message that needs no room to be reserved, and is answered at once
MIN_BUFFERED = 8 * 1024 * 1024  # bytes, where the largest message is a small one

Clock = Callable[[], float]


@dataclass(frozen=True)
class Answer:
    """What a server answers: to a message, and where that fails or it is too large, to the error.

    `to_message` yields the answer, and before it None wherever other clients may be served. Either
    way the connection goes on; it is closed where `to_error` raises as well.
    """

    to_message: Callable[[bytes], Iterator[bytes | None]]
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
        """How much is buffered for all connections together: then nothing large begins."""
        return max(2 * self.max_message, MIN_BUFFERED)

    @property
    def max_exceeded(self) -> int:
        """How much is buffered with what is small, and with answers that grow beyond their room.

        Then connections are evicted, whatever they do.
        """
        return 2 * self.max_buffered


class Protocol:
    """The server's side of one connection, from its first challenge on.

    `answer` makes what is sent back. While messages are `queued`, received earlier and not answered
    yet, or not to the end, the driver calls `resume` instead of receiving, once everything is sent.
    `closed` is None, or says why the connection is over: what is left to send is still sent, and
    then its socket is closed. `deadline` is a reading of `clock`, infinity for none.

    A message of more than SMALL bytes waits until `reserve` is called, since all clients share the
    memory. Meanwhile `needs` says how many bytes it and its answer need, and nothing should be
    received: the rest of the message stays in the kernel, or with the client. When it is complete,
    it waits again, until `begin` is called, and is then answered in steps, one by each `resume`.
    Until the last of them `needs` and `answering` are its size.
    """

    def __init__(
        self, peer: str, key: bytes, answer: Answer, limits: Limits, clock: Clock = time.monotonic
    ) -> None:
        self.peer = peer
        self.closed: str | None = None
        self.authenticated = False
        self.buffered = 0  # bytes of messages and answers, or reserved for them
        self.moved = 0  # bytes received and sent
        self.needs = 0
        self.answering = 0  # bytes of a large message that is complete and has no answer yet
        self.turn = False  # whether it is answered now
        self.receive_size = SMALL  # little, before it is known that there is room
        self._reserved = 0
        self.deadline = clock() + limits.handshake_timeout
        self._answer = answer
        self._limits = limits
        self._handshake = handshake.server(key)
        self._incoming = frames.Incoming(handshake.MAX_MESSAGE)
        self._outgoing: bytes | memoryview = frames.encode(next(self._handshake))
        self._replies: list[bytes] = []
        self._rest: Iterator[bytes | None] | None = None  # of the answers to what was received

    @property
    def queued(self) -> bool:
        """Whether messages that were received earlier can be answered, or one of them further."""
        return self.turn or self._incoming.queued

    @property
    def over(self) -> bool:
        """Whether the connection is closed, and nothing is left to send."""
        return self.closed is not None and not self._outgoing

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the client, b"" at the end of its stream, and answer what is complete."""
        if data:
            self.moved += len(data)
            self._take(data)
        elif not self.closed:
            self.closed = "closed by the client"

    def resume(self) -> None:
        """Answer the next of the queued messages, or go on with the large one."""
        self._take(b"")

    def reserve(self) -> None:
        """Go on with a large message, which has all of its time from now: there is room for it."""
        self._reserved, self.needs = self.needs, 0
        self.deadline = math.inf
        self._look_ahead()

    def begin(self) -> None:
        """Go on with a large message that is complete: it is its turn to be answered."""
        self.turn = True

    def data_to_send(self) -> bytes | memoryview:
        """Return the bytes to send, and keep them until `sent` says that the kernel has them."""
        return self._outgoing

    def sent(self, count: int) -> None:
        """Drop the first `count` bytes to send; what is buffered counts until the last is sent."""
        self.moved += count
        if self.authenticated:
            self.deadline = math.inf
        if count < len(self._outgoing):
            self._outgoing = memoryview(self._outgoing)[count:]
            return
        self._outgoing = b""
        self.buffered = self._incoming.size
        if self.buffered:
            self._look_ahead()

    def close(self, reason: str) -> None:
        """End the connection from our side, and drop all that is buffered for it."""
        self.closed = reason
        self._incoming.clear()
        self._outgoing, self._rest = b"", None
        self.turn = False
        self.buffered = self.needs = self.answering = self._reserved = 0

    def _take(self, data: bytes) -> None:
        if self.closed:  # evicted: these bytes would be taken for the start of a message
            return
        self.buffered = 0  # no deadline while a message is answered, however long that takes
        answers, self._rest = self._rest or self._answers(data), None
        replies = self._replies
        try:
            for reply in answers:
                if reply is not None:
                    replies.append(frames.encode(reply))
                elif self.answering:
                    self._rest = answers
                    self.buffered = max(self.answering, self._reserved) + sum(map(len, replies))
                    return
        except Exception as error:  # noqa: BLE001 - one client's failure is not the others'
            self.closed = f"{type(error).__name__}: {error}"
        self._outgoing = b"".join(replies)
        self.buffered = self._incoming.size + len(self._outgoing)
        if self._reserved and (replies or self.closed):
            self._reserved, self.receive_size = 0, SMALL
        replies.clear()
        if self._incoming.size and not self._outgoing and not self.closed:
            self._look_ahead()

    def _answers(self, data: bytes) -> Iterator[bytes | None]:
        """Yield the answer to each message that is complete, and None between the steps of one."""
        try:
            for message in self._incoming.messages(data):
                if not self.authenticated:
                    yield from self._shake_hands(message)
                    continue
                self.deadline = math.inf
                if len(message) > SMALL:
                    self.needs = self.answering = len(message)
                    yield None  # until `begin` is called
                try:
                    yield from self._answer.to_message(message)
                except Exception as error:  # noqa: BLE001 - the client is told
                    yield self._answer.to_error(error)
                if self.answering:
                    self.needs = self.answering = 0
                    self.turn = False
        except frames.MessageTooLarge as error:
            self.deadline = math.inf
            yield self._answer.to_error(error)

    def _look_ahead(self) -> None:
        """Have a large message wait for room; once that is reserved, receive just this message."""
        size = self._incoming.needed
        if self._reserved:
            self.buffered = max(self._incoming.size, self._reserved)
            self.receive_size = min(CHUNK, int(size) - self._incoming.size)
        elif SMALL < size < math.inf and not self.needs:
            self.needs = 2 * int(size)
            self.deadline = math.inf  # it may wait for as long as a message may take

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
