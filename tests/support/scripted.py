"""An HTTP server that answers as a test tells it, right or wrong."""

import socketserver
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from clients.addresses import Address
from tests.support.sockets import LOOPBACK, in_a_thread

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nfine"
BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
NOTHING = b""  # the connection is closed without an answer


@dataclass
class Scripted:
    """Where it is, and what it has been asked."""

    address: Address
    requests: list[bytes] = field(default_factory=list)

    @property
    def base(self) -> str:
        """Its base URL."""
        return f"http://{self.address}"


@contextmanager
def scripted(*answers: bytes) -> Iterator[Scripted]:
    """Run a server that gives each request the next answer, and the last one from then on."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            head = b""
            while (line := self.rfile.readline()) not in (b"\r\n", b""):
                head += line
            script.requests.append(head)
            self.wfile.write(answers[min(len(script.requests), len(answers)) - 1])

    with socketserver.TCPServer((LOOPBACK, 0), Handler) as server:
        script = Scripted(Address(LOOPBACK, server.server_address[1]))
        with in_a_thread(server):
            yield script
