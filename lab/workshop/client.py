"""A client that a check is made with: it records what passes, and says how it was disappointed."""

import select
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from clients.addresses import Address
from services.wire.record import Kind, Protocol, Record, Stream

MAX_FLOOD = 32 * 1024 * 1024  # bytes: more than all buffers of the kernel between two programs
NO_LINGER = b"\1\0\0\0\0\0\0\0"  # socket(7), SO_LINGER with a linger time of 0: close() resets
NARROW_BUFFER = 4096  # bytes
NARROW_SEGMENT = 512  # bytes of data; the default is 536 (RFC 9293, 3.7.1)


class Failed(Exception):
    """A check has failed: `kind` names the sentences for it, and the figures fill them.

    Without a kind they are the check's own. A kind is one that messages.toml has for that check,
    or one of words.toml, which are for all checks.
    """

    def __init__(self, kind: str = "", /, **figures: object) -> None:
        super().__init__(kind, figures)
        self.kind, self.figures = kind, figures


@dataclass
class Recording:
    """What has passed on one connection, for a picture.

    Notes are texts with their times; `lines` stand below the picture, such as the opcodes of what
    was sent.
    """

    number: int
    service: str
    protocol: Protocol = "tcp"
    records: list[Record] = field(default_factory=list)
    notes: list[tuple[float, str]] = field(default_factory=list)
    left: bool = False  # whether the client has closed: it sees nothing of what comes then
    lines: list[str] = field(default_factory=list)
    sent: dict[Stream, int] = field(default_factory=dict)  # bytes, or datagrams, by direction
    # Or "relay", or "server"; or "rate": of all connections, to count them; or "timeline", where
    # the notes say who leads.
    by: str = "client"
    step: float = 0.25  # seconds of one bar, of a rate

    def add(self, kind: Kind, stream: Stream, client: str, server: str, data: bytes = b"") -> None:
        """Record what passes now."""
        now = time.time()
        offset = self.sent.get(stream, 0)
        self.sent[stream] = offset + (len(data) if self.protocol == "tcp" else kind == "data")
        self.records.append(
            Record(
                number=len(self.records),
                proxy=self.service,
                protocol=self.protocol,
                connection=self.number,
                kind=kind,
                stream=stream,
                offset=offset,
                data=data,
                arrived=now,
                left=now,
                client=client,
                server=server,
            )
        )


class Client:
    """A TCP connection to the participant's server. All that waits, waits `patience` seconds.

    What the server does other than it should raises Failed: `refused`, `not_connected`,
    `no_answer`, `closed`, `reset` or `wrong`. A `narrow` one has so little room, in its receive
    buffer and in its segments, that what it does not read stays with the server.
    """

    def __init__(
        self, address: Address, patience: float, recording: Recording, *, narrow: bool = False
    ) -> None:
        self.patience = patience
        self.recording = recording
        self._ended = False
        try:
            self.socket = (connect_narrow if narrow else socket.create_connection)(
                address, patience
            )
        except (ConnectionRefusedError, ConnectionResetError):  # it ends, or has ended
            raise Failed("refused", address=address) from None
        except TimeoutError:
            raise Failed("not_connected", address=address, waited=patience) from None
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._names = Address(*self.socket.getsockname()[:2]), address
        self._record("open", "upstream")

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def send(self, data: bytes) -> None:
        """Send all of it."""
        with self._disappointed(b"", 0):
            self.socket.sendall(data)
        self._record("data", "upstream", data)

    def receive(self, count: int) -> bytes:
        """Return exactly so many bytes."""
        received = bytearray()
        deadline = time.monotonic() + self.patience
        while len(received) < count:
            with self._disappointed(received, count):
                self.socket.settimeout(max(0.001, deadline - time.monotonic()))
                chunk = self.socket.recv(count - len(received))
            self._received(chunk)
            if not chunk:
                raise Failed("closed", got=bytes(received), count=len(received), wanted=count)
            received += chunk
        return bytes(received)

    def rest(self) -> bytes:
        """Return all up to the end of the stream (FIN)."""
        received = bytearray()
        deadline = time.monotonic() + self.patience
        while True:
            with self._disappointed(received, len(received)):
                self.socket.settimeout(max(0.001, deadline - time.monotonic()))
                chunk = self.socket.recv(64 * 1024)
            self._received(chunk)
            if not chunk:
                return bytes(received)
            received += chunk

    def ask(self, data: bytes, wanted: bytes) -> float:
        """Send, and return after how many seconds the wanted answer had come."""
        began = time.monotonic()
        self.send(data)
        got = self.receive(len(wanted))
        if got != wanted:
            raise Failed("wrong", asked=data, wanted=wanted, got=got)
        return time.monotonic() - began

    def ends(self, seconds: float) -> bool:
        """Whether the server sends its FIN, or RST, within so long; other bytes are dropped."""
        deadline = time.monotonic() + seconds
        with suppress(Failed):
            while not self.silent(max(0.0, deadline - time.monotonic())):
                with self._disappointed(b"", 0):
                    chunk = self.socket.recv(64 * 1024)
                self._received(chunk)
                if not chunk:
                    return True
            return False
        return True

    def flood(self, most: int = MAX_FLOOD) -> int:
        """Send without reading until nothing more is taken, or `most` bytes; return how many."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.setblocking(False)
        chunk = bytes(64 * 1024)
        sent = 0
        with self._disappointed(b"", 0):
            while sent < most and select.select([], [self.socket], [], 0.5 * self.patience)[1]:
                sent += self.socket.send(chunk)
        self.socket.settimeout(self.patience)
        return sent

    def silent(self, seconds: float) -> bool:
        """Whether nothing comes for so long, neither bytes nor an end."""
        return not select.select([self.socket], [], [], seconds)[0]

    def finish(self) -> None:
        """Send FIN, and stay to receive (half-close)."""
        if not self._ended:
            self._ended = True
            with self._disappointed(b"", 0):
                self.socket.shutdown(socket.SHUT_WR)
            self._record("fin", "upstream")

    def close(self) -> None:
        """Close: a FIN; with bytes that nobody has received, the kernel sends RST instead."""
        if self.socket.fileno() < 0:
            return
        if not self._ended:
            self._ended = self.recording.left = True
            self._record("fin", "upstream")
        self.socket.close()

    def reset(self) -> None:
        """Close with RST."""
        self._ended = True
        self._record("reset", "upstream")
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        self.socket.close()

    def note(self, text: str) -> None:
        """Write a text into the picture, at this moment."""
        self.recording.notes.append((time.time(), text))

    def _received(self, chunk: bytes) -> None:
        self._record("data" if chunk else "fin", "downstream", chunk)

    def _record(self, kind: Kind, stream: Stream, data: bytes = b"") -> None:
        client, server = self._names
        self.recording.add(kind, stream, str(client), str(server), data)

    @contextmanager
    def _disappointed(self, received: bytes | bytearray, wanted: int) -> Iterator[None]:
        """Make Failed of what goes wrong while it waits."""
        figures = {"got": bytes(received), "count": len(received), "wanted": wanted}
        try:
            yield
        except TimeoutError:
            raise Failed("no_answer", waited=self.patience, **figures) from None
        except (ConnectionResetError, BrokenPipeError):
            with suppress(OSError):
                self._record("reset", "downstream")
            raise Failed("reset", **figures) from None


def connect_narrow(address: Address, patience: float) -> socket.socket:
    """Connect with the least room; the server's send buffer grows no further than that allows."""
    family, *_, where = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0]
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.settimeout(patience)
        # Both before the handshake, which says them to the server: tcp(7).
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, NARROW_BUFFER)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, NARROW_SEGMENT)
        made.connect(where)
    except OSError:
        made.close()
        raise
    return made
