"""UDP time, preforked: a process for each CPU, and in each the bare loop.

Each worker process has its own socket on the same port. With SO_REUSEPORT the kernel chooses the
socket of a request by a hash of its addresses and ports (socket(7)). So requests from one client
port go to one worker, and the replies are sent in the order of the requests.
"""

from services import runtime, workers
from services.udp_sockets import udp_group
from services.udp_time import raw_loop


# All sockets are open before the first fork, so the requests in a worker's socket are served by its
# successor if it dies: services/workers.py.
def serve(address: runtime.Address) -> None:
    """Start the workers, and replace each worker that ends."""
    group = udp_group(address, workers.one_per_cpu())
    with workers.forked(group) as server:
        raw_loop.serve(address, server)


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
