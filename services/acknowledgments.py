"""TCP's acknowledgments: those that we send, and those that we wait for."""

import fcntl
import socket
import sys
import termios


def acknowledge(client: socket.socket) -> None:
    """Have the kernel acknowledge at once what was received, where no answer does that for now.

    It waits up to 40 ms for an answer to go with (delayed ACK), and a client that writes a message
    in two parts waits for that ACK before it sends the second one (Nagle's algorithm). The option
    is not permanent, and has to be set each time (tcp(7), TCP_QUICKACK).
    """
    if client.family != socket.AF_UNIX:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def in_kernel(descriptor: int) -> int:
    """Return how many bytes that were sent have not arrived: tcp(7), SIOCOUTQ; 0 if closed."""
    try:
        size = fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4))  # the same number
    except OSError:  # asyncio closes a socket before its coroutine is told
        return 0
    return int.from_bytes(size, sys.byteorder)
