"""A proxy without its sockets: its configuration, its toxics, and what has passed through it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from services.relay.datagram_toxics import DATAGRAM_TOXICS
from services.relay.journal import Journal
from services.relay.stream_toxics import STREAM_TOXICS
from services.relay.toxics import Effect, Toxic, draws
from services.relay.upstreams import Upstreams
from services.wire.record import Action, Protocol, Stream

TOXICS: dict[Protocol, dict[str, type[Effect]]] = {"tcp": STREAM_TOXICS, "udp": DATAGRAM_TOXICS}
STREAMS: tuple[Stream, Stream] = ("upstream", "downstream")

# Bytes that wait in one stream of one connection: the first as long as all together are fewer than
# the budget, and then the second. Who sends more has to wait until they have left.
MAX_WAITING = 256 * 1024
MIN_WAITING = 16 * 1024
BUDGET = 32 * 1024 * 1024


@dataclass
class Shared:
    """What the proxies of a relay have in common.

    `idle` is for how many seconds a UDP client is remembered. `call_later` is the event loop's.
    """

    journal: Journal
    upstreams: Upstreams
    seed: int
    idle: int
    call_later: Callable[..., Any]
    connections: int = 0
    waiting: int = 0  # bytes

    @property
    def limit(self) -> int:
        """Bytes that may wait in one stream now."""
        return MAX_WAITING if self.waiting < BUDGET else MIN_WAITING


class Proxy:
    """A proxy.

    Connections count from 1. `first` is how many there were before the one for which the draws are
    those of the first. `on_change` has what is to be told of changed toxics: see Flow.
    """

    def __init__(
        self, shared: Shared, name: str, listen: str, upstream: str,
        protocol: Protocol = "tcp", seed: int | None = None,
    ) -> None:  # fmt: skip
        self.shared = shared
        self.name, self.listen, self.upstream = name, listen, upstream
        self.protocol: Protocol = protocol
        self.seed = seed
        self.toxics: list[Toxic] = []
        self.on_change: set[Callable[[str, Toxic], None]] = set()
        self.connections = self.first = 0
        self.received = dict.fromkeys(STREAMS, 0)  # bytes
        self.sent = dict.fromkeys(STREAMS, 0)
        self.actions: dict[tuple[str, str], int] = {}  # by the toxic's name and stream

    def renumber(self) -> None:
        """Have the draws of the next connection be those of the first one."""
        self.first = self.connections
        for toxic in self.toxics:
            toxic.first = self.first

    def seed_of(self, toxic: Toxic) -> int:
        """Return the seed of a toxic: its own, the proxy's or the relay's."""
        seeds = (toxic.seed, self.seed, self.shared.seed)
        return next(seed for seed in seeds if seed is not None)

    def add(self, toxic: Toxic) -> None:
        """Add a toxic, for the connections that are open too."""
        toxic.first = self.connections
        self.toxics.append(toxic)
        self.tell("add", toxic)

    def remove(self, toxic: Toxic) -> None:
        """Remove a toxic; what waits in it goes on."""
        self.toxics.remove(toxic)
        self.tell("remove", toxic)

    def tell(self, what: str, toxic: Toxic) -> None:
        """Have it take effect that a toxic was added, removed or changed."""
        for on_change in list(self.on_change):
            on_change(what, toxic)

    def failure(self, number: int) -> Action | None:
        """Return why connection `number` is to fail at once, if it is (fail_first)."""
        for toxic in self.toxics:
            if toxic.type == "fail_first" and self._chance(toxic, number)[0] < toxic.toxicity:
                nth, count = number - toxic.first, int(toxic.attributes["connections"])
                if nth <= count:
                    what = f"failed: connection {nth} of {count} that fail"
                    return Action(toxic.name, toxic.type, self.seed_of(toxic), None, what)
        return None

    def effect(self, toxic: Toxic, number: int) -> tuple[Effect, float]:
        """Return what a toxic does to a connection, and the draw for its toxicity."""
        chance, seed, key = self._chance(toxic, number)
        return TOXICS[self.protocol][toxic.type](toxic, seed, draws(seed, *key)), chance

    def _chance(self, toxic: Toxic, number: int) -> tuple[float, int, tuple[object, ...]]:
        seed = self.seed_of(toxic)
        key = (self.name, number - self.first, toxic.stream, toxic.name)
        return draws(seed, *key, "toxicity")(0), seed, key
