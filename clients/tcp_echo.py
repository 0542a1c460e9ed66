"""TCP echo: send bytes, and take what comes back at the same time."""

import os
import selectors
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from clients.addresses import Address
from clients.checks import Check, expect

if TYPE_CHECKING:
    import argparse

    from clients.client import Ask

SERVICE = "tcp-echo"


def echo(address: Address, data: bytes, timeout: float = 5.0) -> bytes:
    """Send `data`, then FIN, and return all that comes back until the server closes too.

    Both directions go on at once. A client that first sends everything and only then reads
    waits for ever once the socket buffers of both sides are full: the server stops reading
    because nobody takes what it sends. Raises TimeoutError when nothing moves for `timeout`
    seconds, and ConnectionError when the connection breaks.
    """
    received = bytearray()
    unsent = memoryview(data)
    with (
        socket.create_connection(address, timeout) as connection,
        selectors.DefaultSelector() as selector,
    ):
        connection.setblocking(False)
        selector.register(connection, selectors.EVENT_READ | selectors.EVENT_WRITE)
        while True:
            ready = selector.select(timeout)
            if not ready:
                raise TimeoutError(f"{len(received)} of {len(data)} bytes came back, then nothing")
            _, events = ready[0]
            if events & selectors.EVENT_WRITE:
                unsent = unsent[connection.send(unsent) :]
                if not unsent:
                    with suppress(OSError):  # the connection has just broken: reading says how
                        connection.shutdown(socket.SHUT_WR)
                    selector.modify(connection, selectors.EVENT_READ)
            if events & selectors.EVENT_READ:
                chunk = connection.recv(64 * 1024)
                if not chunk:
                    return bytes(received)
                received += chunk


def exchange(address: Address, data: bytes, timeout: float = 5.0) -> bytes:
    """Send `data` and return as many bytes as it has, with the connection still open."""
    with socket.create_connection(address, timeout) as connection:
        return returned(connection, data)


def returned(connection: socket.socket, data: bytes) -> bytes:
    """Send `data` on a connection and return as many bytes as it has."""
    connection.sendall(data)
    received = b""
    while len(received) < len(data):
        chunk = connection.recv(8192)
        if not chunk:
            raise ConnectionError(f"closed after {len(received)} of {len(data)} bytes")
        received += chunk
    return received


@contextmanager
def conversation(address: Address, timeout: float) -> "Iterator[Ask]":
    """Connect; lend a function that has a word echoed, as a line, in either case of letters."""
    with socket.create_connection(address, timeout) as connection:

        def ask(word: str) -> None:
            line = f"{word}\n".encode()
            expect("the echo", returned(connection, line).lower(), line.lower())

        yield ask


def health(address: Address, timeout: float) -> None:
    """Have a few bytes echoed, in either case of letters (`ECHO_TRANSFORM`)."""
    expect("the echo", exchange(address, b"Healthy?\n", timeout).lower(), b"healthy?\n")


def check_hello(address: Address) -> None:
    """Hold the server to a few bytes and a connection that stays open."""
    expect("the echo of b'HELLO'", exchange(address, b"HELLO"), b"HELLO")


def check_volume(address: Address) -> None:
    """Hold the server to many bytes, more than any socket buffer takes."""
    data = os.urandom(4 * 1024 * 1024).upper()
    expect("4 MiB, sent and received at once, are the same", echo(address, data) == data, True)


def check_many(address: Address) -> None:
    """Hold the server to many connections that are open at once."""
    with ExitStack() as opened:
        connections = [
            opened.enter_context(socket.create_connection(address, 5)) for _ in range(50)
        ]
        for number, connection in enumerate(connections):
            connection.sendall(b"%02d" % number)
        for number, connection in reversed(list(enumerate(connections))):
            expect(f"the echo on connection {number}", connection.recv(16), b"%02d" % number)


CHECKS = (
    Check("the bytes come back", check_hello),
    Check("4 MiB come back while more is sent", check_volume),
    Check("50 connections at once", check_many),
)


def configure(parser: "argparse.ArgumentParser") -> None:
    """Describe the subcommand's arguments."""
    parser.epilog = (
        "try:\n  clients tcp-echo hello\n  yes | head -c 100000000 | clients tcp-echo | wc -c"
    )
    parser.add_argument(
        "text", nargs="*", help="what to send, as UTF-8; without it, standard input is sent"
    )


def command(options: "argparse.Namespace", address: Address) -> None:
    """Send the text, or standard input, and write what comes back."""
    text = os.fsencode(" ".join(options.text) + "\n")
    data = text if options.text else sys.stdin.buffer.read()
    received = echo(address, data, options.timeout)
    sys.stdout.buffer.write(received)
    if len(received) < len(data):
        raise ConnectionError(f"the server has closed after {len(received)} of {len(data)} bytes")
