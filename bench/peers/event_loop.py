"""What the asyncio peers share: a stop by signal."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import NoReturn

from services import runtime


def run(
    listen: Callable[[runtime.Address], Awaitable[object]],
    address: runtime.Address,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> NoReturn:
    """Await `listen(address)`, and serve until SIGTERM or SIGINT.

    `loop_factory` makes the event loop; without one it is asyncio's own.
    """
    stopped = asyncio.Event()

    async def serve() -> None:
        # What the runtime's own handler raises would be lost: the loop logs the exceptions of the
        # callback it is in, and goes on.
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, stopped.set)
        loop.add_signal_handler(signal.SIGINT, stopped.set)
        serving = await listen(address)
        await stopped.wait()
        del serving

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(serve())
    raise runtime.Stop("a signal")
