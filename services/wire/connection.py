"""multiprocessing.connection: the handshake, then frames with a pickle each.

Both forms of the handshake are known: that of Python up to 3.11, with bare HMAC-MD5, and that of
3.12 and newer, which names the digest in braces (CPython, Lib/multiprocessing/connection.py,
"Authentication Handshake Protocol Description").
"""

import struct
from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import Any

from services.connection.frames import HEADER
from services.connection.handshake import (
    CHALLENGE,
    FAILURE,
    MAX_MESSAGE,
    MD5_SIZE,
    WELCOME,
    named_digest,
)
from services.wire import pickle_opcodes
from services.wire.stream import (
    MAX_KEPT,
    MAX_LINE,
    MAX_LINES,
    MAX_SUMMARY,
    Message,
    NotDecodable,
    Reading,
    Stream,
    bytes_of,
    dump,
)
from services.wire.visible import brief, counted, cut, line, lines, quoted

# What each side sends in the handshake, in this order; the server begins.
STEPS_OF_CLIENT = ("answer", "challenge", "verdict")
STEPS_OF_SERVER = ("challenge", "verdict", "answer")
HMACS = {
    b"md5": "HMAC-MD5",
    b"sha256": "HMAC-SHA-256",
    b"sha384": "HMAC-SHA-384",
    b"sha3_256": "HMAC-SHA3-256",
    b"sha3_384": "HMAC-SHA3-384",
}
LONG = struct.Struct("!Q")
MAX_SIZE = 1 << 40  # bytes; a frame that announces more is none
PROTO = b"\x80"  # what a pickle begins with, from protocol 2 on
MAX_DUMP = 40  # opcodes that are listed

Describe = Callable[[Any], tuple[str, tuple[str, ...]]]


def pair(service: str) -> tuple[Stream, Stream]:
    """Return the two directions of a connection to rpc, or else to object-echo."""
    describe = (called, answered) if service == "rpc" else (plain, plain)
    return (
        Stream(partial(decode, steps=STEPS_OF_CLIENT, describe=describe[0]), begins),
        Stream(partial(decode, steps=STEPS_OF_SERVER, describe=describe[1]), begins),
    )


def begins(data: bytes) -> bool:
    """Whether a frame with a pickle may begin with these bytes."""
    return len(data) > HEADER.size and data[:1] < b"\x80" and data[4:5] == PROTO


def decode(stream: Stream, steps: tuple[str, ...], describe: Describe) -> Reading[None]:
    """Yield the messages of one side: three of the handshake, then objects."""
    for step in () if stream.joined else steps:
        data, size = yield from frame(stream, MAX_MESSAGE)
        yield handshake(step, data)
    while True:
        data, size = yield from frame(stream, MAX_SIZE)
        yield described(data, size, describe)


def frame(stream: Stream, most: int) -> Reading[tuple[bytes, int]]:
    """Wait for a frame, and return the beginning of its message, and its size."""
    (size,) = HEADER.unpack((yield from stream.take(HEADER.size)))
    if size == -1:  # longer than 2 GiB
        (size,) = LONG.unpack((yield from stream.take(LONG.size)))
    if not 0 <= size <= most:
        raise NotDecodable("not a frame of multiprocessing.connection")
    stream.about = f"a message of {counted(size, 'byte')}"
    return (yield from stream.take(size)), size


def handshake(step: str, data: bytes) -> Message:
    """Return a message of the handshake, and what it means."""
    details = ["", *dump(data, len(data))]
    if data == WELCOME:
        return Message("WELCOME: the digest is right", ("The other side knows the key.", *details))
    if data == FAILURE:
        return Message("FAILURE: the digest is wrong", ("The keys differ.", *details))
    if data.startswith(CHALLENGE):
        challenge = data.removeprefix(CHALLENGE)
        digest, rest = named_digest(challenge)
        algorithm = HMACS.get(digest, "HMAC-MD5")
        form = "3.12 and newer name the digest" if digest else "Python up to 3.11"
        meaning = f"prove that you know the key: send the HMAC of these bytes ({form})"
        size = counted(len(rest), "random byte")
        return Message(f"CHALLENGE: {size}, for {algorithm}", (meaning, *details))
    digest, mac = named_digest(data)
    if step == "answer" and (digest in HMACS or len(data) == MD5_SIZE):
        algorithm = HMACS.get(digest, "HMAC-MD5")
        form = "named" if digest else "not named: Python up to 3.11"
        meaning = f"the HMAC of the challenge under the key; the digest is {form}"
        size = counted(len(mac), "byte")
        return Message(f"digest: {algorithm} of the challenge, {size}", (meaning, *details))
    return Message(f"not part of a handshake: {quoted(data, MAX_LINE)}", tuple(details[1:]))


def described(data: bytes, size: int, describe: Describe) -> Message:
    """Return the message that a frame holds."""
    if len(data) < size:
        shown = f"an object of {counted(size, 'byte')}, of which {MAX_KEPT:,} are read"
        return Message(shown, pickle_opcodes.read(data, MAX_DUMP).lines)
    if not data:
        return Message("an empty message")
    pickled = pickle_opcodes.read(data, MAX_DUMP)
    if pickled.problem:
        if not pickled.opcodes or (pickled.broken and data[:1] != PROTO):
            return bytes_of(data)
        summary = f"safe_pickle refuses this: {pickled.problem}"
        return Message(cut(summary, MAX_SUMMARY), pickled.lines)
    inner = ""
    if type(pickled.value) is bytes and pickled.value[:1] == PROTO:
        inside = pickle_opcodes.read(pickled.value, MAX_DUMP)
        if inside.problem:
            summary = f"pickled twice: {inside.problem}"
            return Message(cut(summary, MAX_SUMMARY), (*inside.lines,))
        pickled, inner = inside, ", pickled twice"
    summary, details = describe(pickled.value)
    return Message(cut(summary + inner, MAX_SUMMARY), (*details, "", *pickled.lines))


def plain(value: Any) -> tuple[str, tuple[str, ...]]:
    """Describe an object of object-echo."""
    shown = brief(value, MAX_LINE)
    return shown, (f"{type(value).__name__}: {shown}",)


def called(value: Any) -> tuple[str, tuple[str, ...]]:
    """Describe a request of rpc: (function name, args, kwargs)."""
    match value:
        case (str(name), (list() | tuple()) as args, dict(kwargs)):
            shown = [brief(each, MAX_LINE) for each in args[:8]]
            names = islice(kwargs.items(), 8)
            shown += [f"{line(str(key), 30)}={brief(each, MAX_LINE)}" for key, each in names]
            if len(args) > 8 or len(kwargs) > 8:
                shown.append("…")
            summary = cut(f"{line(name, 60)}({', '.join(shown)})", MAX_SUMMARY)
            return summary, (f"calls the function {line(name, 60)}",)
    summary, details = plain(value)
    return f"no request: {summary}", details


def answered(value: Any) -> tuple[str, tuple[str, ...]]:
    """Describe an answer of rpc: (True, result), or an exception; a bare result to old clients."""
    match value:
        case (True, result):
            return f"returns {brief(result, MAX_LINE)}", ()
        case (False, str(name), (list() | tuple()) as args, str(trace)):
            shown = ", ".join(brief(each, MAX_LINE) for each in args[:8])
            summary = f"raises {line(name, 60)}({shown})"
            return cut(summary, MAX_SUMMARY), tuple(lines(trace.rstrip(), MAX_LINES, MAX_LINE))
    return f"returns {brief(value, MAX_LINE)}", ()
