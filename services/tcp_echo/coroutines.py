"""TCP echo, asyncio streams: a coroutine for each connection, and one thread for all of them.

It reads like a thread for each connection. But a coroutine gives way only at an `await` that has
to wait, so a step never takes long, and nothing is shared between two of them in mid-step.
"""

import asyncio
import logging
from functools import partial

from services import event_loop, listeners, runtime
from services.tcp_echo.transform import Transform, transform_from_settings

CHUNK = 64 * 1024  # bytes

log = logging.getLogger("tcp-echo")


def serve(address: runtime.Address) -> None:
    """Serve connections, all at once."""
    event_loop.run(accept(address))


async def accept(address: runtime.Address) -> None:
    """Accept connections, and start a coroutine for each; asyncio has that loop."""
    handler = partial(echo, transform=transform_from_settings())
    with listeners.tcp_listener(address) as listener:
        listeners.limit_buffer(listener, CHUNK)
        server = await asyncio.start_server(
            handler, sock=listener, limit=CHUNK, backlog=event_loop.ACCEPTS
        )
        listener.listen(listeners.BACKLOG)
        log.info("listening on %s:%d", *listener.getsockname()[:2])
        await server.serve_forever()


async def echo(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, transform: Transform
) -> None:
    """Send back what comes, until the client's FIN."""
    log.info("connection from %s:%d", *writer.get_extra_info("peername")[:2])
    try:
        while data := await reader.read(CHUNK):
            writer.write(transform(data))
            # Backpressure: a client that does not read is not read from either. Without this line
            # all that it sends would pile up in memory.
            await writer.drain()
            # Neither call above gives way while there is data and room: others are served here.
            await asyncio.sleep(0)
    except OSError as error:
        log.info("connection broken off: %s", error)
    finally:
        writer.close()


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
