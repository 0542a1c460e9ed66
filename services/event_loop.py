"""Runs an asyncio server, on asyncio's own event loop or on uvloop's.

`WIRELAB_EVENT_LOOP` says which: `asyncio`, or `uvloop` if that package is installed. There is no
code for stopping: services/runtime.py ends the process, as with every other server.
"""

import asyncio
import importlib
import logging
import time
from collections.abc import Callable, Coroutine
from contextlib import closing
from functools import lru_cache
from typing import Any

from services import runtime
from services.memory import keep_freed_memory

RECEIVED = 256 * 1024  # bytes, for which asyncio allocates memory each time it receives: `max_size`

log = logging.getLogger("event_loop")


def run(server: Coroutine[Any, Any, object]) -> None:
    """Run `server`, which serves for ever, in this thread."""
    keep_freed_memory(RECEIVED)  # otherwise tcp-echo takes twice the CPU for many clients
    # closing(): a coroutine that never ran, as loop_factory() failed, would warn about that.
    with closing(server), asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.get_loop().set_exception_handler(report)
        runner.run(server)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return the factory of the event loop that is configured; None stands for asyncio's own."""
    name = runtime.setting("WIRELAB_EVENT_LOOP", "asyncio", runtime.one_of("asyncio", "uvloop"))
    if name == "asyncio":
        return None
    try:
        uvloop = importlib.import_module(name)
    except ImportError:
        raise runtime.SettingError(
            "WIRELAB_EVENT_LOOP has value 'uvloop'. Not installed: pip install uvloop"
        ) from None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def report(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log an error that no coroutine or callback handled, such as a failed accept, in one line."""
    warn(f"{context['message']}: {context.get('exception')}", int(time.monotonic()))


# Without a free descriptor asyncio tries all MAX_ACCEPTS accepts of an iteration, and reports each.
@lru_cache(maxsize=1)
def warn(text: str, _second: int) -> None:
    """Log a warning, but not the same one twice within a second."""
    log.warning("%s", text)
