"""Keeps one value: a line `set VALUE` or `get` gets an answer, over TCP and over UDP."""

import socketserver
import threading
from typing import ClassVar


class Cache:
    """What is kept, and the answer to one line."""

    kept: ClassVar[bytes] = b"nothing"

    def handle(self) -> None:
        """Answer the line that was sent."""
        words = self.rfile.readline().split()
        if words:  # the health check says nothing
            print("asked to", *words)
        if words[:1] == [b"set"]:
            Cache.kept = words[1]
        self.wfile.write(Cache.kept)


class Stream(Cache, socketserver.StreamRequestHandler):
    """In a connection."""


class Datagram(Cache, socketserver.DatagramRequestHandler):
    """In a datagram."""


if __name__ == "__main__":
    datagrams = socketserver.UDPServer(("", 8000), Datagram)
    threading.Thread(target=datagrams.serve_forever, daemon=True).start()
    socketserver.ThreadingTCPServer(("", 8000), Stream).serve_forever()
