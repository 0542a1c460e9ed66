"""IP packets with TCP segments and UDP datagrams in them, as bytes, with correct checksums.

They are made for a file that Wireshark reads, and nobody sends them. So there is one packet for
what was received or sent at once, as large as IP allows, and no fragments.
"""

import struct
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

TCP, UDP = 6, 17  # protocol numbers (RFC 9293, 3.1; RFC 768)
FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10  # flags (RFC 9293, 3.1)

IP_HEADER = {4: struct.Struct("!BBHHHBBH4s4s"), 6: struct.Struct("!IHBB16s16s")}
TCP_HEADER = struct.Struct("!HHIIBBHHH")
UDP_HEADER = struct.Struct("!HHHH")

DONT_FRAGMENT = 0x4000  # a flag of IPv4 (RFC 791, 3.1)
TTL = 64
WINDOW = 0xFFFF
MAX_PACKET = 0xFFFF  # bytes, for both versions; of IPv6, without its header
MAX_SEGMENT = MAX_PACKET - IP_HEADER[4].size - TCP_HEADER.size  # bytes of data
MAX_DATAGRAM = {4: MAX_PACKET - IP_HEADER[4].size - UDP_HEADER.size, 6: MAX_PACKET - 8}

# In a SYN: maximum segment size (RFC 9293, 3.2), selective acknowledgments permitted (RFC 2018, 2),
# a window scale of 7 (RFC 7323, 2.2), padding.
SYN_OPTIONS = struct.pack("!BBH BB BBB BBB", 2, 4, MAX_SEGMENT, 4, 2, 3, 3, 7, 1, 1, 1)


class Endpoint(NamedTuple):
    """An address and a port; both ends of a packet have the same version of IP."""

    address: IPv4Address | IPv6Address
    port: int


def tcp(
    source: Endpoint,
    destination: Endpoint,
    flags: int,
    sequence: int,
    acknowledged: int,
    data: bytes,
) -> bytes:
    """Return a packet with a TCP segment (RFC 9293, 3.1); the numbers are taken modulo 2**32."""
    options = SYN_OPTIONS if flags & SYN else b""

    def segment(checksum: int) -> bytes:
        header = TCP_HEADER.pack(
            source.port,
            destination.port,
            sequence % 2**32,
            acknowledged % 2**32 if flags & ACK else 0,
            (TCP_HEADER.size + len(options)) // 4 << 4,
            flags,
            0 if flags & RST else WINDOW,
            checksum,
            0,
        )
        return header + options + data

    return _ip(source, destination, TCP, segment(_checksum(source, destination, TCP, segment(0))))


def udp(source: Endpoint, destination: Endpoint, data: bytes) -> bytes:
    """Return a packet with a UDP datagram (RFC 768); ValueError if IP has no room for it."""
    most = MAX_DATAGRAM[source.address.version]
    if len(data) > most:
        raise ValueError(f"A datagram of {len(data)} bytes: IP has room for {most}")

    def datagram(checksum: int) -> bytes:
        size = UDP_HEADER.size + len(data)
        return UDP_HEADER.pack(source.port, destination.port, size, checksum) + data

    # 0 says that there is no checksum; a sum of 0 is sent as its other form.
    checksum = _checksum(source, destination, UDP, datagram(0)) or 0xFFFF
    return _ip(source, destination, UDP, datagram(checksum))


def payload(packet: bytes) -> bytes:
    """Return the data in a packet that `tcp` or `udp` made; ValueError if it is none."""
    try:
        version = packet[0] >> 4
        at = IP_HEADER[version].size
        protocol = packet[9] if version == 4 else packet[6]
        header = (packet[at + 12] >> 4) * 4 if protocol == TCP else UDP_HEADER.size
    except LookupError:
        raise ValueError("Not an IP packet with TCP or UDP in it") from None
    return packet[at + header :]


def _ip(source: Endpoint, destination: Endpoint, protocol: int, data: bytes) -> bytes:
    """Put an IPv4 (RFC 791, 3.1) or IPv6 header (RFC 8200, 3) in front of `data`."""
    ends = source.address.packed, destination.address.packed
    if source.address.version == 6:
        return IP_HEADER[6].pack(6 << 28, len(data), protocol, TTL, *ends) + data
    size = IP_HEADER[4].size + len(data)

    def header(checksum: int) -> bytes:
        return IP_HEADER[4].pack(0x45, 0, size, 0, DONT_FRAGMENT, TTL, protocol, checksum, *ends)

    return header(_sum(header(0))) + data


def _checksum(source: Endpoint, destination: Endpoint, protocol: int, data: bytes) -> int:
    """Return the checksum of TCP and UDP (RFC 9293, 3.1), which covers the addresses.

    IPv4's pseudo-header has smaller fields than IPv6's (RFC 8200, 8.1), with the same sum.
    """
    ends = source.address.packed + destination.address.packed
    return _sum(ends + struct.pack("!II", len(data), protocol) + data)


def _sum(data: bytes) -> int:
    """Return the Internet checksum: the complement of the one's complement sum (RFC 1071)."""
    # 2**16 is 1 modulo 0xFFFF, so the remainder of one large number is the sum of its halfwords.
    words = int.from_bytes(data + bytes(len(data) % 2), "big")
    return 0xFFFF - (words % 0xFFFF or 0xFFFF)
