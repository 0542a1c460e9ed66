"""A relay under test, with its control; its proxies listen on ports that the kernel picks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from clients.relay import Relay
from services.relay.server import PROXIES
from services.wire.record import Record
from tests.support.pace import FAR, until
from tests.support.processes import Server, running

COMMAND = ("python", "-m", "services.relay.server")
ANY_PORTS = {f"WIRELAB_RELAY_{name.upper().replace('-', '_')}_PORT": "0" for name in PROXIES}


@contextmanager
def relaying(**settings: str) -> Iterator[tuple[Relay, Server]]:
    """Run a relay that may lead to loopback; lend its control, and its process."""
    with running(COMMAND, **ANY_PORTS, **settings) as server:
        yield Relay(server.address, FAR), server
        assert server.process.poll() is None, server.log
        assert "Traceback" not in server.log, server.log
        assert "WARNING" not in server.log, server.log


def records(
    relay: Relay, proxy: str, complete: Callable[[list[Record]], Any], number: int = 0
) -> list[Record]:
    """Return the records of a proxy as soon as they are complete."""
    found: list[Record] = []

    def read() -> bool:
        found[:] = [each for each in relay.journal(number) if each.proxy == proxy]
        return bool(complete(found))

    until(read, f"records of {proxy}")
    return found


def ended(count: int = 1) -> Callable[[list[Record]], bool]:
    """Return whether so many connections have ended."""
    ends = ("close", "reset", "refused")
    return lambda found: sum(record.kind in ends for record in found) >= count
