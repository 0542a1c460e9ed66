"""What a time server answers, whatever its concurrency model."""

import re
import time
from functools import lru_cache

MAX_SIZE = 64 + 1 + 24  # bytes of the longest reply; more of a datagram need not be received
ID = re.compile(rb"[ -~]{1,64}")
ANSWER = re.compile(rb".*\d\d:\d\d:\d\d \d{4}", re.DOTALL)


def reply(request: bytes) -> bytes:
    """Return `ctime`, or `ID ctime` where the request is 1 to 64 printable ASCII characters.

    UDP can lose, repeat and reorder datagrams; by the ID a client knows which of its requests is
    answered. `ctime` has 24 characters, so the ID is all but the last 25.

    A request that ends as these replies do gets b"", which is not to be sent: it may be the reply
    of another time server, or of this one, to a datagram with a forged source address, and the
    two would answer each other for ever.
    """
    if len(request) >= 24 and ANSWER.fullmatch(request):
        return b""
    now = ctime(int(time.time()))
    return request + b" " + now if ID.fullmatch(request) else now


@lru_cache(maxsize=1)
def ctime(second: int) -> bytes:
    """Return `time.ctime(second)` in ASCII, formatted once for all requests of that second."""
    return time.ctime(second).encode("ascii")
