"""A body that comes in chunks, each with its size in front (RFC 9112, 7.1)."""

import re

from services.http.refused import Refused

LONGEST_LINE = 256  # bytes: a size with its extensions, or a trailer field
MOST_TRAILERS = 16
MOST_CHUNKS = 16 * 1024  # a body of single bytes would take seconds to be put together

SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})(?:;[\t -~]*)?")
TRAILER = re.compile(rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+:[\t -~\x80-\xff]*")


class Chunks:
    """The body of one request; `body` is what there is of it so far."""

    def __init__(self, longest_body: int) -> None:
        self.body = bytearray()
        self._longest_body = longest_body
        self._count = 0
        self._trailers: int | None = None  # how many came; None while chunks do

    def take(self, received: bytearray) -> bool:
        """Take whole chunks from what was received; return whether that was all of the body.

        Raises Refused for what is no chunk, and as soon as the body is announced as too large.
        """
        at = 0
        ended = False
        while not ended and (end := received.find(b"\r\n", at, at + LONGEST_LINE)) >= 0:
            line = bytes(received[at:end])
            if self._trailers is not None:
                ended = self._trailer(line)
            elif size := self._size(line):
                # A chunk is taken when all of it is there. Until then it is in `received`, where
                # it is no longer than a body may be.
                if len(received) < end + 2 + size + 2:
                    break
                data = end + 2
                self.body += received[data : data + size]
                end = data + size
                if received[end : end + 2] != b"\r\n":
                    raise Refused("400 Bad Request", "A chunk is longer than its size.")
                self._count += 1
            else:
                self._trailers = 0
            at = end + 2
        else:
            if not ended and len(received) - at >= LONGEST_LINE:
                raise Refused("400 Bad Request", "A line between the chunks is too long.")
        del received[:at]
        return ended

    def _size(self, line: bytes) -> int:
        """Return the size of the chunk that a line announces."""
        if not (found := SIZE.fullmatch(line)):
            raise Refused("400 Bad Request", "There is no size in front of a chunk.")
        size = int(found[1], 16)
        if len(self.body) + size > self._longest_body:
            raise Refused.too_large(self._longest_body)
        if self._count >= MOST_CHUNKS:
            raise Refused("413 Content Too Large", f"A body may have {MOST_CHUNKS} chunks.")
        return size

    def _trailer(self, line: bytes) -> bool:
        """Pass over a field after the last chunk; return whether it is the empty line instead."""
        if not line:
            return True
        self._trailers = (self._trailers or 0) + 1
        if self._trailers > MOST_TRAILERS or not TRAILER.fullmatch(line):
            raise Refused("400 Bad Request", "What comes after the last chunk is no field.")
        return False
