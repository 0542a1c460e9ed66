"""Wireshark without its window, in a container, with the lab's plugin; and files for it to read."""

import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hmac import digest
from multiprocessing import connection
from typing import Any

import docker
from docker.models.containers import Container

from lab import ROOT
from lab.engine import tool_image
from services.connection import frames
from services.connection.protocol import Answer, Limits, Protocol
from services.wire.record import Record, Stream

PLUGIN = ROOT / "services" / "wire" / "wirelab.lua"
KEY = b"k" * 32
SERVERS = {
    "rpc": "172.18.0.3:17000", "object-echo": "172.18.0.4:25000", "udp-time": "172.18.0.5:20000",
}  # fmt: skip
MEMORY = "1g"  # without swap: what takes more is killed
# Not checked by default, since a kernel may leave them to its network card.
CHECKSUMS = [
    word for name in ("ip", "tcp", "udp") for word in ("-o", f"{name}.check_checksum:TRUE")
]


class Tshark:
    """Reads files with tshark."""

    def __init__(self, container: Container) -> None:
        self._container = container

    def run(self, file: bytes, *arguments: str) -> str:
        """Return what tshark prints of a file; it complains of nothing."""
        plugin = ["-X", "lua_script:/wirelab.lua"]
        command = ["tshark", "-r", "-", *plugin, *CHECKSUMS, *arguments]
        done = subprocess.run(
            ["docker", "exec", "-i", str(self._container.id), *command],
            input=file,
            capture_output=True,
            check=False,
            timeout=100,
        )
        said = done.stderr.decode()
        assert (done.returncode, said) == (0, ""), said
        return done.stdout.decode()

    def fields(
        self, file: bytes, shown: str, *fields: str, more: Iterable[str] = ()
    ) -> list[list[list[str]]]:
        """Return for each packet that is `shown` (a display filter) the values of each field.

        `more` are further options.
        """
        chosen = [word for field in fields for word in ("-e", field)]
        form = ["-T", "fields", "-E", "aggregator=\x1f", "-E", "escape=n"]
        printed = self.run(file, "-Y", shown, *form, *chosen, *more)
        return [
            [value.split("\x1f") if value else [] for value in line.split("\t")]
            for line in printed.splitlines()
        ]


@contextmanager
def running(engine: docker.DockerClient) -> Iterator[Tshark]:
    """Run a container that tshark is started in; it has no network, and nobody's rights."""
    container = engine.containers.run(
        tool_image("tshark"),
        ["sleep", "infinity"],
        detach=True,
        init=True,
        network_mode="none",
        cap_drop=["ALL"],
        read_only=True,
        mem_limit=MEMORY,
        memswap_limit=MEMORY,
        tmpfs={"/tmp": "mode=1777"},  # noqa: S108 - in the container
        environment={"HOME": "/tmp"},  # noqa: S108
        security_opt=["no-new-privileges"],
        volumes={str(PLUGIN): {"bind": "/wirelab.lua", "mode": "ro"}},
        labels={"wirelab.test": "interop"},
    )
    try:
        yield Tshark(container)
    finally:
        container.remove(force=True, v=True)


class Recorder:
    """Makes records, as the relay does, of what a test says has passed."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.now = 1_800_000_000.0
        self._offsets: dict[tuple[str, int, Stream], int] = {}

    def add(
        self, proxy: str, number: int, kind: str, stream: Stream, data: bytes = b"", **other: Any
    ) -> None:
        """Note something of a connection, which passes the relay in half a millisecond."""
        self.now += 0.001
        offset = self._offsets.get((proxy, number, stream), 0)
        udp = proxy == "udp-time"
        self._offsets[proxy, number, stream] = offset + (1 if udp else len(data))
        values = {
            "number": len(self.records), "proxy": proxy, "protocol": "udp" if udp else "tcp",
            "connection": number, "kind": kind, "stream": stream, "offset": offset, "data": data,
            "arrived": self.now, "left": self.now + 0.0005,
            "client": f"172.18.0.9:{10_000 + number}", "server": SERVERS[proxy], "actions": (),
        }  # fmt: skip
        self.records.append(Record(**{**values, **other}))

    def open(self, proxy: str, number: int) -> None:
        """Note that a client has connected."""
        self.add(proxy, number, "open", "upstream")

    def close(self, proxy: str, number: int) -> None:
        """Note that both sides have ended the connection."""
        self.add(proxy, number, "fin", "upstream")
        self.add(proxy, number, "fin", "downstream")


class Client:
    """The end of a connection of multiprocessing, without a socket: a server's protocol answers."""

    def __init__(self, recorder: Recorder, proxy: str, number: int, answer: Answer) -> None:
        self._note = recorder.add
        self._of = proxy, number
        self._received = b""
        self._server = Protocol("test", KEY, answer, Limits())
        recorder.open(proxy, number)
        self._answer()

    def send(self, *messages: bytes) -> None:
        """Send messages at once."""
        data = b"".join(map(frames.encode, messages))
        for at in range(0, len(data), 100_000):  # as large as what a relay may receive at once
            self._note(*self._of, "data", "upstream", data[at : at + 100_000])
            self._server.receive_data(data[at : at + 100_000])
            if self._server.needs:
                self._server.reserve()
            self._answer()
        while self._server.queued:
            self._server.resume()
            self._answer()

    def _answer(self) -> None:
        data = bytes(self._server.data_to_send())
        self._server.sent(len(data))
        self._received += data
        if data:
            self._note(*self._of, "data", "downstream", data)

    def receive(self) -> bytes:
        """Return the next message."""
        (size,) = frames.HEADER.unpack_from(self._received)
        message = self._received[4 : 4 + size]
        self._received = self._received[4 + size :]
        return message

    # What multiprocessing's functions of the handshake call.
    def send_bytes(self, message: bytes) -> None:
        """Send one."""
        self.send(message)

    def recv_bytes(self, _maximum: int) -> bytes:
        """Return the next message."""
        return self.receive()

    def shake_hands(self) -> None:
        """Authenticate as the Python that runs the tests does: 3.11 has no names of digests."""
        connection.answer_challenge(self, KEY)  # type: ignore[arg-type]
        connection.deliver_challenge(self, KEY)  # type: ignore[arg-type]

    def shake_hands_with(self, name: bytes, challenge: bytes) -> None:
        """Authenticate with a digest of this name, and a challenge; none: MD5 without its name."""
        prefix = b"{%b}" % name if name else b""
        asked = self.receive().removeprefix(b"#CHALLENGE#")
        self.send(prefix + digest(KEY, asked, name.decode() or "md5"))
        assert self.receive() == b"#WELCOME#"
        self.send(b"#CHALLENGE#" + prefix + challenge)
        self.receive()
        self.send(b"#WELCOME#")
