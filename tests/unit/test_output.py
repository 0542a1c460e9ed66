"""What the clients write: errors of it have a class of their own."""

import io
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from clients.cli.output import STANDARD_OUTPUT, CannotWrite, Messages, Output, writable


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Lend both ends of a pipe; the reader may be closed meanwhile."""
    reader, writer = os.pipe()
    yield reader, writer
    os.close(writer)


def test_a_pipe_without_a_reader_is_quiet_on_standard_output_only(pipe: tuple[int, int]) -> None:
    """Nobody who reads there has seen enough; in a file it is a loss."""
    reader, writer = pipe
    os.close(reader)
    for where, quiet, status in ((STANDARD_OUTPUT, True, 141), ("'letters'", False, 1)):
        with pytest.raises(CannotWrite, match=f"^cannot write to {where}: Broken pipe$") as caught:
            Output(writer, where).write(b"x")
        assert (caught.value.quiet, caught.value.status) == (quiet, status)
        assert not isinstance(caught.value, OSError)


def test_what_is_not_blocking_is_waited_for(pipe: tuple[int, int]) -> None:
    """As a terminal that another program has left so: io itself would raise BlockingIOError."""
    reader, writer = pipe
    os.set_blocking(writer, False)
    data = os.urandom(1_000_000)

    def read() -> bytes:
        with os.fdopen(reader, "rb") as stream:
            return stream.read(len(data))

    with ThreadPoolExecutor(1) as thread:
        received = thread.submit(read)
        with io.BufferedWriter(Output(writer, STANDARD_OUTPUT)) as stream:
            stream.write(data)
        assert received.result() == data


def test_messages_never_fail(pipe: tuple[int, int]) -> None:
    """What cannot be said is lost."""
    reader, writer = pipe
    os.close(reader)
    with io.TextIOWrapper(io.BufferedWriter(Messages(writer, "w", closefd=False))) as messages:
        print("lost", file=messages, flush=True)


def test_a_file_is_named_when_it_is_full() -> None:
    """At the latest when it is closed."""
    with (
        pytest.raises(CannotWrite, match="cannot write to '/dev/full': No space left on device"),
        writable(Path("/dev/full"), "--output") as sink,
    ):
        sink.write(b"x")
