"""RPC, asyncio streams: the driver is connection/coroutines.py, the answer is calls.py.

The functions are plain ones, and none of them awaits: one that takes long keeps everybody waiting.
"""

from services import runtime
from services.connection import coroutines
from services.rpc.calls import ANSWER


def serve(address: runtime.Address) -> None:
    """Answer each request with what the function that it names returns, or raises."""
    coroutines.serve(address, ANSWER)


if __name__ == "__main__":
    runtime.main(serve, default_port=17000)
