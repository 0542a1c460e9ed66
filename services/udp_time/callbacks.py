"""UDP time, asyncio callbacks: the event loop receives, and calls a method for each datagram.

For one socket this only adds to what the bare loop does. It pays where the same thread also has
other sockets and timers to look after, which share the loop.
"""

import asyncio
import logging
from typing import cast

from services import event_loop, runtime
from services.udp_time.reply import reply

log = logging.getLogger("udp-time")


def serve(address: runtime.Address) -> None:
    """Answer datagrams as they come."""
    event_loop.run(receive(address))


async def receive(address: runtime.Address) -> None:
    """Receive datagrams, and hand each to the Protocol; asyncio has that loop."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Time, local_addr=address)
    log.info("listening on %s:%d", *transport.get_extra_info("sockname")[:2])
    await loop.create_future()  # for ever


class Time(asyncio.DatagramProtocol):
    """The socket."""

    transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport: it is what there is to send by."""
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Send the time back to where the datagram came from."""
        if response := reply(data):
            self.transport.sendto(response, addr)

    def error_received(self, error: Exception) -> None:
        """Log why there is no answer: a forged source address, such as a broadcast one."""
        log.warning("no answer: %s", error)


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
