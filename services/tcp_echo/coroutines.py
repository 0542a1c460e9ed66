"""TCP echo, asyncio streams: a coroutine for each connection, and one thread for all of them.

The code reads like a thread for each connection. But only at an `await` that has to wait does the
event loop switch to another coroutine; so code without `await` needs no lock, and must be short.
Streams are made of callbacks such as those of callbacks.py, and buffer what was received.
"""

import asyncio
import logging
from functools import partial

from services import event_loop, listeners, runtime
from services.tcp_echo.transform import Transform, transform_from_settings
from services.tcp_echo.transports import Opened, finish, watch

CHUNK = 64 * 1024  # bytes

log = logging.getLogger("tcp-echo")


def serve(address: runtime.Address) -> None:
    """Serve connections concurrently."""
    event_loop.run(accept(address))


async def accept(address: runtime.Address) -> None:
    """Accept connections, and start a coroutine for each: asyncio runs the accept loop."""
    opened = Opened()
    handler = partial(echo, opened=opened, transform=transform_from_settings())
    with listeners.tcp_listener(address, may_pause=True, buffers=CHUNK) as listener:
        server = await asyncio.start_server(
            handler, sock=listener, limit=CHUNK, backlog=listeners.MAX_ACCEPTS
        )
        listener.listen(listeners.BACKLOG)  # see MAX_ACCEPTS
        log.info("listening on %s", listeners.text(listener.getsockname()))
        await asyncio.gather(server.serve_forever(), watch(opened))


async def echo(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, opened: Opened, transform: Transform
) -> None:
    """Echo until EOF (the client's FIN)."""
    peer = listeners.text(writer.get_extra_info("peername"))
    log.info("connection from %s", peer)
    opened.add(writer.transport)
    writer.transport.set_write_buffer_limits(0)  # drain() then waits until the kernel has it all
    try:
        while data := await reader.read(CHUNK):
            writer.write(transform(data))
            # Backpressure: nothing is received from a client that does not read. Without this line
            # everything that it sends would pile up in memory.
            await writer.drain()
        if not finish(writer.transport):
            await writer.wait_closed()  # the watch closes it
    except OSError as error:
        log.info("connection from %s closed: %r", peer, error)
    finally:
        writer.close()


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
