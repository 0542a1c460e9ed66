"""What every server shares: settings from the environment, logging, a graceful stop.

There are no sockets here: every socket call of a server stands in its driver.
"""

import ctypes
import errno
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from threading import Thread, Timer
from typing import NoReturn, TypeVar

from services import addresses

T = TypeVar("T")

Address = tuple[str, int]

CANNOT_LISTEN = {  # the setting that is at fault, by the error
    errno.EADDRINUSE: "WIRELAB_PORT",
    errno.EACCES: "WIRELAB_PORT",
    errno.EADDRNOTAVAIL: "WIRELAB_HOST",
    errno.EAFNOSUPPORT: "WIRELAB_HOST",  # IPv6, where that is switched off
    errno.EINVAL: "WIRELAB_HOST",  # a link-local address without its interface
}
STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}
PR_SET_PDEATHSIG = 1  # prctl(2), and linux/prctl.h
OLD_NAMES = {  # of settings, by the names that they have now
    "WIRELAB_SILENCE_TIMEOUT": "WIRELAB_SILENCE_SECONDS",
    "WIRELAB_VANISHED_TIMEOUT": "WIRELAB_VANISHED_SECONDS",
}

at_exit = ExitStack()  # what a server has to undo when it stops, such as the file of a UNIX socket

log = logging.getLogger("runtime")


class SettingError(SystemExit):
    """A setting has a value that cannot be used; the message names both.

    A SystemExit, so that wherever it is raised, also in a gunicorn configuration, the process
    ends with that one line on stderr and status 1, and without a traceback.
    """


def setting(
    name: str, default: str, parse: Callable[[str], T], environ: Mapping[str, str] = os.environ
) -> T:
    """Return the environment variable `name`, parsed; unset and empty both mean `default`.

    `parse` raises ValueError with a text that completes "Not ...". Raises SettingError for a value
    that cannot be used, and for a variable that is set under the name that it had before.
    """
    if (old := OLD_NAMES.get(name)) and environ.get(old):
        raise SettingError(f"{old} is not a setting any more. Set {name} instead")
    value = environ.get(name) or default
    try:
        return parse(value)
    except ValueError as error:
        raise SettingError(f"{name} has value {value!r}. Not {error}") from None


def port_number(text: str) -> int:
    """Parse a TCP or UDP port; 0 asks the kernel for a free one."""
    if text.isascii() and text.isdigit() and int(text) <= 65535:
        return int(text)
    raise ValueError("a port number (0 to 65535)")


def positive(text: str) -> int:
    """Parse a whole number from 1 up."""
    if text.isascii() and text.isdigit() and int(text) > 0:
        return int(text)
    raise ValueError("a whole number from 1 up")


def one_of(*choices: str) -> Callable[[str], str]:
    """Make a parser that accepts only `choices`."""

    def parse(text: str) -> str:
        if text in choices:
            return text
        raise ValueError("one of " + ", ".join(repr(choice) for choice in choices))

    return parse


def address(default_port: int) -> Address:
    """Return where to listen: `WIRELAB_HOST` (default loopback) and `WIRELAB_PORT`.

    The host is an IPv4 or IPv6 address or a name: listeners.resolve() looks it up.
    """
    return setting("WIRELAB_HOST", "127.0.0.1", str), setting(
        "WIRELAB_PORT", str(default_port), port_number
    )


def start_logging() -> None:
    """Log to stdout, a line each, from the level `WIRELAB_LOG` (info or debug) up.

    Not from a higher one: whoever starts a server reads in its log where it listens.
    """
    level = setting("WIRELAB_LOG", "info", one_of("info", "debug")).upper()
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(Formatter())
    logging.basicConfig(handlers=[handler], level=level)
    # By default logging finds out for each line what this format does not have: the caller, the
    # thread, the process (Logging HOWTO, "Optimization"). That takes as long as all the rest.
    for fact in ("logThreads", "logProcesses", "logMultiprocessing", "logAsyncioTasks", "_srcfile"):
        setattr(logging, fact, None)


class Formatter(logging.Formatter):
    """Formats the time of a line once for all lines of a second."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - its inherited name
        """Return a line: local time with milliseconds, level, logger and message."""
        time = f"{_local_time(int(record.created))},{int(record.msecs):03}"
        return f"{time} {record.levelname:7} {record.name}: {record.message}"


@lru_cache(maxsize=1)
def _local_time(seconds: int) -> str:
    return time.strftime(logging.Formatter.default_time_format, time.localtime(seconds))


def main(serve: Callable[[Address], object], default_port: int) -> NoReturn:
    """Run `serve(address)` until SIGTERM or SIGINT, then end the process with status 0.

    Where it cannot listen it ends with status 1 and one line on stderr that says why.
    """
    start_logging()
    host, port = address(default_port)
    # A Python signal handler runs between two bytecodes, so one that a signal calls just before
    # recv() or accept() has to wait until that returns: with a silent client, for ever. Therefore
    # no handler here: the signals are blocked, in this thread and in all that it starts, and stay
    # pending until sigwait(3) takes one of them in a thread that does nothing else.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    os.register_at_fork(after_in_child=_become_child(os.getpid()))
    Thread(target=_wait_for_signal, name="signals", daemon=True).start()
    with at_exit, listening((host, port)):
        serve((host, port))
    raise AssertionError("serve() runs until it is stopped")


@contextmanager
def listening(where: Address) -> Iterator[None]:
    """End the process with one line if an OSError says that it cannot listen there."""
    try:
        yield
    except OSError as error:
        if not (variable := CANNOT_LISTEN.get(error.errno or 0)):
            raise
        sys.exit(f"cannot listen on {addresses.join(*where)}: {error.strerror} ({variable})")


def _wait_for_signal() -> NoReturn:
    """End the process at the first signal, whatever its other threads are waiting for."""
    number = signal.sigwait(STOP_SIGNALS)
    # The log may be a pipe that nobody reads: to write to it would then be to wait for ever.
    overdue = Timer(1.0, os._exit, (0,))
    overdue.daemon = True
    overdue.start()
    at_exit.close()
    log.info("stopped by %s", signal.Signals(number).name)
    os._exit(0)  # sys.exit() would end this thread alone


def _become_child(parent: int) -> Callable[[], None]:
    """Return what makes a forked process one that signals end, as they do by default.

    The thread that waits for signals exists in the parent only. When the parent ends, however it
    does, the kernel sends SIGTERM to its children (prctl(2), PR_SET_PDEATHSIG).
    """
    prctl = ctypes.CDLL(None).prctl

    def become_child() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it ended before it had children to signal
            os._exit(0)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)

    return become_child
