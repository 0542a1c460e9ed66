"""What the clients write, and the commands of `make`: standard output, messages, files.

The network fails with OSErrors, and so does writing: a BrokenPipeError is either a server that has
closed, or `| head`. To tell them apart, what is written goes through files of these classes, and
an error of theirs is no OSError.
"""

import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TextIO, cast

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

STANDARD_OUTPUT = "standard output"
SIGPIPE_STATUS = 141  # what a shell reports for a program that SIGPIPE has ended


class CannotWrite(Exception):
    """What was to be written could not be; `status` is the exit status for it.

    `quiet` is whether it needs no message, as nobody reads any more (`| head`).
    """

    def __init__(self, where: str, error: OSError) -> None:
        super().__init__(f"cannot write to {where}: {error.strerror}")
        self.quiet = where == STANDARD_OUTPUT and isinstance(error, BrokenPipeError)
        self.status = SIGPIPE_STATUS if self.quiet else 1


class Output(io.FileIO):
    """A file whose errors are CannotWrite; `where` is what they call it."""

    def __init__(self, file: Path | int, where: str) -> None:
        super().__init__(file, "w", closefd=not isinstance(file, int))
        self.where = where

    def write(self, data: "ReadableBuffer", /) -> int:
        """Write what can be written at once, and return how many bytes that is."""
        try:
            while (count := cast(int | None, super().write(data))) is None:
                # Another program has made this terminal or pipe, which it shares, non-blocking.
                select.select((), (self,), ())
        except OSError as error:
            raise CannotWrite(self.where, error) from None
        return count


class Messages(io.FileIO):
    """Standard error: what cannot be said there cannot be said, and the exit status remains."""

    def write(self, data: "ReadableBuffer", /) -> int:
        """Write, or do as if."""
        try:
            return super().write(data)
        except OSError:
            return len(memoryview(data))


@contextmanager
def reported(program: str) -> Iterator[None]:
    """Run what this process does: where what it prints cannot be written, say that and exit."""
    set_up()
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except CannotWrite as error:
        no_more()
        if not error.quiet:
            print(f"{program}: {error}", file=sys.stderr)
        sys.exit(error.status)


def set_up() -> None:
    """Have what this process prints fail with CannotWrite, and its messages not at all."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # Closed by the caller. The next socket would have its number, and be printed to. To
            # write to standard output fails as before; messages of other programs are dropped too.
            os.open(os.devnull, os.O_WRONLY if descriptor == 2 else os.O_RDONLY)
    sys.stdin = sys.stdin or Path(os.devnull).open()  # noqa: SIM115 - as long as the process runs
    sys.stdout = text(Output(1, STANDARD_OUTPUT), sys.stdout)
    sys.stderr = text(Messages(2, "w", closefd=False), sys.stderr)


def text(raw: io.FileIO, like: TextIO | None) -> io.TextIOWrapper:
    """Return a text file with the encoding of another, in which no character is an error."""
    encoding, errors = (like.encoding, like.errors) if like else ("utf-8", "strict")
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding,
        "backslashreplace" if errors == "strict" else errors,
        line_buffering=raw.isatty() or isinstance(raw, Messages),
    )


def no_more() -> None:
    """Drop what is not yet written: at its end Python would try again, and say that it failed."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def writable(path: Path, option: str) -> BinaryIO:
    """Open a file that an option names; ValueError where it cannot be written."""
    try:
        return io.BufferedWriter(Output(path, repr(str(path))))
    except OSError as error:
        reason = f"Not a file that can be written: {error.strerror}"
        raise ValueError(f"{option} has value {str(path)!r}. {reason}") from None
