"""A network between a client and a server of ours: the lab's relay, and its faults."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from clients.addresses import Address
from clients.relay import Relay
from lab.workshop.client import Recording
from lab.workshop.mine import Mine
from services.relay.server import PROXIES
from services.wire.record import Record, Stream

COMMAND = ("python", "-m", "services.relay.server")
ANY_PORTS = {f"WIRELAB_RELAY_{name.upper().replace('-', '_')}_PORT": "0" for name in PROXIES}


class Network:
    """A proxy of the relay, named like the service that it leads to; clients talk to `address`."""

    def __init__(self, relay: Relay, service: str) -> None:
        self.relay, self.service = relay, service
        self.address = relay.listening(service)
        self.step = 0.0  # seconds of one bar, if the picture is to show how much came when

    def records(self) -> list[Record]:
        """Return all that has passed, or was to."""
        return [each for each in self.relay.journal() if each.proxy == self.service]

    def data(self, stream: Stream = "upstream") -> list[Record]:
        """Return the data that came from the client, or from the server."""
        return [each for each in self.records() if (each.kind, each.stream) == ("data", stream)]


@contextmanager
def network(
    mine: Mine, server: Address, service: str, *toxics: Mapping[str, object], seed: int = 1
) -> Iterator[Network]:
    """Run a relay that leads to a server, with these toxics; the same seed has the same faults.

    What has passed is there for the picture, however the body of the `with` ends.
    """
    with mine.ours(*COMMAND, **ANY_PORTS) as control:
        relay = Relay(control, 10 * mine.patience)
        relay.delete(service)  # the one that leads to the service's usual port
        relay.create(
            service, str(server), protocol=PROXIES[service][1], seed=seed, toxics=[*toxics]
        )
        lent = Network(relay, service)
        try:
            yield lent
        finally:
            mine.recordings += recordings(lent.records())
            if lent.step:
                rate = Recording(1, service, records=lent.data(), by="rate", step=lent.step)
                mine.recordings.append(rate)


def recordings(records: list[Record]) -> list[Recording]:
    """Return what has passed, a recording for each connection."""
    found: dict[int, Recording] = {}
    for each in records:
        if each.connection not in found:
            found[each.connection] = Recording(
                each.connection, each.proxy, each.protocol, by="relay"
            )
        # What was done shows by itself: an arrow that is late, comes twice, or does not arrive.
        found[each.connection].records.append(replace(each, actions=()))
    return [*found.values()]


def toxic(
    kind: str, stream: Stream = "downstream", name: str = "", **attributes: float
) -> Mapping[str, object]:
    """Return a toxic as the relay's control has it (services/relay/README.md)."""
    return {"name": name, "type": kind, "stream": stream, "attributes": attributes}
