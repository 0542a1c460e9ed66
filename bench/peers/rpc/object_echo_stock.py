"""The standard library's client of object-echo, as the recipe has it.

It leaves Nagle's algorithm on, and writes the last message of the handshake just before the first
request, and a message of more than 16 KiB in two pieces. The kernel keeps the second of two small
writes until the first is acknowledged, and the server's kernel delays that for 40 ms, unless the
server has set TCP_QUICKACK (tcp(7)).

With 256 KiB most of its time is that of page faults, nearly 100 for each message. The C library
returns the memory of a message to the kernel, and gets it back for the next one. Our client keeps
it (services/memory.py), and this one is about as fast if MALLOC_TRIM_THRESHOLD_ and
MALLOC_MMAP_THRESHOLD_ (mallopt(3)) are set to more than a message has.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Client
from typing import cast

from bench.peers.rpc import Functions, missing
from services.connection.authkey import authkey


@contextmanager
def connect(address: tuple[str, int]) -> Iterator[Functions]:
    """Lend `echo`; this server has no other function."""
    with Client(address, authkey=authkey()) as connection:

        def echo(data: bytes) -> bytes:
            connection.send(data)
            return cast("bytes", connection.recv())

        yield Functions(missing, echo, missing)
