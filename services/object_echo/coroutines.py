"""Object echo, asyncio streams: the driver is connection/coroutines.py, the answer is echo.py."""

from services import runtime
from services.connection import coroutines
from services.object_echo.echo import ANSWER


def serve(address: runtime.Address) -> None:
    """Send each object back to the client that sent it."""
    coroutines.serve(address, ANSWER)


if __name__ == "__main__":
    runtime.main(serve, default_port=25000)
