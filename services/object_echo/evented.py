"""Object echo, event-driven: the driver is connection/evented.py, the answer is echo.py."""

from services import runtime
from services.connection import evented
from services.object_echo.echo import ANSWER


def serve(address: runtime.Address) -> None:
    """Send each object back to the client that sent it."""
    evented.serve(address, ANSWER)


if __name__ == "__main__":
    runtime.main(serve, default_port=25000)
