"""RPC, a thread for each connection: the driver is connection/threaded.py, the answer is calls.py.

A function that takes long keeps its own connection waiting and no other; one that computes still
shares the interpreter with all others.
"""

from services import runtime
from services.connection import threaded
from services.rpc.calls import ANSWER


def serve(address: runtime.Address) -> None:
    """Answer each request with what the function that it names returns, or raises."""
    threaded.serve(address, ANSWER)


if __name__ == "__main__":
    runtime.main(serve, default_port=17000)
