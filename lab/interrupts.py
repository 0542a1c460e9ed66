"""What Ctrl-C does: a command stops where it is and cleans up, which no further one interrupts.

SIGTERM, and the SIGHUP of a terminal that is closed, do the same.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
END_SECONDS = 10.0  # for a child to end after a signal
CLEAN_UP_SECONDS = 60.0  # for a child that cleans up
SAID = b"\ninterrupted: this is finished first, which takes some seconds\n"

_came: list[int] = []
_shielded: list[bool] = []
_terminals: list[int] = []
_said: list[bytes] = []


def install() -> None:
    """Handle the signals, but those that are ignored, as under nohup."""
    _terminals[:] = [fd for fd in (1, 2) if os.isatty(fd)]
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _handle)


def _handle(number: int, _: FrameType | None) -> None:
    if number == signal.SIGHUP:
        # Writing to a terminal that is gone would fail, in the middle of the clean-up.
        null = os.open(os.devnull, os.O_WRONLY)
        for fd in _terminals:
            os.dup2(null, fd)
    _came.append(number)
    if len(_came) == 1 and not _shielded:
        raise KeyboardInterrupt
    if SAID not in _said:
        _said.append(SAID)
        with suppress(OSError):
            os.write(2, SAID)


def ignore() -> None:
    """Ignore the signals from now on, when all is done: not even the exit status is to change."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def finishing() -> Iterator[None]:
    """Carry out the body to its end; a signal that came meanwhile ends the command after it.

    Where an error is being handled, that is left to end the command.
    """
    handling = sys.exc_info()[0] is not None
    before = len(_came)
    _shielded.append(True)
    try:
        yield
    finally:
        _shielded.pop()
    if before == 0 and _came and not (handling or _shielded):
        raise KeyboardInterrupt


@contextmanager
def put_off() -> Iterator[None]:
    """Take signals only at the end of the body: what it starts is known by then, and is ended.

    That holds with and without `install`, as where pytest runs us.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are handled in another one
        return
    came: list[int] = []
    handlers = {number: signal.getsignal(number) for number in (*SIGNALS, signal.SIGALRM)}
    taken = {number: handler for number, handler in handlers.items() if callable(handler)}
    for number in taken:
        signal.signal(number, lambda number, _frame: came.append(number))
    try:
        yield
    finally:
        for number, handler in taken.items():
            signal.signal(number, handler)
    for each in came:
        signal.raise_signal(each)


def run(
    command: Sequence[str], *, capture: bool = False, **options: Any
) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end, also after a signal: it gets that too and has to clean up itself.

    `options` are those of subprocess.Popen. What is captured has no part in the terminal.
    """
    if capture:
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        options = {**pipes, **options}
    with _child(command, alone=capture, **options) as process:
        try:
            out, err = process.communicate(timeout=CLEAN_UP_SECONDS if _came else None)
        except subprocess.TimeoutExpired:
            _send(process, signal.SIGKILL)
            out, err = process.communicate()
            err = f"{err or ''}{command[0]} did not end within {CLEAN_UP_SECONDS:.0f} s\n"
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def follow(
    command: Sequence[str], read: Callable[[str], None], **options: Any
) -> "subprocess.CompletedProcess[str]":
    """Run a command as `run` does, and pass on each line that it prints at once.

    `stdout` of the outcome is all lines, those on stderr too.
    """
    lines = []
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with _child(command, alone=True, **pipes, **options) as process:
        limit = threading.Timer(CLEAN_UP_SECONDS, _send, (process, signal.SIGKILL))
        limit.daemon = True
        if _came:
            limit.start()
        try:
            for line in process.stdout or ():
                lines.append(line)
                read(line.rstrip("\n"))
            process.wait()
        finally:
            limit.cancel()
    return subprocess.CompletedProcess(command, process.returncode, "".join(lines))


@contextmanager
def _child(
    command: Sequence[str], *, alone: bool, **options: Any
) -> "Iterator[subprocess.Popen[str]]":
    """Lend a child that does not outlive a wait for it that is interrupted.

    One that is `alone` has a session of its own, which a terminal's Ctrl-C reaches through us only,
    and is asked to end with its children: `docker` runs Compose as one, and were it ended alone, an
    `up` would go on while `down` runs. Others are as much in the terminal as we are.
    """
    alone = alone or bool(_came or _shielded)
    process = None
    try:
        with put_off():  # Popen() that does not return would leave its child to itself
            process = subprocess.Popen(command, text=True, start_new_session=alone, **options)
        yield process
    except BaseException:
        if process:
            _end(process, alone)
        raise
    finally:
        if process:
            with process:  # closes its pipes, and waits
                pass


def _end(process: "subprocess.Popen[str]", alone: bool) -> None:
    """Have a child end whose wait was interrupted: ask it, and make it if it does not."""
    # A Ctrl-C, and nothing else, has reached all that is in the terminal.
    if alone or _came != [signal.SIGINT]:
        _send(process, signal.SIGTERM)
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            process.communicate(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            _send(process, number)
        else:
            break


def _send(process: "subprocess.Popen[str]", number: int) -> None:
    """Send a signal to a child, and to its children if it leads a session."""
    with suppress(ProcessLookupError):
        if os.getpgid(process.pid) == process.pid:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
