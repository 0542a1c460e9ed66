"""RPC, event-driven: the driver is connection/evented.py, the answer is calls.py.

One thread carries out all calls of its process, so what is registered has to be quick: a function
that takes long keeps all clients of that process waiting.
"""

from services import runtime
from services.connection import evented
from services.rpc.calls import ANSWER


def serve(address: runtime.Address) -> None:
    """Answer each request with what the function that it names returns, or raises."""
    evented.serve(address, ANSWER)


if __name__ == "__main__":
    runtime.main(serve, default_port=17000)
