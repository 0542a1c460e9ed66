"""What every server shares: settings from the environment, logging, a graceful stop.

There are no sockets here: every socket call of a server stands in that server's own file.
"""

import errno
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from types import FrameType
from typing import NoReturn, TypeVar

T = TypeVar("T")

Address = tuple[str, int]

TICK_SECONDS = 0.5
CANNOT_LISTEN = (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES)


class SettingError(SystemExit):
    """A setting has a value that cannot be used; the message names both.

    A SystemExit, so that wherever it is raised, at import or in a gunicorn configuration, the
    process ends with that one line on stderr and status 1, and without a traceback.
    """


class Stop(BaseException):
    """Raised in the main thread by SIGTERM or SIGINT; its text is the signal's name.

    Not an `Exception`, so that a server's own `except Exception` lets it through.
    """


def setting(
    name: str, default: str, parse: Callable[[str], T], environ: Mapping[str, str] = os.environ
) -> T:
    """Return the environment variable `name`, parsed; unset and empty both mean `default`.

    `parse` raises ValueError with a text that completes "Not ...".
    """
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
    """Return where to listen: `WIRELAB_HOST` (default loopback) and `WIRELAB_PORT`."""
    return setting("WIRELAB_HOST", "127.0.0.1", str), setting(
        "WIRELAB_PORT", str(default_port), port_number
    )


def start_logging() -> None:
    """Log to stdout, a line each, from the level `WIRELAB_LOG` (info or debug) up.

    Not from a higher one: whoever starts a server reads in its log where it listens.
    """
    logging.basicConfig(
        stream=sys.stdout,
        level=setting("WIRELAB_LOG", "info", one_of("info", "debug")).upper(),
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
    )


def main(serve: Callable[[Address], object], default_port: int) -> NoReturn:
    """Run `serve(address)` until SIGTERM or SIGINT, then end the process with status 0.

    Where it cannot listen it ends with status 1 and one line on stderr that says why.
    """
    log = logging.getLogger("runtime")
    host, port = address(default_port)
    start_logging()
    try:
        signal.signal(signal.SIGTERM, _stop)
        signal.signal(signal.SIGINT, _stop)
        # A signal breaks off a call that waits. One that comes just before that call does not,
        # and Python would handle it when the call returns: with a silent client, never.
        signal.signal(signal.SIGALRM, lambda *_: None)
        signal.setitimer(signal.ITIMER_REAL, TICK_SECONDS, TICK_SECONDS)
        serve((host, port))
    except Stop as stop:
        log.info("stopped by %s", stop)
        sys.exit(0)
    except OSError as error:
        unresolved = error.errno is not None and error.errno < 0  # socket.gaierror
        if not unresolved and error.errno not in CANNOT_LISTEN:
            raise
        sys.exit(f"cannot listen on {host}:{port}: {error.strerror}")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    raise AssertionError("serve() runs until it is stopped")


def _stop(signum: int, _frame: FrameType | None) -> None:
    # A second signal would break off the clean-up that the first one started.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise Stop(signal.Signals(signum).name)
