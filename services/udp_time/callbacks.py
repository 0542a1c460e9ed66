"""UDP time, asyncio callbacks: the event loop receives, and calls a method for each request.

For a single socket the event loop only adds to the work of the bare loop. It pays off if the same
thread also serves other sockets and timers.
"""

import asyncio
import logging
from typing import cast

from services import event_loop, listeners, runtime
from services.udp_sockets import udp_socket
from services.udp_time.reply import reply_to

log = logging.getLogger("udp-time")


def serve(address: runtime.Address) -> None:
    """Serve requests, one at a time."""
    event_loop.run(receive(address))


async def receive(address: runtime.Address) -> None:
    """Receive requests, and pass each to the Protocol: asyncio runs the receive loop."""
    loop = asyncio.get_running_loop()
    server = udp_socket(address)
    await loop.create_datagram_endpoint(Time, sock=server)
    log.info("listening on %s", listeners.text(server.getsockname()))
    await loop.create_future()  # which never completes


class Time(asyncio.DatagramProtocol):
    """The socket."""

    transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, to send with it."""
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Send the reply to the source address of the request."""
        if reply := reply_to(data):
            self.transport.sendto(reply, addr)

    def error_received(self, error: Exception) -> None:
        """Log why there is no reply: a forged source address, for example a broadcast address."""
        log.warning("no reply: %r", error)


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
