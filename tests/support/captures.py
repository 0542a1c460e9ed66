"""Captures that are damaged: conversations and files of the lab, mutated at random."""

import json
import struct
from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

from clients.addresses import PORTS
from services.wire import packets, pcapng
from services.wire.conversation import service_of
from services.wire.record import Action, Kind, Record, Stream
from tests.unit.wire_records import TRANSCRIPTS

PROXIES = (
    "tcp-echo",
    "udp-time",
    "rest",
    "kv",
    "httpbin",
    "object-echo",
    "rpc-threaded",
    "rpc",
    "?",
)
KINDS: tuple[Kind, ...] = ("open", "refused", "data", "fin", "reset", "close")
PIECES = [
    b"\r\n", b"\n", b"\0", b"\x1b[2J", b"\x9b31m", b"HTTP/1.1 200 OK\r\n\r\n", b"Content-Length: ",
    b"Transfer-Encoding: chunked\r\n", b"ffffffffffffffff\r\n", b"<!DOCTYPE x>", b"&lt;", b".",
    b"\xff\xff\xff\xff", b"\x80\x04", b"\xe2\x80\xae", "中文".encode(), "e\u0301\u0301".encode(),
    b"</text><script>alert(1)</script>", b"#WELCOME#", b"#FAILURE#", b"\x7f\xff\xff\xff", b"]]>",
]  # fmt: skip
NAMES = ["x", "\x1b[31m", "<script>", "\u202e", "中", "e" + 50 * "\u0301", "\ud800", "a" * 500]
# In place of a value in JSON: other types, and numbers that cannot be computed with.
VALUES = [
    None, True, -1, 0, 1e308, float("inf"), float("nan"), 10**400, 2**63, "", "x", "\ud800",
    "1:99999", [], [1], {}, {"what": 1}, "tcp", "udp", "close",
]  # fmt: skip


def mutated(random: Random, data: bytes) -> bytes:
    """Return bytes with a few random changes."""
    changed = bytearray(data)
    for _ in range(random.randint(0, 4)):
        at = random.randint(0, len(changed))
        match random.randrange(5):
            case 0:
                changed[at : at + 1] = random.randbytes(1)
            case 1:
                del changed[at : at + random.randint(1, 20)]
            case 2:
                changed[at:at] = random.choice(PIECES) * random.choice([1, 1, 1, 30])
            case 3:
                changed[at:at] = random.randbytes(random.randint(1, 50))
            case 4:
                changed[at:at] = changed[random.randint(0, at) : at]
    return bytes(changed)


def hostile_records(random: Random, records: list[Record]) -> list[Record]:
    """Return a conversation that is mutated, cut in other places, and recorded with gaps."""
    found = []
    offsets: dict[Stream, int] = {"upstream": 0, "downstream": 0}
    proxy = random.choice(PROXIES)
    for each in records:
        data = mutated(random, each.data)
        while True:
            size = random.choice([1, 3, 50, len(data), len(data)])
            stream = each.stream if random.random() < 0.98 else random.choice(list(offsets))
            left = random.choice(
                [each.arrived, each.arrived + random.random() / 10, None, each.left]
            )
            kind: Kind = each.kind if random.random() < 0.97 else random.choice(KINDS)
            name = random.choice(NAMES)
            action = Action(name, name, 1, random.choice([None, 0.5]), name)
            found.append(
                replace(
                    each, proxy=proxy, kind=kind, stream=stream, data=data[:size], left=left,
                    offset=max(0, offsets[stream] + random.choice([0] * 20 + [1, -1, 10**12])),
                    actions=(action,) * random.choice([0, 0, 0, 1, 20]),
                )
            )  # fmt: skip
            offsets[stream] += size
            data = data[size:]
            if not data:
                break
    return found


def conversations(random: Random, count: int) -> list[Record]:
    """Return the records of so many mutated conversations, each with a client of its own."""
    transcripts = list(TRANSCRIPTS.values())
    found: list[Record] = []
    for number in range(count):
        client = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}:{10_000 + number % 50_000}"
        for each in hostile_records(random, random.choice(transcripts)):
            port = PORTS.get(service_of(each.proxy), 9)
            found.append(
                replace(
                    each, number=len(found), connection=number, client=client,
                    server=f"{each.proxy}:{port}",
                )
            )  # fmt: skip
    return found


def damaged(random: Random, file: bytes) -> bytes:
    """Return a capture with a change to its bytes, to its blocks, or to the records in them."""
    if random.random() < 0.3:
        return mutated(random, file)
    blocks = list(pcapng._blocks(file))
    at = random.randrange(1, len(blocks))  # not the first: without it a file is none at all
    match random.randrange(4):
        case 0:
            del blocks[at]
        case 1:
            blocks.insert(random.randint(1, len(blocks)), blocks[at])
        case 2:
            blocks[at] = blocks[at][0], bytes_of_packet(random, *blocks[at])
        case 3:
            blocks = [(kind, records_of_packet(random, body)) for kind, body in blocks]
    return b"".join(pcapng._block(kind, padded(body)) for kind, body in blocks)


def padded(body: bytes) -> bytes:
    """Return a body as long as a block's has to be: a multiple of four bytes."""
    return body + bytes(-len(body) % 4)


def bytes_of_packet(random: Random, kind: int, body: bytes) -> bytes:
    """Return the body of a block with some bytes changed, but for the sizes of a packet."""
    start = pcapng.PACKET_HEADER.size if kind == pcapng.PACKET else 0
    changed = bytearray(body)
    for _ in range(random.randint(1, 8)):
        if start < len(body):
            changed[random.randrange(start, len(body))] = random.randrange(256)
    return bytes(changed)


def records_of_packet(random: Random, body: bytes) -> bytes:
    """Return the body of a block in which a value of a record, if it has one, is another now."""
    start = body.find(pcapng.ENTERPRISE + b'{"number"')
    if start < 4 or random.random() < 0.7:
        return body
    (size,) = struct.unpack_from("<H", body, start - 2)
    document = json.loads(body[start + len(pcapng.ENTERPRISE) : start + size])
    changed = json.dumps(changed_value(random, document)).encode()
    option = pcapng._option(pcapng.CUSTOM, pcapng.ENTERPRISE + changed)
    return body[: start - 4] + option + body[start + size + -size % 4 :]


def changed_value(random: Random, document: dict[str, Any]) -> Any:
    """Return a record's JSON with a value changed, missing, or too much; of its actions too."""
    target = document
    if document["actions"] and random.random() < 0.3:
        target = random.choice(document["actions"])
    name = random.choice([*target, "more"])
    if random.random() < 0.1:
        target.pop(name, None)
    else:
        target[name] = random.choice(VALUES)
    return document


def files(random: Random) -> Iterator[bytes]:
    """Yield captures without an end: damaged files of sound conversations, sound ones of mutated.

    Each has one conversation, and several mutations.
    """
    transcripts = list(TRANSCRIPTS.values())
    sound = [pcapng.encode(renumbered(records)) for records in transcripts]
    while True:
        yield damaged(random, random.choice(sound))
        yield pcapng.encode(renumbered(hostile_records(random, random.choice(transcripts))))


def renumbered(records: list[Record]) -> list[Record]:
    """Return records that are numbered, as those of a relay are; a file is read back by that."""
    return [replace(each, number=number) for number, each in enumerate(records, 1)]


def headers_changed(random: Random, file: bytes, share: float) -> bytes:
    """Return the file with bytes of some packets changed in place, and so in their headers too.

    The file itself is sound, and a program that reads it reads all of it.
    """
    blocks = []
    for kind, body in pcapng._blocks(file):
        changed = body
        if kind == pcapng.PACKET and random.random() < share:
            *_, size, _ = pcapng.PACKET_HEADER.unpack_from(body)
            packet = bytearray(body)
            for _ in range(random.randint(1, 3)):
                at = random.randrange(min(size, random.choice([packets.TCP_HEADER.size * 2, size])))
                packet[pcapng.PACKET_HEADER.size + at] = random.randrange(256)
            changed = bytes(packet)
        blocks.append(pcapng._block(kind, changed))
    return b"".join(blocks)
