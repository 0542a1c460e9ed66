"""Frames: where a message begins and ends. A length, then as many bytes.

The length is a signed 32-bit big-endian integer; -1 announces a 64-bit one for messages over
2 GiB (CPython, Lib/multiprocessing/connection.py, `Connection._send_bytes`). Unlike the bytes
of a TCP stream, a message arrives as a whole or not at all.
"""

import math
import struct
from collections.abc import Iterable, Iterator

HEADER = struct.Struct("!i")
LONG_HEADER = struct.Struct("!iQ")
SMALL = 4096  # bytes
MAX_AT_ONCE = 64  # messages
BEGINNING = 16  # bytes of a message that is too large


class FrameError(ValueError):
    """The peer announced a message that cannot be one; the connection cannot go on."""


class MessageTooLarge(ValueError):
    """A message over the limit was dropped; the connection can go on. `beginning`: 16 bytes."""

    def __init__(self, size: int, limit: int, beginning: bytes) -> None:
        super().__init__(f"a message of {size} bytes was sent; at most {limit} are accepted")
        self.beginning = beginning


def encode(message: bytes) -> bytes:
    """Return `message` with its length in front."""
    return HEADER.pack(len(message)) + message


class Incoming:
    """Cuts a stream of bytes into messages of at most `limit` bytes.

    An incomplete message is kept in the parts in which it arrived, and these are joined when all
    of them are there: appending each part to those before it would copy most of a large message
    several times.

    A message over the limit is an error at once, or where `drops_too_large` is set, once the last
    of its bytes has arrived and was dropped: a client that is still sending would lose an answer,
    since closing a connection with unread bytes resets it (RFC 1122, 4.2.2.13).
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.drops_too_large = False
        self.size = 0  # bytes received and not yet returned
        self._parts = [b""]
        # Bytes before which there is nothing to do; math.inf while a message is dropped.
        self.needed: float = HEADER.size
        self._to_drop = 0  # bytes of a message that is too large
        self._too_large = 0, 0, b""  # its size, the limit, and its beginning

    @property
    def queued(self) -> bool:
        """Whether what was received already may hold another complete message."""
        return self.size >= self.needed

    def messages(self, data: bytes) -> Iterable[bytes]:
        """Add `data` to what was received, and yield the messages that are now complete.

        At most MAX_AT_ONCE of them, so that other connections are served in between: `queued` says
        whether to call again, with no data, for the next. A length is checked as soon as it has
        arrived, and memory is taken only for bytes that have arrived. Raises FrameError for a
        length that is negative or over the current limit, or MessageTooLarge.
        """
        size = len(data) - HEADER.size
        if not self.size and 0 < size <= self.limit and HEADER.unpack_from(data) == (size,):
            return (data[HEADER.size :],)  # by far the most frequent case: one complete message
        if self._to_drop:
            return self._drop(data)
        size = len(self._parts[-1])
        if size < HEADER.size or size + len(data) < SMALL:
            self._parts[-1] += data  # many small parts would take many times their own memory
        else:
            self._parts.append(data)
        self.size += len(data)
        if self.size < self.needed:
            return ()
        first, *others = self._parts
        whole = HEADER.unpack_from(first)[0] + HEADER.size
        exact = self.size == self.needed == whole > HEADER.size
        self.clear()
        if exact:  # one message and nothing else: it is copied once, without its header
            beginning = [first[HEADER.size :]] if len(first) > HEADER.size else []
            return (b"".join([*beginning, *others]),)  # not at all, if its header came alone
        return self._cut(b"".join((first, *others)))

    def clear(self) -> None:
        """Drop what was received and not yet returned."""
        self._parts, self.size, self.needed = [b""], 0, HEADER.size
        self._to_drop = 0

    def _cut(self, data: bytes) -> Iterator[bytes]:
        start = 0
        needed = HEADER.size
        for _ in range(MAX_AT_ONCE):
            if len(data) < start + HEADER.size:
                break
            (size,) = HEADER.unpack_from(data, start)
            if not 0 <= size <= self.limit:
                yield from self._over_limit(data[start:], size)
                return
            end = start + HEADER.size + size
            if len(data) < end:
                needed = HEADER.size + size
                break
            yield data[start + HEADER.size : end]
            start = end
        self._keep(data[start:], needed)

    def _keep(self, data: bytes, needed: float) -> Iterable[bytes]:
        """Keep the beginning of a message until `needed` bytes are there; there is none yet."""
        self._parts, self.size, self.needed = [data], len(data), needed
        return ()

    def _over_limit(self, data: bytes, size: int) -> Iterable[bytes]:
        """Begin to drop the message at the beginning of `data`, if it is one."""
        header = LONG_HEADER if size == -1 else HEADER
        if self.drops_too_large and len(data) < header.size:
            return self._keep(data, header.size)
        actual = header.unpack_from(data)[-1] if self.drops_too_large else 0
        if actual <= self.limit:
            raise FrameError(
                f"a message of {size} bytes was announced; 0 to {self.limit} are accepted"
            )
        if len(data) < header.size + BEGINNING:
            return self._keep(data, header.size + BEGINNING)
        beginning = data[header.size : header.size + BEGINNING]
        self._too_large = actual, self.limit, beginning
        self._to_drop = header.size + actual
        return self._drop(data)

    def _drop(self, data: bytes) -> Iterable[bytes]:
        """Drop `data` as far as it belongs to a message that is too large."""
        rest = data[self._to_drop :]
        self._to_drop -= len(data) - len(rest)
        if self._to_drop:
            return self._keep(bytes(HEADER.size), math.inf)  # so that its time is limited
        self._keep(rest, HEADER.size)
        raise MessageTooLarge(*self._too_large)
