"""When the asyncio drivers close a connection: once all is sent, or if the client has vanished."""

import asyncio
from typing import NoReturn, cast
from weakref import WeakSet

from services import listeners
from services.tcp_echo.vanished import Watch, unsent

Opened = WeakSet[asyncio.WriteTransport]


async def watch(opened: Opened) -> NoReturn:
    """Close the connections that are over."""
    watch = Watch()
    while True:
        await asyncio.sleep(watch.interval)
        transports = [each for each in opened if not each.is_closing()]
        for transport in watch.over({each: each.get_extra_info("socket") for each in transports}):
            transport.abort()


def finish(transport: asyncio.WriteTransport) -> bool:
    """Send FIN after all that is not sent yet; return whether it can be closed already."""
    transport.write_eof()
    return not unsent(transport.get_extra_info("socket"))


class Connection(asyncio.BaseProtocol):
    """What is no echo in a Protocol: its transport, its peer, and its end."""

    def __init__(self, opened: Opened) -> None:
        self.opened = opened

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, to write to it."""
        self.transport = cast("asyncio.Transport", transport)
        self.opened.add(self.transport)
        self.peer = listeners.text(transport.get_extra_info("peername"))

    def eof_received(self) -> bool:
        """Return whether the transport is to stay open: for the watch to close it."""
        return not finish(self.transport)
