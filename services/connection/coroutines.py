"""Object connections, asyncio streams: a coroutine for each, and one thread for all of them.

A coroutine gives way only at an `await` that has to wait, or at `sleep(0)`: never in between.
"""

import asyncio
from functools import partial
from typing import NoReturn

from services import event_loop, listeners, runtime
from services.connection.protocol import Answer
from services.connection.sessions import TICK, Sessions

CHUNK = 256 * 1024  # bytes
Clients = dict[int, asyncio.StreamWriter]  # by descriptor


def serve(address: runtime.Address, answer: Answer) -> None:
    """Accept connections, and serve each one in a coroutine of its own."""
    event_loop.run(accept(address, answer))


async def accept(address: runtime.Address, answer: Answer) -> NoReturn:
    """Start a coroutine for each connection, and check the timeouts."""
    sessions = Sessions.from_settings(answer)
    clients: Clients = {}
    start = partial(converse, clients=clients, sessions=sessions)
    for listener in listeners.tcp_and_unix(address):
        await asyncio.start_server(start, sock=listener, limit=CHUNK, backlog=event_loop.ACCEPTS)
        listener.listen(listeners.BACKLOG)
    while True:
        await asyncio.sleep(TICK)
        sessions.check_timeouts()
        abort(clients, sessions)


async def converse(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    *,
    clients: Clients,
    sessions: Sessions,
) -> None:
    """Send what there is to send, or else receive, until the connection is over."""
    descriptor = writer.get_extra_info("socket").fileno()
    clients[descriptor] = writer
    protocol = sessions.open(descriptor, listeners.text(writer.get_extra_info("peername")))
    writer.transport.set_write_buffer_limits(0)  # drain() then waits until the kernel has it all
    while clients.get(descriptor) is writer:  # a descriptor is used again
        try:
            if outgoing := protocol.data_to_send()[:CHUNK]:
                writer.write(outgoing)
                await writer.drain()
                protocol.sent(len(outgoing))
            elif protocol.ready:
                protocol.resume()
            else:
                protocol.receive_data(await reader.read(CHUNK))
        except OSError as error:
            protocol.close(str(error))
        sessions.count(descriptor)
        abort(clients, sessions)
        await asyncio.sleep(0)  # others are served between two messages that were sent at once


def abort(clients: Clients, sessions: Sessions) -> None:
    """Close the connections that are over, whatever their coroutines are waiting for."""
    for descriptor in sessions.pop_closed():
        clients.pop(descriptor).transport.abort()
