"""One direction of a TCP connection: what comes from one socket is sent to the other.

Raw sockets on asyncio's event loop, since each half of a connection has a life of its own: FIN is
passed on as FIN while the other direction goes on, and RST as RST. Without a toxic there is no
timer and no queue: what was received is sent at once, and only if the kernel does not take all of
it, nothing more is received until it has.
"""

import asyncio
import socket
from collections.abc import Callable

from services.acknowledgments import acknowledge
from services.relay.flow import Flow
from services.relay.toxics import Piece

CHUNK = 64 * 1024  # bytes, of one recv() and of each of the kernel's buffers


class Direction(Flow):
    """One direction of a connection: from its source to its target."""

    source: socket.socket
    target: socket.socket
    other: "Direction"
    reading = writing = finished = ended = False  # the last two: FIN was received, was sent
    sent = 0  # bytes of the piece that is being sent

    def start(
        self, source: socket.socket, target: socket.socket, other: "Direction",
        finish: Callable[..., None],
    ) -> None:  # fmt: skip
        """Receive and send from now on; `finish` ends the connection."""
        self.loop = asyncio.get_running_loop()
        self.source, self.target, self.other, self.finish = source, target, other, finish
        self.begin()

    def was_reset(self) -> None:
        """Pass a RST on; if something is being received, recv() reports it in its place."""
        if self.begun and not self.reading:
            self.finish("reset", self)

    def receivable(self) -> None:
        """Receive what there is, for it to be sent."""
        try:
            data = self.source.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            self.finish("reset", self)
            return
        # A client may have sent a part of its request, and wait for an ACK with the rest. The
        # servers do not (TCP_NODELAY), and an ACK costs as much as a small message.
        if self.stream == "upstream":
            acknowledge(self.source)
        self.finished = not data
        self.receive(data, "data" if data else "fin")

    def send(self, piece: Piece) -> bool:
        """Send a piece, as far as the kernel takes it."""
        try:
            if piece.kind == "data":
                self.sent += self.target.send(piece.data[self.sent :] if self.sent else piece.data)
                self.sent %= len(piece.data)
                return not self.sent
            if piece.kind == "fin":
                self.target.shutdown(socket.SHUT_WR)
                self.ended = True
                return True
            self.finish(piece.kind, self, piece)
        except BlockingIOError:
            pass
        except OSError:
            self.finish("reset", self.other)
        return False

    def arrange(self) -> None:
        """Receive if there is room for it, and wait for room if something is due."""
        if self.ended and self.other.ended:
            self.finish("close", self)
            return
        if self.reading != (reading := self.may_receive and not self.finished):
            self.reading = reading
            if reading:
                self.loop.add_reader(self.source, self.receivable)
            else:
                self.loop.remove_reader(self.source)
        if self.writing != self.blocked:
            self.writing = self.blocked
            if self.blocked:
                self.loop.add_writer(self.target, self.pump)
            else:
                self.loop.remove_writer(self.target)

    def stop(self) -> None:
        """Receive and send nothing more."""
        self.end()
        if self.reading:
            self.loop.remove_reader(self.source)
        if self.writing:
            self.loop.remove_writer(self.target)
