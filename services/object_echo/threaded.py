"""Object echo, a thread for each: the driver is connection/threaded.py, the answer is echo.py."""

from services import runtime
from services.connection import threaded
from services.object_echo.echo import ANSWER


def serve(address: runtime.Address) -> None:
    """Send each object back to the client that sent it."""
    threaded.serve(address, ANSWER)


if __name__ == "__main__":
    runtime.main(serve, default_port=25000)
