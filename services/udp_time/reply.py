"""What a time server answers, whatever its concurrency model."""

import re
import time

ID = re.compile(rb"[ -~]{1,64}")


def reply(request: bytes) -> bytes:
    """Return `ctime`, or `ID ctime` where the request is 1 to 64 printable ASCII characters.

    UDP may lose, repeat and reorder datagrams; the ID lets a client tell which of its requests
    is being answered. `ctime` has 24 characters, so the ID is all but the last 25.
    """
    now = time.ctime().encode("ascii")
    return b"%b %b" % (request, now) if ID.fullmatch(request) else now
