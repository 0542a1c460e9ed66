"""multiprocessing.connection, asyncio streams: a coroutine for each connection, in one thread.

It is interrupted only by `sleep(0)`, and an `await` that has to wait: a slow step stalls all.
"""

import asyncio
from functools import partial
from typing import NoReturn

from services import acknowledgments, event_loop, listeners, runtime
from services.connection.protocol import PART, SMALL, Answer
from services.connection.sessions import TICK, Sessions


def serve(address: runtime.Address, answer: Answer) -> None:
    """Accept connections, and serve each one in a coroutine of its own."""
    event_loop.run(accept(address, answer))


async def accept(address: runtime.Address, answer: Answer) -> NoReturn:
    """Have asyncio start a coroutine for each connection; enforce the timeouts."""
    sessions: Sessions[asyncio.StreamWriter] = Sessions.from_settings(answer)
    start = partial(converse, sessions=sessions)
    for listener in listeners.tcp_and_unix(address):
        await asyncio.start_server(start, sock=listener, limit=SMALL, backlog=listeners.MAX_ACCEPTS)
        listener.listen(listeners.BACKLOG)
    while True:
        now = sessions.clock()
        await asyncio.sleep(TICK)  # what arrived before `now` has been received when this returns
        sessions.check_timeouts(now, acknowledgments.in_kernel)
        abort_closed(sessions)


async def converse(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    sessions: Sessions[asyncio.StreamWriter],
) -> None:
    """Send, answer or receive, whichever is next, until the connection is closed."""
    connection = writer.get_extra_info("socket")
    descriptor = connection.fileno()
    peer = listeners.text(writer.get_extra_info("peername"))
    room = asyncio.Semaphore(0)
    protocol = sessions.open(descriptor, writer, peer, room.release)
    writer.transport.set_write_buffer_limits(0)  # drain() then waits until the kernel has it all
    while not protocol.over:
        try:
            if outgoing := protocol.data_to_send()[:PART]:
                writer.write(outgoing)
                await writer.drain()
                protocol.sent(len(outgoing))
            elif protocol.queued:
                protocol.resume()
            elif protocol.needs:
                await room.acquire()
            else:
                protocol.receive_data(await reader.read(protocol.receive_size))
                if not protocol.data_to_send():
                    acknowledgments.acknowledge(connection)
        except OSError as error:
            protocol.close(str(error))
        sessions.update(descriptor)
        abort_closed(sessions)
        await asyncio.sleep(0)  # where nothing had to wait, serve other connections in between


def abort_closed(sessions: Sessions[asyncio.StreamWriter]) -> None:
    """Close the connections that are over, whatever their coroutines are waiting for."""
    for writer in sessions.pop_closed():
        writer.transport.abort()
