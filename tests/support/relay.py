"""A relay under test, with its control; its proxies listen on ports that the kernel picks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from clients.addresses import Address
from clients.relay import Relay
from lab.description import services
from services.wire.record import Record
from tests.support.pace import FAR, until
from tests.support.processes import Server, running

COMMAND = ("python", "-m", "services.relay.server")
# For a relay, and for a whole lab, so that any number of them run at the same time.
ANY_PORTS = {port.setting: "0" for service in services({}) for port in service.ports}
ENDS = ("close", "reset", "refused")


class RelayUnderTest(Relay):
    """The control of a relay with a proxy `p`, which each test makes anew, and its records."""

    since = 0  # the number of the first record of that proxy

    @contextmanager
    def proxied(self, upstream: object, **more: Any) -> Iterator[Address]:
        """Have the proxy `p`, whose connections count from 1; lend where it listens."""
        self.since = int(self.metrics()["wirelab_relay_journal_records_total"]) + 1
        self.create("p", str(upstream), **more)
        try:
            yield self.listening("p")
        finally:
            self.delete("p")

    def records(self, complete: Callable[[list[Record]], object]) -> list[Record]:
        """Return the records of the proxy `p` as soon as they are complete."""
        found: list[Record] = []

        def read() -> object:
            found[:] = [each for each in self.journal(self.since) if each.proxy == "p"]
            return complete(found)

        until(read, "the records")
        return found

    def ended(self, count: int = 1) -> list[Record]:
        """Return the records as soon as so many connections have ended."""
        return self.records(lambda found: sum(each.kind in ENDS for each in found) >= count)


@contextmanager
def relaying(**settings: str) -> Iterator[tuple[RelayUnderTest, Server]]:
    """Run a relay that may lead to loopback; lend its control, and its process."""
    with running(COMMAND, **ANY_PORTS, **settings) as server:
        yield RelayUnderTest(server.address, FAR), server
        assert server.process.poll() is None, server.log
        assert "Traceback" not in server.log, server.log
        assert "WARNING" not in server.log, server.log
