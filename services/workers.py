"""Worker processes that do the same work; a worker that ends is replaced."""

import logging
import os
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TypeVar

from services import runtime

T = TypeVar("T")

MAX_WORKERS = 8  # unless WIRELAB_WORKERS says otherwise
PAUSE_SECONDS = 0.1  # before a worker is replaced: workers that fail at once must not use up a CPU

log = logging.getLogger("workers")

# Why the parent opens the sockets of all workers before it forks the first one, and keeps them open
#
# With SO_REUSEPORT (socket(7)) several sockets listen on one port, and each has an accept queue of
# its own. When a SYN arrives, the kernel picks one of them by a hash of the connection's addresses
# and ports, and there the connection stays: half open during the handshake, then in the accept
# queue. All that is the kernel's work. The client is connected, and may have sent its request, long
# before a worker calls accept().
#
# So a listener that is closed takes its whole queue with it: the kernel resets the connections that
# wait there, however idle the other workers are. If each worker opened its own listener, that would
# happen whenever a worker ends, by a crash or for a new version. (Linux 5.14 and newer can move
# those connections to another listener of the port, but not by default: net.ipv4.tcp_migrate_req
# in the kernel's ip-sysctl.rst.) And a new worker would open a new listener. From then on the hash
# is over one socket more: many UDP clients would change to another worker in the middle of what
# they do, and before Linux 4.4, where each listener kept the half-open connections for itself, the
# ACK that completes a handshake could reach another listener than the SYN, and got a reset.
#
# Here a worker inherits its socket, and when it dies, the parent still has that open. What waits in
# it is served by the successor, and neither the number of sockets nor their order ever changes. All
# that is lost with a worker are the connections that it had accepted.
#
# What remains is the price of a queue for each worker: if one of them hangs, or is busy for long,
# nobody else serves the connections in its queue.


def count(default: int = 1) -> int:
    """Return `WIRELAB_WORKERS`: the number of processes that serve."""
    return runtime.setting("WIRELAB_WORKERS", str(default), runtime.positive)


def one_per_cpu() -> int:
    """Return `WIRELAB_WORKERS`: by default the number of CPUs that may be used, at most 8."""
    return count(min(MAX_WORKERS, len(os.sched_getaffinity(0))))


def several(shares: Sequence[T]) -> AbstractContextManager[T]:
    """Lend the only one of `shares` in this process; or, if there are several, as `forked` does."""
    return nullcontext(shares[0]) if len(shares) == 1 else forked(shares)


@contextmanager
def forked(shares: Sequence[T]) -> Iterator[T]:
    """Fork a worker for each of `shares`, and lend it that: the `with` block is the worker's.

    This process does not get there: it waits, and replaces a worker that ends by another one with
    the same share. The kernel ends the workers when this process ends (services/runtime.py).
    """
    running: dict[int, int] = {}  # the numbers of the workers, by their process IDs
    number = 1
    while process := os.fork():  # which returns 0 in the worker
        log.info("worker %d is process %d", number, process)
        running[process] = number
        number = len(running) + 1 if len(running) < len(shares) else wait(running)
    try:
        yield shares[number - 1]
    except BaseException:  # noqa: BLE001 - of any kind: see below
        traceback.print_exc()
    os._exit(1)  # neither return nor raise here: the callers' clean-up is for the parent to do


def wait(running: dict[int, int]) -> int:
    """Wait until a worker ends, and pause; remove the worker, and return its number."""
    process, wait_status = os.wait()
    number = running.pop(process)
    status = os.waitstatus_to_exitcode(wait_status)  # minus the number, if it was a signal
    log.warning("worker %d (process %d) ended with status %d", number, process, status)
    time.sleep(PAUSE_SECONDS)
    return number
