"""TCP echo, preforked: a process for each CPU, and in each the event-driven server.

Python runs one thread at a time in a process, so it takes several processes to use several CPUs.
Each worker process has its own listener on the same port. With SO_REUSEPORT the kernel chooses the
listener of a new connection by a hash of the connection's addresses and ports (socket(7)).
"""

from services import listeners, runtime, workers
from services.tcp_echo import evented
from services.tcp_echo.transform import transform_from_settings


# All listeners are open before the first fork: services/workers.py says why.
def serve(address: runtime.Address) -> None:
    """Start the workers, and replace each worker that ends."""
    transform_from_settings()  # an error in this setting ends the parent, and not each worker
    count = workers.one_per_cpu()
    group = listeners.tcp_group(address, count, may_pause=True, buffers=evented.CHUNK)
    with workers.forked(group) as listener:
        evented.serve(address, listener)


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
