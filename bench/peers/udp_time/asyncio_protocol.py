"""UDP time with an asyncio DatagramProtocol."""

import asyncio
import logging
from typing import Any, cast

from bench.peers import event_loop
from services import runtime
from services.udp_time.reply import reply_to

log = logging.getLogger("asyncio-protocol")


def serve(address: runtime.Address) -> None:
    """Answer datagrams."""
    event_loop.run(listen, address)


async def listen(address: runtime.Address) -> asyncio.BaseTransport:
    """Start to receive datagrams."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Time, local_addr=address)
    log.info("listening on %s:%d", *transport.get_extra_info("sockname"))
    return transport


class Time(asyncio.DatagramProtocol):
    """The socket."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """Send the time back to where the datagram came from."""
        if reply := reply_to(data):
            self.transport.sendto(reply, addr)


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
