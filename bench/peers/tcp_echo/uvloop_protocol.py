"""TCP echo with the least Protocol that there is, on uvloop: an event loop in C, on libuv.

services/tcp_echo/callbacks.py on uvloop does more for a connection: it transforms what it receives,
and limits what is buffered, here and in the kernel.
"""

import asyncio
import logging
from typing import cast

import uvloop

from services import runtime

log = logging.getLogger("uvloop-protocol")


def serve(address: runtime.Address) -> None:
    """Serve connections."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(accept(address))


async def accept(address: runtime.Address) -> None:
    """Accept connections, and create a Protocol for each."""
    server = await asyncio.get_running_loop().create_server(Echo, *address, backlog=1024)
    log.info("listening on %s:%d", *server.sockets[0].getsockname())
    await server.serve_forever()


class Echo(asyncio.Protocol):
    """A connection; after its FIN the transport sends what is buffered, and closes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Send back what has come."""
        self.transport.write(data)

    def pause_writing(self) -> None:
        """Read no more from a client that does not read itself."""
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """Resume reading."""
        self.transport.resume_reading()


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
