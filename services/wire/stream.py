"""One direction of a TCP connection, as a decoder reads it.

A decoder is a generator that reads as if it could wait: `data = yield from stream.take(4)`. It
yields None where it waits for more bytes, and each message that is complete. So the code of a
decoder follows its protocol from top to bottom, and whether a message came in one piece or in a
hundred makes no difference to it.
"""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

from services.wire.visible import counted, hexdump, quoted

MAX_KEPT = 64 * 1024  # bytes of a message; the others are counted
MAX_LINES = 100  # of details
MAX_LINE = 160  # columns
MAX_SUMMARY = 200  # columns
DUMPED = 8  # lines of bytes that are not understood


@dataclass(frozen=True, slots=True)
class Message:
    """What was sent, decoded: one line, and more of them; `size` in bytes of the stream."""

    summary: str
    details: tuple[str, ...] = ()
    size: int = 0


T = TypeVar("T")
Reading = Generator[Message | None, None, T]  # what waits for bytes, and returns a T
Decode = Callable[["Stream"], Reading[None]]


class NotDecodable(Exception):
    """The bytes are not what the protocol allows."""


class EndOfStream(Exception):
    """The stream has ended before the bytes that a decoder waits for."""


class Stream:
    """The bytes of one direction, cut into messages by `decode`.

    Bytes that cannot be decoded become messages that say so. `begins` says of a piece whether a
    message may begin with it: there decoding starts again.
    """

    def __init__(self, decode: Decode, begins: Callable[[bytes], bool]) -> None:
        self.about = ""  # the message that is being read, as far as it is known
        self.joined = False  # whether it is read from somewhere in its middle
        self._decode, self._begins = decode, begins
        self._received = bytearray()
        self._start = bytearray()  # of the message that is being read
        self._taken = 0  # bytes of it
        self._ended = False
        self._decoding: Reading[None] | None = decode(self)

    @property
    def pending(self) -> Message | None:
        """What has arrived of a message that is not complete, or None."""
        if not (size := self._taken + len(self._received)):
            return None
        start = bytes((self._start + self._received)[:MAX_KEPT])
        about = self.about or quoted(start, MAX_LINE)
        return Message(f"{about}, incomplete ({counted(size, 'byte')})", dump(start, size), size)

    @property
    def buffered(self) -> int:
        """How many bytes are kept."""
        return len(self._start) + len(self._received)

    def receive_data(self, data: bytes) -> Iterator[Message]:
        """Take bytes, and yield the messages that are now complete."""
        if not self._decoding:
            if not self._begins(data):
                yield bytes_of(data)
                return
            self.joined = True
            self._decoding = self._decode(self)
        self._received += data
        yield from self._resume(self._decoding)

    def end(self) -> Iterator[Message]:
        """Yield what the end of the stream makes complete, and what it leaves incomplete."""
        self._ended = True
        if self._decoding:
            yield from self._resume(self._decoding)

    def skip(self) -> Iterator[Message]:
        """Yield what is incomplete: the bytes that follow it were not recorded."""
        yield from self._give_up("")

    def take(self, size: int, kept: int = MAX_KEPT) -> Reading[bytes]:
        """Wait for `size` bytes, and return the first `kept` of them."""
        found = bytearray()
        left = size
        while left:
            data = yield from self.some(left)
            left -= len(data)
            found += data[: max(0, kept - len(found))]
        return bytes(found)

    def some(self, most: int) -> Reading[bytes]:
        """Wait until there are bytes, and return at most `most` of them."""
        while not self._received:
            if self._ended:
                raise EndOfStream
            yield None
        data = bytes(self._received[:most])
        del self._received[:most]
        self._start += data[: max(0, MAX_KEPT - len(self._start))]
        self._taken += len(data)
        return data

    def until(self, end: bytes, most: int) -> Reading[bytes]:
        """Wait for `end` and return everything up to it; NotDecodable if that is over `most`."""
        looked = 0
        while (found := self._received.find(end, looked, most)) < 0:
            if len(self._received) >= most:
                raise NotDecodable(f"there is no {end!r} in the first {most:,} bytes")
            if self._ended:
                raise EndOfStream
            looked = max(0, len(self._received) - len(end))
            yield None
        return (yield from self.take(found + len(end)))

    def rest(self) -> Reading[tuple[bytes, int]]:
        """Wait for the end of the stream; return the beginning of what came, and its size."""
        found, size = bytearray(), 0
        while True:
            try:
                data = yield from self.some(MAX_KEPT)
            except EndOfStream:
                return bytes(found), size
            found += data[: max(0, MAX_KEPT - len(found))]
            size += len(data)

    def _resume(self, decoding: Reading[None]) -> Iterator[Message]:
        try:
            while message := next(decoding, None):
                yield replace(message, size=self._taken)
                self._next()
        except NotDecodable as error:
            yield from self._give_up(str(error))
        except EndOfStream:
            yield from self._give_up("")

    def _give_up(self, why: str) -> Iterator[Message]:
        if pending := self.pending:
            yield replace(pending, summary=f"{why}: {self._shown()}") if why else pending
        self._decoding = None
        self._received.clear()
        self._next()

    def _shown(self) -> str:
        return quoted(bytes((self._start + self._received)[:MAX_LINE]), MAX_LINE)

    def _next(self) -> None:
        self._start.clear()
        self._taken, self.about = 0, ""


def bytes_of(data: bytes) -> Message:
    """Return bytes as a message that says nothing but what they are."""
    shown = f"{quoted(data, MAX_LINE)} ({counted(len(data), 'byte')})"
    return Message(shown, dump(data, len(data)), len(data))


def dump(start: bytes, size: int) -> tuple[str, ...]:
    """Return the beginning of `size` bytes in hexadecimal, and how many more there are."""
    shown = start[: 16 * DUMPED]
    left = size - len(shown)
    more = [f"… {counted(left, 'more byte')}"] if left else []
    return (*hexdump(shown, DUMPED), *more)
