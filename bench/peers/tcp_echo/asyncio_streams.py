"""TCP echo with asyncio's streams: a coroutine for each connection."""

import asyncio
import logging
from contextlib import suppress

from bench.peers import event_loop
from services import runtime

CHUNK = 64 * 1024  # bytes

log = logging.getLogger("asyncio-streams")


def serve(address: runtime.Address) -> None:
    """Serve connections."""
    event_loop.run(listen, address)


async def listen(address: runtime.Address) -> asyncio.Server:
    """Start to accept connections."""
    server = await asyncio.start_server(echo, *address, backlog=1024)
    log.info("listening on %s:%d", *server.sockets[0].getsockname())
    return server


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back what comes, waiting for a client that reads slowly."""
    with suppress(ConnectionError):
        while chunk := await reader.read(CHUNK):
            writer.write(chunk)
            await writer.drain()
    writer.close()


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
