"""UDP time with the same DatagramProtocol, on uvloop: an event loop in C, on libuv."""

import uvloop

from bench.peers import event_loop
from bench.peers.udp_time.asyncio_protocol import listen
from services import runtime


def serve(address: runtime.Address) -> None:
    """Answer datagrams."""
    event_loop.run(listen, address, uvloop.new_event_loop)


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
