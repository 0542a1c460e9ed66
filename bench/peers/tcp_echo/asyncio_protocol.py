"""TCP echo with an asyncio Protocol: callbacks, and no coroutine for each connection."""

import asyncio
import logging
from typing import cast

from bench.peers import event_loop
from services import runtime

log = logging.getLogger("asyncio-protocol")


def serve(address: runtime.Address) -> None:
    """Serve connections."""
    event_loop.run(listen, address)


async def listen(address: runtime.Address) -> asyncio.Server:
    """Start to accept connections."""
    server = await asyncio.get_running_loop().create_server(Echo, *address, backlog=1024)
    log.info("listening on %s:%d", *server.sockets[0].getsockname())
    return server


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
