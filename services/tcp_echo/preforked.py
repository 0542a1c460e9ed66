"""TCP echo, preforked: a process for each CPU, and in each the event-driven server.

Python runs one thread at a time in a process, so more cores take more processes. Each has its own
listener on the same port: with SO_REUSEPORT the kernel gives a new connection to one of them, by a
hash of its addresses and ports (socket(7)).
"""

from functools import partial

from services import listeners, runtime, workers
from services.tcp_echo import evented


# A connection is in the queue of one of the listeners from its handshake on. If a worker opened its
# listener itself, then with the worker the listener would end, and the kernel would reset all that
# wait in its queue, idle as the other workers may be. And when the next worker opened another one,
# the hash would be over another number of listeners: the ACK that completes a handshake could then
# belong to a listener that has never seen its SYN, and would be answered by a reset. So they are
# opened here, before the first fork, and stay open: what waits in the queue of a worker that died
# is served by its successor.
def serve(address: runtime.Address) -> None:
    """Start the workers, and start another one for each that ends."""
    group = listeners.tcp_group(address, workers.one_per_cpu())
    workers.run([partial(evented.serve, address, listener) for listener in group])


if __name__ == "__main__":
    runtime.main(serve, default_port=20000)
