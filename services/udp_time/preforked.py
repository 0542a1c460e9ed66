"""UDP time, preforked: a process for each CPU, and in each the bare loop.

Each has its own socket on the same port: with SO_REUSEPORT the kernel gives a datagram to one of
them, by a hash of its addresses and ports (socket(7)). So a client that keeps its port keeps its
worker, and the answers to it keep their order.
"""

from functools import partial

from services import listeners, runtime, workers
from services.udp_time import raw_loop


# The sockets are opened here, before the first fork, and stay open: what waits in the buffer of a
# worker that died is answered by its successor, where it would be lost with a socket of its own.
def serve(address: runtime.Address) -> None:
    """Start the workers, and start another one for each that ends."""
    group = listeners.udp_group(address, workers.one_per_cpu())
    workers.run([partial(raw_loop.serve, address, server) for server in group])


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
