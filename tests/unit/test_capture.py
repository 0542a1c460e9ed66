"""What `make capture` does without an engine: it counts packets, and can be interrupted."""

import signal
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab import LabError, capture
from tests.support.processes import beside


@pytest.mark.parametrize("text", ["x", "nan", "0", "-1", "3601", ""])
def test_a_time_that_is_none_is_named(text: str) -> None:
    """By the word that was typed."""
    with pytest.raises(LabError, match=f"SECONDS has value '{text}'. Not a number of seconds up"):
        capture.duration_typed(text)


@pytest.mark.parametrize("step", [1, 7, 16, 1000])
def test_packets_are_counted_however_they_arrive(step: int) -> None:
    """A packet counts as soon as its header is there, with none of its bytes or all."""
    file = bytes(24) + b"".join(
        struct.pack("=IIII", 0, 0, size, size) + bytes(size) for size in (0, 1, 60, 1500)
    )
    packets = capture.Packets()
    for at in range(0, len(file), step):
        packets.receive_data(file[at : at + step])
    assert packets.count == 4


@contextmanager
def source_of(script: str) -> Iterator[capture.Source]:
    """Lend what a shell script writes, in place of tcpdump."""
    with beside(["sh", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        yield capture.Source(process, "wirelab-capture-none")


def test_ctrl_c_before_tcpdump_has_started() -> None:
    """There is nothing to keep, and nothing more is waited for."""
    interrupts = "while kill -INT $PPID; do sleep 0.05; done"
    before = signal.signal(signal.SIGINT, lambda *_: None)  # until `captured` has its own
    try:
        with pytest.raises(KeyboardInterrupt), source_of(interrupts) as source:
            list(capture.captured(source, "rest", 60, capture.Packets()))
    finally:
        signal.signal(signal.SIGINT, before)


def test_tcpdump_that_does_not_start() -> None:
    """The error has what it said."""
    with (
        source_of("echo no such device >&2") as source,
        pytest.raises(LabError, match="tcpdump does not start beside rest:\nno such device"),
    ):
        list(capture.captured(source, "rest", 60, capture.Packets()))


def test_an_empty_file_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor one that there is already overwritten; the error names the file."""
    monkeypatch.setattr(capture, "ROOT", tmp_path)
    file = tmp_path / "captures" / "rest.pcap"
    with pytest.raises(KeyboardInterrupt), capture.opened(file):
        raise KeyboardInterrupt
    assert not file.exists()
    with capture.opened(file) as output:
        output.write(b"x")
    with (
        pytest.raises(LabError, match=r"captures/rest.pcap cannot be written: File exists"),
        capture.opened(file),
    ):
        pass
    assert file.read_bytes() == b"x"
