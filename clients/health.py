"""The container health check: `python -m clients.health SERVICE` makes one real exchange.

It runs in the server's own container every few seconds, so it imports the standard library only,
and of that as little as it can.
"""

import sys

from clients.addresses import PORTS, Address
from clients.client import client

TIMEOUT = 3.0  # seconds


def problem(service: str, address: Address) -> str:
    """Return what is wrong with a service, or nothing where it answers as it should."""
    try:
        client(service).health(address, TIMEOUT)
    except Exception as error:  # noqa: BLE001 - whatever it is, the service is not healthy
        return f"{service}: {type(error).__name__}: {error}"
    return ""


if __name__ == "__main__":
    # A text ends the process with status 1 and is printed; an empty one would be no success.
    sys.exit(problem(sys.argv[1], Address("127.0.0.1", PORTS[sys.argv[1]])) or 0)
