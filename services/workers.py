"""Worker processes that do the same work; a worker that ends is replaced."""

import logging
import os
import time
import traceback
from collections.abc import Callable, Sequence
from typing import NoReturn

from services import runtime

MAX_WORKERS = 8  # unless WIRELAB_WORKERS says otherwise
PAUSE_SECONDS = 0.1  # before a worker is replaced: workers that fail at once must not use up a CPU

log = logging.getLogger("workers")


def one_per_cpu() -> int:
    """Return `WIRELAB_WORKERS`: by default the number of CPUs that may be used, at most 8."""
    usable = min(MAX_WORKERS, len(os.sched_getaffinity(0)))
    return runtime.setting("WIRELAB_WORKERS", str(usable), runtime.positive)


def run(functions: Sequence[Callable[[], None]]) -> NoReturn:
    """Run each function in a worker process, and run it in another one if that process ends.

    The kernel ends the workers when this process ends (services/runtime.py).
    """
    running = {start(number, function): number for number, function in enumerate(functions, 1)}
    while True:
        process, wait_status = os.wait()
        number = running.pop(process)
        status = os.waitstatus_to_exitcode(wait_status)  # minus the number, if it was a signal
        log.warning("worker %d (process %d) ended with status %d", number, process, status)
        time.sleep(PAUSE_SECONDS)
        running[start(number, functions[number - 1])] = number


def start(number: int, function: Callable[[], None]) -> int:
    """Fork a worker, and return its process ID."""
    if process := os.fork():
        log.info("worker %d is process %d", number, process)
        return process
    try:
        function()
    except BaseException:  # noqa: BLE001 - of any kind: see below
        traceback.print_exc()
    os._exit(1)  # neither return nor raise here: the callers' clean-up is for the parent to do
