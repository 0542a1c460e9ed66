"""TCP echo, asyncio callbacks: a Protocol for each connection; the event loop calls its methods."""

import asyncio
import logging
from functools import partial

from services import event_loop, listeners, runtime
from services.tcp_echo.transform import Transform, transform_from_settings
from services.tcp_echo.transports import Connection, Opened, watch

CHUNK = 64 * 1024  # bytes: limits what is buffered for a connection, here and in the kernel
# One for all connections: the loop calls buffer_updated() before it receives again.
BUFFER = memoryview(bytearray(CHUNK))
log = logging.getLogger("tcp-echo")


def serve(address: runtime.Address) -> None:
    """Serve connections concurrently."""
    event_loop.run(accept(address))


async def accept(address: runtime.Address) -> None:
    """Accept connections, and create a Protocol for each: asyncio runs the accept loop."""
    with listeners.tcp_listener(address, may_pause=True, buffers=CHUNK) as listener:
        loop, opened = asyncio.get_running_loop(), Opened()
        factory = partial(Echo, opened, transform_from_settings())
        server = await loop.create_server(factory, sock=listener, backlog=listeners.MAX_ACCEPTS)
        listener.listen(listeners.BACKLOG)  # see MAX_ACCEPTS
        log.info("listening on %s", listeners.text(listener.getsockname()))
        await asyncio.gather(server.serve_forever(), watch(opened))


# For an asyncio.Protocol the loop would receive up to 256 KiB at a time.
class Echo(Connection, asyncio.BufferedProtocol):
    """A connection."""

    def __init__(self, opened: Opened, transform: Transform) -> None:
        super().__init__(opened)
        self.transform = transform

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Have any byte in the transport's buffer call pause_writing()."""
        super().connection_made(transport)
        self.transport.set_write_buffer_limits(0)
        log.info("connection from %s", self.peer)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        """Return where the loop is to receive."""
        return BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        """Send a copy back: `write` keeps what the kernel does not take at once."""
        self.transport.write(self.transform(bytes(BUFFER[:nbytes])))

    def pause_writing(self) -> None:
        """Stop receiving while the client does not read: its data would pile up in memory."""
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """Receive again, as the kernel has taken what was buffered."""
        self.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        """Log the error that ended the connection, unless it was EOF."""
        if error:
            log.info("connection from %s closed: %r", self.peer, error)


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
