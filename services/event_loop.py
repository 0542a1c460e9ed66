"""Runs an asyncio server, on asyncio's own event loop or on uvloop's.

Which one is the setting `WIRELAB_EVENT_LOOP`: `asyncio`, or `uvloop` where that package is
installed. Nothing here is about stopping: that is the runtime's, as with every other server.
"""

import asyncio
import importlib
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from services import runtime

# asyncio accepts up to `backlog` connections at a time. Where there is no descriptor for the first
# it still tries all of them, and logs as many failures (CPython, Lib/asyncio/selector_events.py,
# `_accept_connection`). So servers give it this number, and then set the kernel's queue anew.
ACCEPTS = 1

log = logging.getLogger("event_loop")


def run(server: Coroutine[Any, Any, object]) -> None:
    """Run a coroutine that serves, in this thread."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.get_loop().set_exception_handler(report)
        runner.run(server)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the event loop that is set; None stands for asyncio's own."""
    name = runtime.setting("WIRELAB_EVENT_LOOP", "asyncio", runtime.one_of("asyncio", "uvloop"))
    if name == "asyncio":
        return None
    try:
        uvloop = importlib.import_module(name)
    except ImportError:
        raise runtime.SettingError(
            "WIRELAB_EVENT_LOOP has value 'uvloop'. Not installed here: pip install uvloop"
        ) from None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def report(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log in one line what the event loop has to report, such as an accept that failed."""
    log.warning("%s: %s", context["message"], context.get("exception"))
