"""Worker processes: several that do the same, each started again when it ends."""

import logging
import os
import time
import traceback
from collections.abc import Callable, Sequence
from typing import NoReturn

from services import runtime

MAX_WORKERS = 8  # by default
PAUSE_SECONDS = 0.1  # before another is started: one that fails at once would be started for ever

log = logging.getLogger("workers")


def one_per_cpu() -> int:
    """Return `WIRELAB_WORKERS`: by default one for each CPU that may be used, at most 8."""
    usable = min(MAX_WORKERS, len(os.sched_getaffinity(0)))
    return runtime.setting("WIRELAB_WORKERS", str(usable), runtime.positive)


def run(works: Sequence[Callable[[], None]]) -> NoReturn:
    """Run each of `works` in a process of its own, and start another one when it ends.

    The workers end with this process (services/runtime.py).
    """
    running = {start(number, work): number for number, work in enumerate(works, 1)}
    while True:
        process, status = os.wait()
        number = running.pop(process)
        how = os.waitstatus_to_exitcode(status)  # negative for a signal
        log.warning("worker %d (process %d) ended with status %d", number, process, how)
        time.sleep(PAUSE_SECONDS)
        running[start(number, works[number - 1])] = number


def start(number: int, work: Callable[[], None]) -> int:
    """Fork a worker, and return its process number."""
    if process := os.fork():
        log.info("worker %d is process %d", number, process)
        return process
    try:
        work()
    except BaseException:  # noqa: BLE001 - it must not get to what is the parent's to undo
        traceback.print_exc()
    os._exit(1)
