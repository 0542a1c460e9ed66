"""Runs an asyncio server, on asyncio's own event loop or on uvloop's.

`WIRELAB_EVENT_LOOP` says which: `asyncio`, or `uvloop` if that package is installed. There is no
code for stopping: services/runtime.py ends the process, as with every other server.
"""

import asyncio
import importlib
import logging
from collections.abc import Callable, Coroutine
from contextlib import closing
from typing import Any

from services import runtime

# asyncio uses the `backlog` of start_server() and create_server() for two things: as the length of
# the accept queue, and as the number of accepts in one iteration. Without a free descriptor each of
# those accepts fails and is logged: 1,024 lines at a time (CPython, Lib/asyncio/selector_events.py,
# `_accept_connection`). So servers pass this number, and then call listen() again with the length.
ACCEPTS = 1

log = logging.getLogger("event_loop")


def run(server: Coroutine[Any, Any, object]) -> None:
    """Run `server`, which serves for ever, in this thread."""
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
    log.warning("%s: %s", context["message"], context.get("exception"))
