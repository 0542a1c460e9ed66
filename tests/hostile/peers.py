"""Clients that will vanish: they connect to 127.0.0.1:20000 and wait to be killed.

Half of them are silent, half have sent all that is taken and read nothing.
"""

import signal
import socket
from contextlib import suppress

COUNT = 50
FIRST_PORT = 21000  # of theirs; below those that the kernel gives to others


def connected(port: int) -> socket.socket:
    """Connect from a port, and have a byte echoed."""
    peer = socket.socket()
    peer.bind(("127.0.0.1", port))
    peer.settimeout(10)
    peer.connect(("127.0.0.1", 20000))
    peer.sendall(b"x")
    peer.recv(1)
    return peer


if __name__ == "__main__":
    peers = [connected(FIRST_PORT + number) for number in range(COUNT)]
    for peer in peers[: COUNT // 2]:
        peer.settimeout(0.05)
        with suppress(TimeoutError):
            while True:
                peer.sendall(bytes(256 * 1024))
    print("ready")
    signal.pause()
