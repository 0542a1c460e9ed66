"""Frames: where a message begins and ends. A length, then as many bytes.

The length is a signed 32-bit big-endian integer; -1 announces a 64-bit one for messages over
2 GiB (CPython, Lib/multiprocessing/connection.py, `Connection._send_bytes`). Unlike the bytes
of a TCP stream, a message arrives as a whole or not at all.
"""

import struct
from collections.abc import Iterable, Iterator

HEADER = struct.Struct("!i")
SMALL = 4096  # bytes
MAX_AT_ONCE = 64  # messages


class FrameError(ValueError):
    """The peer announced a message that will not be read; the connection cannot go on."""


def encode(message: bytes) -> bytes:
    """Return `message` with its length in front."""
    return HEADER.pack(len(message)) + message


class Incoming:
    """Cuts a stream of bytes into messages of at most `limit` bytes.

    An incomplete message is kept in the parts in which it arrived, and these are joined when all
    of them are there: appending each part to those before it would copy most of a large message
    several times.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.size = 0  # bytes received and not yet returned
        self._parts = [b""]
        self._needed = HEADER.size  # bytes, before which there is nothing to do

    @property
    def queued(self) -> bool:
        """Whether what was received already may hold another complete message."""
        return self.size >= self._needed

    def messages(self, data: bytes) -> Iterable[bytes]:
        """Add `data` to what was received, and yield the messages that are now complete.

        At most MAX_AT_ONCE of them, so that other connections are served in between: `queued` says
        whether to call again, with no data, for the next. A length is checked as soon as it has
        arrived, and memory is taken only for bytes that have arrived. Raises FrameError for a
        length that is negative, zero (no pickle and no step of the handshake is empty) or over
        the current limit.
        """
        size = len(data) - HEADER.size
        if not self.size and 0 < size <= self.limit and HEADER.unpack_from(data) == (size,):
            return (data[HEADER.size :],)  # by far the most frequent case: one complete message
        if len(self._parts[-1]) < SMALL:
            self._parts[-1] += data  # many small parts would take many times their own memory
        else:
            self._parts.append(data)
        self.size += len(data)
        if self.size < self._needed:
            return ()
        first, *others = self._parts
        exact = self.size == self._needed > HEADER.size
        self.clear()
        if exact:  # one message and nothing else: it is copied once, without its header
            return (b"".join((first[HEADER.size :], *others)),)
        return self._cut(b"".join((first, *others)))

    def clear(self) -> None:
        """Drop what was received and not yet returned."""
        self._parts, self.size, self._needed = [b""], 0, HEADER.size

    def _cut(self, data: bytes) -> Iterator[bytes]:
        start = 0
        for _ in range(MAX_AT_ONCE):
            if len(data) < start + HEADER.size:
                break
            (size,) = HEADER.unpack_from(data, start)
            if not 0 < size <= self.limit:
                raise FrameError(
                    f"a message of {size} bytes was announced; 1 to {self.limit} are accepted"
                )
            end = start + HEADER.size + size
            if len(data) < end:
                self._needed = HEADER.size + size
                break
            yield data[start + HEADER.size : end]
            start = end
        self.size = len(data) - start
        self._parts = [data[start:]]
