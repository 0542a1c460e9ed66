"""Text on the wire: what tcp-echo returns, and the datagrams of udp-time."""

import re
from typing import NamedTuple

from services.wire.stream import MAX_KEPT, MAX_LINE, Reading, Stream, bytes_of, dump
from services.wire.visible import counted, quoted

CTIME = rb"\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}"  # as time.ctime() writes it
REPLY = re.compile(rb"(?:([ -~]{1,64}) )?(" + CTIME + rb")(?:\r?\n)?")
REQUEST = re.compile(rb"([ -~]{1,64})(?:\r?\n)?")


class Datagram(NamedTuple):
    """A datagram of udp-time: its ID, which is empty if it has none, and what it says."""

    name: str
    summary: str
    details: tuple[str, ...]


def decode(stream: Stream) -> Reading[None]:
    """Yield each piece as it came: TCP has no messages of its own."""
    while True:
        yield bytes_of((yield from stream.some(MAX_KEPT)))


def begins(_data: bytes) -> bool:
    """Whether a message may begin with these bytes: with any."""
    return True


def request(data: bytes) -> Datagram:
    """Return what a client asks."""
    details = dump(data, len(data))
    if not data:
        return Datagram("", "an empty datagram asks for the time", details)
    if named := REQUEST.fullmatch(data):
        name = named[1].decode("ascii")
        return Datagram(name, f"asks for the time, ID {name}", details)
    return Datagram("", f"{counted(len(data), 'byte')}: {quoted(data, MAX_LINE)}", details)


def reply(data: bytes) -> Datagram:
    """Return what a server replies."""
    details = dump(data, len(data))
    if not (found := REPLY.fullmatch(data)):
        return Datagram("", f"no time: {quoted(data, MAX_LINE)}", details)
    name, time = (found[1] or b"").decode("ascii"), found[2].decode("ascii")
    return Datagram(name, f"{time}, ID {name}" if name else time, details)
