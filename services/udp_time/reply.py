"""What a time server answers, whatever its concurrency model."""

import re
import time
from functools import lru_cache

LONGEST = 64 + 1 + 24  # bytes to receive of a request: a reply, which is to be recognised
ID = re.compile(rb"[ -~]{1,64}")
ANSWER = re.compile(rb".*\d\d:\d\d:\d\d \d{4}", re.DOTALL)


def reply(request: bytes) -> bytes:
    """Return `ctime`, or `ID ctime` where the request is 1 to 64 printable ASCII characters.

    UDP may lose, repeat and reorder datagrams; the ID lets a client tell which of its requests
    is being answered. `ctime` has 24 characters, so the ID is all but the last 25.

    Nothing, not to be sent, is the reply to what ends as one of these replies does: somebody may
    forge a datagram that comes from another time server, or from this one, and the two would
    answer each other for ever.
    """
    if len(request) >= 24 and ANSWER.fullmatch(request):
        return b""
    now = ctime(int(time.time()))
    return request + b" " + now if ID.fullmatch(request) else now


@lru_cache(maxsize=1)
def ctime(second: int) -> bytes:
    """Return `time.ctime(second)` in ASCII, worked out once for all requests of that second."""
    return time.ctime(second).encode("ascii")
