"""The servers, and how each of them does: by the clients' own exchanges, one every few seconds."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from markupsafe import Markup

from clients.addresses import CONSOLE, PORTS, Address, address, known
from clients.cli.variants import DRIVERS, servers
from clients.client import client
from services.console.events import Element
from services.console.rendering import render
from services.console.view import View
from services.runtime import SettingError
from services.wire.sparkline import sparkline
from services.wire.visible import line

EVERY = 5.0  # seconds from one exchange with a server to the next
PATIENCE = 3.0  # seconds for an answer: a server that has died shows within both together
LOOK_EVERY = 30.0  # seconds from one search for variants to the next
GONE_SECONDS = 60.0  # after which a variant without an answer was stopped, and not to be shown
HISTORY = 60  # latencies that are kept: of five minutes
MAX_PROBLEM = 160  # columns

Rate = Callable[[str], float]


@dataclass(eq=False)
class Server:
    """A server: its latest exchange, and how long those before took.

    `healthy` is None before the first one. Times are in seconds; `asked` and `failing_since` since
    the epoch. In `latencies`, None is for an exchange that failed.
    """

    name: str
    service: str
    where: Address
    rate: Rate
    every: float = EVERY
    healthy: bool | None = None
    problem: str = ""
    asked: float = 0.0
    failing_since: float = 0.0
    latencies: deque[float | None] = field(default_factory=lambda: deque(maxlen=HISTORY))

    def poll(self) -> None:
        """Make an exchange, and note what came of it."""
        started = time.perf_counter()
        try:
            client(self.service).health(self.where, PATIENCE)
        except (Exception, SettingError) as error:  # noqa: BLE001 - the server is not healthy
            self._note(line(f"{error or type(error).__name__}", MAX_PROBLEM), None)
        else:
            self._note("", time.perf_counter() - started)

    def _note(self, problem: str, latency: float | None) -> None:
        self.asked = time.time()
        if problem and self.healthy is not False:
            self.failing_since = self.asked
        self.problem, self.healthy = problem, not problem
        self.latencies.append(latency)

    @property
    def latency(self) -> float | None:
        """How long the latest exchange took; None if it failed, or there was none."""
        return self.latencies[-1] if self.latencies else None

    @property
    def state(self) -> str:
        """The word for it."""
        return {None: "unknown", True: "healthy", False: "failed"}[self.healthy]

    @property
    def document(self) -> dict[str, Any]:
        """It as JSON has it."""
        return {
            "name": self.name,
            "service": self.service,
            "state": self.state,
            "problem": self.problem,
            "latency": self.latency,
            "asked": self.asked or None,
        }

    def sparkline(self, say: Callable[..., str]) -> Markup:
        """Return the picture of the latencies; `say` puts them into words."""
        known = [1000 * each for each in self.latencies if each is not None]
        label = say(
            "latencies",
            count=len(self.latencies),
            latest="—" if self.latency is None else f"{1000 * self.latency:.1f}",
            most=f"{max(known, default=0):.1f}",
            failed=len(self.latencies) - len(known),
        )
        return Markup(sparkline(self.latencies, HISTORY, label))  # noqa: S704 - numbers

    def elements(self, view: View) -> Iterator[Element]:
        """Yield its box."""
        yield Element(
            f"service-{self.name}", lambda: render("server", view, server=self), inside=True
        )


class Stack:
    """All servers. It is itself asked for the variants that there are now."""

    every = LOOK_EVERY

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self.services = [
            Server(name, name, address(name), rate) for name in PORTS if name != CONSOLE
        ]
        self._variants: dict[str, Server] = {}

    def poll(self) -> None:
        """Look for variants that answer, and forget those that have not for long."""
        gone = time.time() - GONE_SECONDS
        for name, server in list(self._variants.items()):
            if server.healthy is False and server.failing_since < gone:
                del self._variants[name]
        for service in DRIVERS:
            for name in servers(service).values():
                if name == service or name in self._variants:
                    continue
                if where := known(name, service):
                    found = Server(name, service, where, self._rate)
                    found.poll()
                    if found.healthy:
                        self._variants[name] = found

    @property
    def servers(self) -> list[Server]:
        """All that are shown: the services, and the variants in the order of theirs."""
        variants = dict(self._variants)
        order = chain.from_iterable(servers(service).values() for service in DRIVERS)
        return self.services + [variants[name] for name in order if name in variants]

    @property
    def failed(self) -> list[str]:
        """The names of those that do not answer."""
        return [server.name for server in self.servers if server.healthy is False]

    def elements(self, view: View) -> Iterator[Element]:
        """Yield the list of all boxes: it changes with which servers there are."""
        found = self.servers
        names = tuple(server.name for server in found)
        yield Element("services", lambda: render("servers", view, servers=found), names)
