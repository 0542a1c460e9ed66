"""TCP echo, preforked: a process for each CPU, and in each the event-driven server.

Python runs one thread at a time in a process, so it takes several processes to use several CPUs.
Each worker process has its own listener on the same port. With SO_REUSEPORT the kernel chooses the
listener of a new connection by a hash of the connection's addresses and ports (socket(7)).
"""

from functools import partial

from services import listeners, runtime, workers
from services.tcp_echo import evented
from services.tcp_echo.transform import transform_from_settings


# The parent opens all listeners before the first fork, and keeps them open: so when a worker dies,
# the connections in the accept queue of its listener are served by its successor. If each worker
# opened its own listener, the listener would close when the worker dies, and the kernel would reset
# the connections in its queue. And as the number of listeners changes, so does the kernel's choice:
# the ACK that completes a handshake could reach another listener than the SYN, and be answered by a
# reset.
def serve(address: runtime.Address) -> None:
    """Start the workers, and replace each worker that ends."""
    transform_from_settings()  # an error in this setting ends the parent, and not each worker
    group = listeners.tcp_group(address, workers.one_per_cpu(), buffers=evented.CHUNK)
    workers.run([partial(evented.serve, address, listener) for listener in group])


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
