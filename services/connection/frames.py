"""Where a message begins and ends: a length, then as many bytes.

The length is a signed 32-bit big-endian integer; -1 announces a 64-bit one for messages over
2 GiB (CPython, Lib/multiprocessing/connection.py, `Connection._send_bytes`). Unlike the bytes
of a TCP stream, a message arrives whole or not at all.
"""

import struct

HEADER = struct.Struct("!i")


class FrameError(ValueError):
    """The peer announced a message that will not be read; the connection cannot go on."""


def encode(message: bytes) -> bytes:
    """Return `message` with its length in front."""
    return HEADER.pack(len(message)) + message


def take(received: bytearray, limit: int) -> bytes | None:
    """Remove the first message from `received` and return it; None while it is incomplete.

    The length is checked against `limit` (bytes) before a byte of the message is waited for, so
    an announced size never makes this side reserve memory. Raises FrameError for one that is
    negative, zero (no pickle and no step of the handshake is empty) or over the limit.
    """
    if len(received) < HEADER.size:
        return None
    (size,) = HEADER.unpack_from(received)
    if not 0 < size <= limit:
        raise FrameError(f"a message of {size} bytes was announced; 1 to {limit} are accepted")
    end = HEADER.size + size
    if len(received) < end:
        return None
    with memoryview(received) as view:
        message = bytes(view[HEADER.size : end])
    del received[:end]
    return message
