"""TCP echo, asyncio callbacks: a Protocol for each connection, whose methods the event loop calls.

The streams of coroutines.py are built on this. `data_received` is called with what one recv()
returned; `write` sends at once what the kernel takes, and buffers the rest.
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
    """Serve connections concurrently."""
    event_loop.run(accept(address))


async def accept(address: runtime.Address) -> None:
    """Accept connections, and create a Protocol for each: asyncio runs the accept loop."""
    with listeners.tcp_listener(address, send_buffer=CHUNK) as listener:
        loop = asyncio.get_running_loop()
        factory = partial(Echo, transform_from_settings())
        server = await loop.create_server(factory, sock=listener, backlog=event_loop.ACCEPTS)
        listener.listen(listeners.BACKLOG)  # see event_loop.ACCEPTS
        log.info("listening on %s:%d", *listener.getsockname()[:2])
        await server.serve_forever()


class Echo(asyncio.Protocol):
    """A connection."""

    transport: asyncio.Transport

    def __init__(self, transform: Transform) -> None:
        self.transform = transform

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, to write to it."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(0)  # any byte in its buffer calls pause_writing()
        self.peer = transport.get_extra_info("peername")[:2]
        log.info("connection from %s:%d", *self.peer)

    def data_received(self, data: bytes) -> None:
        """Send the data back."""
        self.transport.write(self.transform(data))

    def pause_writing(self) -> None:
        """Stop receiving while the client does not read: its data would pile up in memory."""
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """Receive again, as the kernel has taken what was buffered."""
        self.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        """Log the error that ended the connection, unless it was EOF."""
        if error:
            log.info("connection from %s:%d closed: %r", *self.peer, error)


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
