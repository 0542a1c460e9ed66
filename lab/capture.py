"""`make capture`: the packets of a server, as they are on the interface of its container.

tcpdump runs in a container of its own, in the server's network namespace. Writing packets needs no
privilege, reading them from an interface does: it is root with one capability, CAP_NET_RAW
(packet(7)), and without any other. A user that is not root would have none of it, as
`no-new-privileges` keeps a process from gaining capabilities (capabilities(7), execve).
"""

import math
import os
import secrets
import selectors
import signal
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, BinaryIO, cast

from lab import ROOT, LabError
from lab.console import console
from lab.engine import docker, tool_image
from lab.stack import Stack

FOLDER = ROOT / "captures"
MAX_SECONDS = 3600.0
GRACE = 60  # seconds after which tcpdump ends by itself, if nobody is left to end it
# No promiscuous mode (-p). Each packet is passed on at once (--immediate-mode, -U), into a pipe: a
# terminal would change the bytes. It stays root (-Z), as the container has nobody else.
TCPDUMP = ["tcpdump", "-i", "eth0", "-p", "--immediate-mode", "-Z", "root", "-U", "-w", "-"]
CHUNK = 65536  # bytes
POLL = 0.2  # seconds


def duration_typed(text: str) -> float:
    """Return the seconds that somebody typed; LabError for what is no such time."""
    with suppress(ValueError):
        if 0 < (seconds := float(text)) <= MAX_SECONDS:
            return seconds
    raise LabError(f"SECONDS has value {text!r}. Not a number of seconds up to {MAX_SECONDS:g}")


def capture(service: str, seconds: float) -> int:
    """Write the packets of a running server to a file in `captures/`; return the exit status.

    Ends after so many seconds, or with Ctrl-C, which keeps what there is. Raises LabError that says
    why it cannot be done.
    """
    container = Stack().compose("ps", "--quiet", "--status", "running", service).stdout.strip()
    if not container:
        raise LabError(f"{service} does not run; `make ps` lists what does")
    file = FOLDER / f"{service}-{time.strftime('%Y-%m-%d-%H%M%S')}.pcap"
    with tcpdump(container, seconds) as source, opened(file) as output:
        packets = Packets()
        for data in captured(source, service, seconds, packets):
            output.write(data)
            packets.receive_data(data)
    console.print(f"{file.relative_to(ROOT)}: {packets.count} packets", soft_wrap=True)
    return 0


@contextmanager
def tcpdump(container: str, seconds: float) -> Iterator["Source"]:
    """Run tcpdump in the network namespace of a container; at the end nothing is left of it.

    Raises LabError if it does not start.
    """
    name = f"wirelab-capture-{secrets.token_hex(4)}"
    command = [
        "docker", "run", "--rm", "--name", name, "--network", f"container:{container}",
        "--user", "0:0", "--cap-drop", "ALL", "--cap-add", "NET_RAW", "--read-only",
        "--security-opt", "no-new-privileges", "--memory", "128m", "--pids-limit", "16",
        # For a host that goes down meanwhile: then this ends it.
        tool_image("tools"), "timeout", "--signal", "INT", f"{seconds + GRACE:g}", *TCPDUMP,
    ]  # fmt: skip
    # A session of its own: Ctrl-C is for this process, which then ends tcpdump in good order.
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        try:
            yield Source(process, name)
        finally:
            with suppress(LabError):  # it is gone already
                docker("rm", "--force", name)


class Source:
    """What tcpdump writes."""

    def __init__(self, process: "subprocess.Popen[bytes]", name: str) -> None:
        self._name = name
        self._output, self._errors = (
            cast("IO[bytes]", stream) for stream in (process.stdout, process.stderr)
        )
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._output, selectors.EVENT_READ)

    def read(self, seconds: float) -> bytes | None:
        """Return what comes within so many seconds, b"" at the end, None if nothing does."""
        if self._selector.select(seconds):
            return os.read(self._output.fileno(), CHUNK)
        return None

    def stop(self) -> None:
        """Have tcpdump end; what it has captured can still be read."""
        with suppress(LabError):  # it has ended
            docker("kill", "--signal", "INT", self._name)

    def errors(self) -> str:
        """Return what it said, once it has ended."""
        return self._errors.read().decode(errors="replace").strip()


def captured(source: Source, service: str, seconds: float, packets: "Packets") -> Iterator[bytes]:
    """Yield what tcpdump writes, for so many seconds or until Ctrl-C, and say how far it is."""
    with (
        interruptions() as interrupted,
        console.status(f"starting tcpdump beside {service} ...") as status,
    ):
        beginning = None  # the header of the file: from then on nothing is missed
        while beginning is None:
            beginning = source.read(POLL)
            if interrupted.is_set():
                raise KeyboardInterrupt
        if not beginning:
            raise LabError(f"tcpdump does not start beside {service}:\n{source.errors()}")
        yield beginning
        ends = time.monotonic() + seconds
        if not console.is_terminal:
            console.print(f"capturing {service} for {seconds:g} s ...")
        while (left := ends - time.monotonic()) > 0 and not interrupted.is_set():
            status.update(
                f"capturing {service}: {packets.count} packets so far, {math.ceil(left)} s left"
                " (Ctrl-C ends it)"
            )
            data = source.read(min(left, POLL))
            if data:
                yield data
            elif data == b"":
                return
        source.stop()
        while data := source.read(GRACE):
            yield data


@contextmanager
def interruptions() -> Iterator[threading.Event]:
    """Note Ctrl-C and SIGTERM, instead of raising KeyboardInterrupt in the middle of a packet."""
    noted = threading.Event()
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(each, lambda *_: noted.set()) for each in signals]
    try:
        yield noted
    finally:
        for each, handler in zip(signals, before, strict=True):
            signal.signal(each, handler)


@contextmanager
def opened(file: Path) -> Iterator[BinaryIO]:
    """Open a new file to write to, which is removed if nothing was; raises LabError."""
    try:
        file.parent.mkdir(exist_ok=True)
        with file.open("xb") as output:
            yield output
    except OSError as error:
        raise LabError(f"{file.relative_to(ROOT)} cannot be written: {error.strerror}") from None
    finally:
        if file.exists() and not file.stat().st_size:
            file.unlink()


class Packets:
    """Counts the packets in a pcap file that is being written (draft-ietf-opsawg-pcap, 4 and 5)."""

    def __init__(self) -> None:
        self.count = 0
        self._next = 24  # bytes to the next packet's header: those of the file's header
        self._rest = b""

    def receive_data(self, data: bytes) -> None:
        """Take the next bytes of the file."""
        data = self._rest + data
        while len(data) >= self._next + 16:
            (size,) = struct.unpack_from("=8xI", data, self._next)
            data = data[self._next :]
            self._next = 16 + size
            self.count += 1
        self._rest = data
