"""The container health check: `python -m clients.health SERVICE` makes one real exchange.

It runs in the server's own container every few seconds, so it imports the standard library only,
and of that as little as it can.
"""

import importlib
import sys

from clients.addresses import PORTS, Address

TIMEOUT = 3.0  # seconds


def main(service: str) -> None:
    """Exit with status 1 and one line on stderr unless the service answers as it should."""
    client = importlib.import_module(f"clients.{service.replace('-', '_')}")
    try:
        client.health(Address("127.0.0.1", PORTS[service]), TIMEOUT)
    except Exception as error:  # noqa: BLE001 - whatever it is, the service is not healthy
        sys.exit(f"{service}: {type(error).__name__}: {error}")


if __name__ == "__main__":
    main(sys.argv[1])
