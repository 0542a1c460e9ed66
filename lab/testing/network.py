"""A network that misbehaves for a test, and what was on the wire: the relay of a stack."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from operator import methodcaller
from typing import Any

from clients.addresses import PORTS, Address
from clients.relay import Relay, RelayError
from lab import LabError
from services.wire.conversation import Conversation, conversations, service_of
from services.wire.event import Event
from services.wire.record import Record, Stream

# A failure shows the line of the test, and not those in here.
__tracebackhide__ = methodcaller("errisinstance", (LabError, AssertionError))

CONTROL = PORTS["relay"]
RECORDS = "wirelab_relay_journal_records_total"

Reach = Callable[[int, str], Address]
"""Where the test reaches a port of the relay: the port's number there, and tcp or udp."""


class Network:
    """What is between a test and the services; `remove_all` undoes all that was added."""

    def __init__(self, reach: Reach) -> None:
        self.control, self._reach = Relay(reach(CONTROL, "tcp")), reach
        self._added: list[tuple[str, str]] = []

    def address(self, service: str) -> Address:
        """Return where a service is reached through the relay; LabError if it is not."""
        proxy = self._proxy(service)
        _, _, port = proxy["listen"].rpartition(":")
        return self._reach(int(port), proxy["protocol"])

    def add(
        self, service: str, kind: str, stream: Stream = "downstream", *,
        toxicity: float = 1.0, seed: int | None = None, **attributes: float,
    ) -> str:  # fmt: skip
        """Add a toxic (services/relay/README.md), and return its name.

        With a seed, the draws of the next connection are those of a first one. Raises LabError for
        one that the relay refuses.
        """
        protocol = self._proxy(service)["protocol"].upper()
        if seed is not None:
            self.control.update(service, seed=seed)
        try:
            made = self.control.add_toxic(
                service, kind, stream, name="", toxicity=toxicity, seed=seed, **attributes
            )
        except RelayError as error:
            raise LabError(f"toxic {kind!r} of {service!r}, by {protocol}: {error}") from None
        self._added.append((service, str(made["name"])))
        return str(made["name"])

    def _proxy(self, service: str) -> dict[str, Any]:
        proxies = self.control.proxies()
        check_known(service, proxies)
        return proxies[service]

    def remove(self, service: str, name: str) -> None:
        """Remove a toxic that was added; nothing happens if it is gone already."""
        self._added.remove((service, name))
        try:
            self.control.remove_toxic(service, name)
        except RelayError as error:
            if error.status != 404:
                raise

    @contextmanager
    def toxic(
        self, service: str, kind: str, stream: Stream = "downstream", *,
        toxicity: float = 1.0, seed: int | None = None, **attributes: float,
    ) -> Iterator[str]:  # fmt: skip
        """Add a toxic for as long as the body runs."""
        name = self.add(service, kind, stream, toxicity=toxicity, seed=seed, **attributes)
        try:
            yield name
        finally:
            self.remove(service, name)

    def remove_all(self) -> None:
        """Remove what was added and is still there. A relay that has ended starts clean again."""
        while self._added:
            try:
                self.remove(*self._added[-1])
            except ConnectionError:
                continue


class Wire:
    """What has passed through the relay since a test began."""

    def __init__(self, reach: Reach) -> None:
        self._control = Relay(reach(CONTROL, "tcp"))
        self._first = int(self._control.metrics()[RECORDS]) + 1

    def records(self, service: str) -> list[Record]:
        """Return what has passed to and from a service, as the relay has noted it.

        Raises LabError for a service that the relay does not lead to: nothing passes to that ever.
        """
        found = [each for each in self._control.journal(self._first)
                 if service in (each.proxy, service_of(each.proxy))]  # fmt: skip
        if not found:
            names = self._control.proxies()
            check_known(service, {*names, *map(service_of, names)} - {""})
        return found

    def conversations(self, service: str) -> list[Conversation]:
        """Return the conversations with a service, decoded, in the order of their beginning."""
        return list(conversations(self.records(service)))

    def requests(self, service: str) -> list[Event]:
        """Return the messages of clients to a service, those that were lost too."""
        return self._messages(service, "upstream")

    def answers(self, service: str) -> list[Event]:
        """Return the messages of a service to clients, those that were lost too."""
        return self._messages(service, "downstream")

    def _messages(self, service: str, stream: Stream) -> list[Event]:
        found = [event for each in self.conversations(service) for event in each.events
                 if event.kind == "message" and event.stream == stream]  # fmt: skip
        return sorted(found, key=lambda event: event.departed)

    def assert_retried_with_same_id(self, service: str) -> None:
        """Fail unless a request was asked again, and each with the ID of the first.

        IDs are those of udp-time.
        """
        requests = self.requests(service)
        names = [each.name for each in requests]
        assert len(requests) > 1, f"{service}: nothing was asked again:{listed(requests)}"  # noqa: S101
        assert set(names) == {names[0]}, f"{service}: other IDs than the first:{listed(requests)}"  # noqa: S101

    def assert_nothing_sent_after(self, service: str, deadline: float) -> None:
        """Fail if a client has sent a service anything after a time, as of time.time()."""
        late = [each for each in self.requests(service) if each.departed > deadline]
        assert not late, f"{service}: sent after the deadline:{listed(late)}"  # noqa: S101


def check_known(service: str, proxies: Iterable[str]) -> None:
    """Raise LabError, which lists the proxies, for a service that has none."""
    if service not in proxies:
        raise LabError(
            f"the relay does not lead to {service!r}; it leads to {', '.join(sorted(proxies))}"
        )


def listed(events: list[Event]) -> str:
    """Return some events, a line each, as a failure shows them."""
    return "".join(f"\n  {each.departed:.3f} {each.summary}" for each in events) or " nothing"
