"""What the asyncio peers share: the loop runs until the process ends."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from services import runtime


def run(
    listen: Callable[[runtime.Address], Coroutine[Any, Any, object]],
    address: runtime.Address,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> None:
    """Await `listen(address)`, and serve until the process ends.

    `loop_factory` makes the event loop; without one it is asyncio's own.
    """
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        _listener: object = runner.run(listen(address))  # referred to, so that it is not closed
        runner.get_loop().run_forever()
