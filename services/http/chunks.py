"""A chunked body: pieces of it, each with its size in front (RFC 9112, 7.1)."""

import re

from services.http.errors import BadRequest, BodyTooLarge, HTTPError

MAX_LINE = 256  # bytes of a chunk size with its extensions, or of a trailer
MAX_TRAILERS = 16
MAX_CHUNKS = 16 * 1024  # to join a body of single bytes would take seconds

SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})(?:;[\t -~]*)?")
TRAILER = re.compile(rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+:[\t -~\x80-\xff]*")


class Chunks:
    """The chunked body of one request; `body` has what was decoded so far."""

    def __init__(self, max_body: int) -> None:
        self.body = bytearray()
        self._max_body = max_body
        self._count = 0
        self._trailers: int | None = None  # how many there were; None until the last chunk

    def decode(self, received: bytearray) -> bool:
        """Remove complete chunks from what was received; return whether the body is complete.

        Raises HTTPError for invalid chunks, and as soon as the body is announced as too large.
        """
        at = 0
        complete = False
        while not complete and (end := received.find(b"\r\n", at, at + MAX_LINE)) >= 0:
            line = bytes(received[at:end])
            if self._trailers is not None:
                complete = self._trailer(line)
            elif size := self._size(line):
                # An incomplete chunk stays in `received`, where it cannot grow beyond MAX_BODY.
                if len(received) < end + 2 + size + 2:
                    break
                data = end + 2
                self.body += received[data : data + size]
                end = data + size
                if received[end : end + 2] != b"\r\n":
                    raise BadRequest("Invalid chunk: it is longer than its size.")
                self._count += 1
            else:
                self._trailers = 0
            at = end + 2
        else:
            if not complete and len(received) - at >= MAX_LINE:
                raise BadRequest("Invalid chunk: the line with its size is too long.")
        del received[:at]
        return complete

    def _size(self, line: bytes) -> int:
        """Return the size of the chunk that a line announces."""
        if not (found := SIZE.fullmatch(line)):
            raise BadRequest("Invalid chunk size.")
        size = int(found[1], 16)
        if len(self.body) + size > self._max_body:
            raise BodyTooLarge(self._max_body)
        if self._count >= MAX_CHUNKS:
            detail = f"A body may have at most {MAX_CHUNKS} chunks."
            raise HTTPError("413 Content Too Large", detail)
        return size

    def _trailer(self, line: bytes) -> bool:
        """Skip a trailer; return whether the line is the empty one that ends the body instead."""
        if not line:
            return True
        self._trailers = (self._trailers or 0) + 1
        if self._trailers > MAX_TRAILERS or not TRAILER.fullmatch(line):
            raise BadRequest("Invalid trailer after the last chunk.")
        return False
