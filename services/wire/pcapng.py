"""Records of the relay as a file for Wireshark, in the pcapng format, and back.

The format: draft-ietf-opsawg-pcapng, whose sections are named below. There are two interfaces, the
client's side of the relay and the server's (`legs`). What a toxic did to a packet is its comment:
the display filter `frame.comment` finds those. Each record also stands, without its data, in a
custom option of a packet that has the data, and from these it is read back.
"""

import json
import struct
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from services.wire import packets
from services.wire.legs import Leg, Packet, packets_of
from services.wire.record import Record, from_json, to_json

# Types of blocks (section 10.1).
SECTION_HEADER, INTERFACE, NAMES, PACKET = 0x0A0D0D0A, 1, 4, 6
BYTE_ORDER = 0x1A2B3C4D  # of a writer with this byte order, little-endian here (4.1)
LINKTYPE_RAW = 101  # packets begin with their IP header (draft-ietf-opsawg-pcaplinktype)

# Options (3.5, 4.1, 4.2), and records of names (4.5).
END, COMMENT = 0, 1
SECTION_APPLICATION = 4
INTERFACE_NAME, INTERFACE_DESCRIPTION, INTERFACE_RESOLUTION = 2, 3, 9
NAME_OF = {4: 1, 6: 2}
# Text of an enterprise (3.5.1): here of the one for examples (RFC 5612).
CUSTOM, ENTERPRISE = 2988, struct.pack("<I", 32473)

HEADER = struct.Struct("<II")  # a block's type and its size in bytes, which follows it again (3.1)
PACKET_HEADER = struct.Struct("<IIIII")  # interface, time (2), size captured, original size (4.3)
MICROSECONDS = 6  # the power of ten; the relay's times are not more precise than that
MAX_OPTION = 0xFFFF  # bytes
MAX_COMMENT = 1000  # characters

ABOUT = (
    "Written from the relay's records: data, times and order are what it saw. Headers, handshakes,"
    " acknowledgments and the relay's own address and ports are made up."
)
SIDES = {
    Leg.CLIENT: ("client side", "between the clients and the relay"),
    Leg.SERVER: ("server side", "between the relay and the servers"),
}


def encode(records: Iterable[Record]) -> bytes:
    """Return the file.

    Not in it is that a client was forgotten (`close` of UDP), or that both sides of a connection
    are closed which had ended both directions: there is no packet that says so. ValueError for a
    record that no packet can be made of.
    """
    found, names = packets_of(records)
    blocks = [
        _block(
            SECTION_HEADER,
            # The size of the section is not given (-1).
            struct.pack("<IHHq", BYTE_ORDER, 1, 0, -1),
            (COMMENT, ABOUT.encode()),
            (SECTION_APPLICATION, b"wirelab"),
        ),
        *(
            _block(
                INTERFACE,
                struct.pack("<HHI", LINKTYPE_RAW, 0, 0),
                (INTERFACE_NAME, name.encode()),
                (INTERFACE_DESCRIPTION, description.encode()),
                (INTERFACE_RESOLUTION, bytes([MICROSECONDS])),
            )
            for name, description in (SIDES[leg] for leg in Leg)
        ),
        _block(
            NAMES,
            b"".join(
                _option(NAME_OF[address.version], address.packed + _text(name) + b"\0")
                for address, name in names.items()
            )
            + _option(END, b""),
        ),
        *map(_packet, found),
    ]
    return b"".join(blocks)


def decode(data: bytes) -> list[Record]:
    """Return the records of a file that `encode` wrote, or of the packets that are left of one.

    ValueError if it is something else, or damaged.
    """
    described: dict[int, dict[str, Any]] = {}
    parts: dict[int, list[bytes]] = {}
    try:
        for kind, body in _blocks(data):
            if kind != PACKET:
                continue
            *_, captured, _ = PACKET_HEADER.unpack_from(body)
            packet = body[PACKET_HEADER.size : PACKET_HEADER.size + captured]
            for code, value in _options(body[PACKET_HEADER.size + captured + -captured % 4 :]):
                if code == CUSTOM and value.startswith(ENTERPRISE):
                    document = json.loads(value[len(ENTERPRISE) :])
                    described.setdefault(document["number"], document)
                    parts.setdefault(document["number"], []).append(packets.payload(packet))
        return [
            replace(from_json(document), data=b"".join(parts[number]))
            for number, document in sorted(described.items())
        ]
    except (KeyError, TypeError, RecursionError, struct.error, ValueError) as error:
        raise ValueError(f"Not a pcapng file of the relay: {error}") from None


def _packet(packet: Packet) -> bytes:
    """Return an Enhanced Packet Block (4.3)."""
    options = [(COMMENT, text.encode()) for text in _comments(packet.record) if packet.first]
    if packet.carries:
        options.append((CUSTOM, ENTERPRISE + _document(packet.record)))
    time = round(packet.time * 10**MICROSECONDS)
    size = len(packet.data)
    header = PACKET_HEADER.pack(packet.leg, time >> 32 & 0xFFFFFFFF, time & 0xFFFFFFFF, size, size)
    return _block(PACKET, header + packet.data + bytes(-size % 4), *options)


def _document(record: Record) -> bytes:
    """Return a record as JSON, without its data; of very many actions, the first that fit."""
    while True:
        document = json.dumps(to_json(replace(record, data=b"")), separators=(",", ":")).encode()
        if len(document) <= MAX_OPTION - len(ENTERPRISE) or not record.actions:
            return document
        record = replace(record, actions=record.actions[: len(record.actions) // 2])


def _comments(record: Record) -> Iterator[str]:
    for action in record.actions:
        draw = "" if action.draw is None else f", draw {action.draw:.4f}"
        text = f"{action.toxic}: {action.what} ({action.type}, seed {action.seed}{draw})"
        yield text.encode(errors="replace").decode()[:MAX_COMMENT]
    if record.kind == "data" and record.left is None:
        yield f"never sent on to the {'server' if record.stream == 'upstream' else 'client'}"


def _text(name: str) -> bytes:
    """Return a name as it stands in a file, where a zero byte ends it."""
    return name.encode(errors="replace").replace(b"\0", b"?")[:MAX_COMMENT]


def _block(kind: int, body: bytes, *options: tuple[int, bytes]) -> bytes:
    """Return a block (3.1)."""
    if options:
        body += b"".join(_option(code, value) for code, value in (*options, (END, b"")))
    size = HEADER.size + len(body) + 4
    return HEADER.pack(kind, size) + body + struct.pack("<I", size)


def _option(code: int, value: bytes) -> bytes:
    """Return an option, or the record of a name, which has the same form (3.5, 4.5)."""
    if len(value) > MAX_OPTION:
        raise ValueError(f"An option of {len(value)} bytes: {MAX_OPTION} are possible")
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)


def _blocks(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type and body of each block."""
    if len(data) < 12 or struct.unpack_from("<I4xI", data) != (SECTION_HEADER, BYTE_ORDER):
        raise ValueError("it does not begin with a section header in little-endian byte order")
    at = 0
    while at < len(data):
        kind, size = HEADER.unpack_from(data, at)
        if size < HEADER.size + 4 or size > len(data) - at:
            raise ValueError(f"the block at {at} has a size of {size} bytes")
        yield kind, data[at + HEADER.size : at + size - 4]
        at += size


def _options(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        code, size = struct.unpack_from("<HH", data, at)
        if code == END:
            return
        yield code, data[at + 4 : at + 4 + size]
        at += 4 + size + -size % 4
