"""TCP echo: send bytes, and receive what comes back, at the same time."""

import selectors
import socket

from clients.addresses import Address

SERVICE = "tcp-echo"


def echo(address: Address, data: bytes, timeout: float = 5.0) -> bytes:
    """Send `data`, then FIN, and return all that comes back until the server closes too.

    Both directions go on at once. A client that first sends everything and only then reads
    waits for ever once both sides' socket buffers are full: the server stops reading because
    nobody takes what it sends. Raises TimeoutError when nothing moves for `timeout` seconds.
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
                    connection.shutdown(socket.SHUT_WR)
                    selector.modify(connection, selectors.EVENT_READ)
            if events & selectors.EVENT_READ:
                chunk = connection.recv(64 * 1024)
                if not chunk:
                    return bytes(received)
                received += chunk
