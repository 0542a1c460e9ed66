"""Sockets of clients: connected, read exactly, reset; and ports on which nobody listens."""

import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from socketserver import BaseServer
from threading import Thread
from typing import TypeVar

from clients.addresses import Address
from tests.support.pace import FAR

LOOPBACK = "127.0.0.1"
S = TypeVar("S", bound=BaseServer)


def connect(where: Address | str, seconds: float = FAR) -> socket.socket:
    """Connect to an address or a UNIX socket's path; later calls fail rather than wait for ever."""
    if not isinstance(where, str):
        return socket.create_connection(where, seconds)
    stream = socket.socket(socket.AF_UNIX)
    stream.settimeout(seconds)
    stream.connect(where)
    return stream


def receive(connection: socket.socket, count: int) -> bytes:
    """Return the next `count` bytes, or fewer where the stream ends before."""
    received = bytearray()
    while len(received) < count and (chunk := connection.recv(count - len(received))):
        received += chunk
    return bytes(received)


def rest_of(connection: socket.socket) -> bytes:
    """Return all bytes up to the end of the stream."""
    return b"".join(iter(lambda: connection.recv(64 * 1024), b""))


def unanswered(*connections: socket.socket) -> bool:
    """Whether nothing comes on any of these connections for a while."""
    return not select.select(connections, [], [], 0.3)[0]


def reset(connection: socket.socket) -> None:
    """Close with RST rather than FIN: socket(7), SO_LINGER with a linger time of 0."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()


@contextmanager
def closed_port() -> Iterator[Address]:
    """Lend a TCP port on which nobody listens, and nobody else can either."""
    with socket.socket() as holder:
        holder.bind((LOOPBACK, 0))
        yield Address(*holder.getsockname())


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on.

    They are none that the kernel gives to clients (32768 and up: ip(7), ip_local_port_range): a
    client that calls a server which is down could get the server's port, and reach itself.
    """
    found: list[int] = []
    for port in Random().sample(range(21000, 32000), 100):  # noqa: S311 - to be unlike other runs
        with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagram:
            if stream.connect_ex((LOOPBACK, port)) and not bind(datagram, port):
                found.append(port)
    return found[:count]


def bind(probe: socket.socket, port: int) -> OSError | None:
    """Bind a socket, and return what is wrong if that cannot be."""
    try:
        probe.bind((LOOPBACK, port))
    except OSError as error:
        return error
    return None


@contextmanager
def in_a_thread(server: S) -> Iterator[S]:
    """Run a server of the standard library beside the test."""
    with server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
