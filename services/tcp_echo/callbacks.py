"""TCP echo, asyncio callbacks: a Protocol for each connection, whose methods the event loop calls.

What asyncio's streams are made of, without their buffers: `data_received` is called with what one
recv returned, and `write` sends at once what the kernel takes and keeps the rest.
"""

import asyncio
import logging
from functools import partial
from typing import cast

from services import event_loop, listeners, runtime
from services.tcp_echo.transform import Transform, transform_from_settings

CHUNK = 64 * 1024  # bytes

log = logging.getLogger("tcp-echo")


def serve(address: runtime.Address) -> None:
    """Serve connections, all at once."""
    event_loop.run(accept(address))


async def accept(address: runtime.Address) -> None:
    """Accept connections, and make a Protocol for each; asyncio has that loop."""
    with listeners.tcp_listener(address) as listener:
        listeners.limit_buffer(listener, CHUNK)
        loop = asyncio.get_running_loop()
        factory = partial(Echo, transform_from_settings())
        server = await loop.create_server(factory, sock=listener, backlog=event_loop.ACCEPTS)
        listener.listen(listeners.BACKLOG)
        log.info("listening on %s:%d", *listener.getsockname()[:2])
        await server.serve_forever()


class Echo(asyncio.Protocol):
    """A connection."""

    transport: asyncio.Transport

    def __init__(self, transform: Transform) -> None:
        self.transform = transform

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport: it is what there is to write to."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(0)  # bytes kept, above which writing is to pause
        log.info("connection from %s:%d", *transport.get_extra_info("peername")[:2])

    def data_received(self, data: bytes) -> None:
        """Send back what came."""
        self.transport.write(self.transform(data))

    def pause_writing(self) -> None:
        """Receive no more from a client that does not read: all of it would be kept in memory."""
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """Receive again, when the kernel has taken what was kept."""
        self.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        """Log what ended the connection, unless it was the client's FIN."""
        if error:
            log.info("connection broken off: %s", error)


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
