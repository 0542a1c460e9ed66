"""The reply of a time server, whatever its concurrency model."""

import re
import time
from functools import lru_cache

RECV_SIZE = 64 + 1 + 24 + 2  # bytes of our longest reply and a line ending: enough to recognise it
ID = re.compile(rb"([ -~]{1,64})(\r?\n)?")
OWN_REPLY = re.compile(rb".{11,}\d\d:\d\d:\d\d \d{4}(\r?\n)?", re.DOTALL)


def reply_to(request: bytes) -> bytes:
    """Return the reply to a request: `ctime`, 24 ASCII characters; or `ID ctime`; or b"" for none.

    If the request is 1 to 64 printable ASCII bytes, it is echoed as an ID before the time. UDP can
    lose, repeat and reorder datagrams; by the ID a client knows which request a reply belongs to.
    The ID is the reply without its last 25 bytes, a space and the time. A line ending, LF or CR LF,
    as `echo id | nc -u` sends it, is not part of the ID.

    A request that ends like our replies gets no reply. It may be the reply of another time server,
    or of this one, to a request with a forged source address: the two servers would send replies to
    each other for ever. Only our own format is recognised, with or without a line ending (so that
    of many daytime servers is too: RFC 867), not that of other UDP services.
    """
    # A shorter one that ends like that, such as "12:00:00 2024", can only be an ID.
    if len(request) >= 24 and OWN_REPLY.fullmatch(request):
        return b""
    now = ctime(int(time.time()))
    named = ID.fullmatch(request)
    return named[1] + b" " + now if named else now


@lru_cache(maxsize=1)
def ctime(second: int) -> bytes:
    """Return `time.ctime(second)` in ASCII, formatted once for all requests of that second."""
    return time.ctime(second).encode("ascii")
