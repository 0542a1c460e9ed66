"""Sends a UDP datagram with a forged source: `spoof FROM TO SIZE`, ports on loopback.

What is sent is SIZE times the letter x. Only root may, or who has CAP_NET_RAW: raw(7).
"""

import socket
import struct
import sys


def datagram(source: int, destination: int, data: bytes) -> bytes:
    """Return a UDP datagram with its header (RFC 768); a checksum of 0 means that there is none."""
    return struct.pack("!HHHH", source, destination, 8 + len(data), 0) + data


if __name__ == "__main__":
    source, destination, size = map(int, sys.argv[1:])
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as raw:
        raw.sendto(datagram(source, destination, b"x" * size), ("127.0.0.1", 0))
