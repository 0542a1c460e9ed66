"""TCP echo with the same Protocol, on uvloop: an event loop in C, on libuv."""

import uvloop

from bench.peers import event_loop
from bench.peers.tcp_echo.asyncio_protocol import listen
from services import runtime


def serve(address: runtime.Address) -> None:
    """Serve connections."""
    event_loop.run(listen, address, uvloop.new_event_loop)


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
