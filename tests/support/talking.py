"""Clients that talk to services through a relay, until something happens to that."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from clients.addresses import Address
from clients.relay import Relay
from services.relay.server import PROXIES
from tests.support.clients import connected
from tests.support.pace import until


class Talker(threading.Thread):
    """A client that asks a service one thing after the other, on one connection, until it fails.

    `error` is then why, and `took` how many seconds that request had taken.
    """

    def __init__(self, service: str, where: Address, seconds: float) -> None:
        super().__init__(daemon=True, name=service)
        self.service, self.where, self.seconds = service, where, seconds
        self.answers = 0
        self.error: Exception | None = None
        self.took = 0.0
        self.stopping = threading.Event()

    def run(self) -> None:
        """Ask, until that fails or is to end."""
        began = time.monotonic()
        try:
            with connected(self.service, self.where, self.seconds) as ask:
                while not self.stopping.wait(0.01):
                    began = time.monotonic()
                    ask(f"word-{self.answers}")
                    self.answers += 1
        except Exception as error:  # noqa: BLE001 - which one it is, is what is asked
            self.error, self.took = error, time.monotonic() - began

    @property
    def failed(self) -> str:
        """Why it failed, as a person reads it; nothing if it has not."""
        return f"{type(self.error).__name__}: {self.error}" if self.error else ""


@contextmanager
def talking(addresses: Mapping[str, Address], seconds: float) -> Iterator[list[Talker]]:
    """Have a client talk to each service, and lend them once all have been answered.

    `seconds` is for each wait on the network. At the end those that go on are stopped.
    """
    talkers = [Talker(service, where, seconds) for service, where in addresses.items()]
    for each in talkers:
        each.start()
    try:
        until(lambda: all(each.answers > 2 or each.error for each in talkers), "answers for all")
        assert [each.failed for each in talkers if each.error] == []
        yield talkers
    finally:
        for each in talkers:
            each.stopping.set()
        for each in talkers:
            each.join(seconds * 3)


def check_failed(talkers: list[Talker]) -> None:
    """Check that all have failed, or do so now: each in its time, and with an error that says why.

    UDP has no connection that would end: its client asks again, until its own time is up.
    """
    for each in talkers:
        each.join(each.seconds * 3)
        assert not each.is_alive(), f"{each.service} still waits"
        assert isinstance(each.error, OSError | EOFError), f"{each.service}: {each.failed}"
        assert str(each.error), each.service
        assert each.took < each.seconds + 1, f"{each.service}: {each.failed} after {each.took} s"


def check_clean(control: Relay) -> None:
    """Check that a relay is as one that was just started: its proxies, and nothing in their way."""
    assert control.profile()["name"] == "clean"
    proxies = control.proxies()
    assert set(proxies) == set(PROXIES)
    for name, proxy in proxies.items():
        state = {key: proxy[key] for key in ("enabled", "protocol", "seed", "toxics")}
        assert state == {
            "enabled": True, "protocol": PROXIES[name][1], "seed": None, "toxics": [],
        }  # fmt: skip


def spoil(control: Relay) -> None:
    """Change what can be changed of a relay, and let services be reached all the same."""
    for name in PROXIES:
        control.add_toxic(name, "latency", latency=5)
        control.update(name, seed=9)
    control.create("one more", control.proxy("rest")["upstream"])
    control.create("disabled", control.proxy("rest")["upstream"], enabled=False)
