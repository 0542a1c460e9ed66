"""The drivers of each service, the default first: how to start them, and what they promise.

Contract tests are run against all of them, and hostile tests against the safe and the naive ones.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from tests.support.processes import WORKERS, Server, running
from tests.support.relay import RelayUnderTest


@dataclass(frozen=True)
class Driver:
    """A server of a service: one concurrency model.

    A safe one promises under attack what the default promises. A naive one is attacked too, to
    show what the difference is.
    """

    service: str
    name: str
    command: tuple[str, ...]
    safe: bool = False
    naive: bool = False
    at_once: float = math.inf  # connections that it serves at the same time
    fragile: bool = False  # whether a peer can end it
    workers: int = 0  # processes that serve, on whatever machine; 0 if it is the only one

    def __str__(self) -> str:
        several = self.workers and self.name != "preforked"
        return f"{self.service} {self.name}" + (f" x{self.workers}" if several else "")

    @property
    def settings(self) -> dict[str, str]:
        """What its environment has to have."""
        return {WORKERS: str(self.workers)} if self.workers else {}

    @property
    def scale(self) -> float:
        """The size of an attack: the safe drivers beside the default have a quarter of it."""
        return 0.25 if self.safe and self != DRIVERS[self.service][0] else 1.0


def module(service: str, name: str, **promises: Any) -> Driver:
    """Return a driver that is a module of its service."""
    path = f"services.{service.replace('-', '_')}.{name}"
    return Driver(service, name, ("python", "-m", path), **promises)


def gunicorn(service: str) -> Driver:
    """Return gunicorn as the configuration of its service has it."""
    command = ("gunicorn", "-c", f"services/{service}/gunicorn.conf.py")
    return Driver(service, "gunicorn", command, safe=True)


DRIVERS = {
    "tcp-echo": [
        module("tcp-echo", "evented", safe=True),
        module("tcp-echo", "preforked", safe=True, workers=2),
        module("tcp-echo", "coroutines", safe=True),
        module("tcp-echo", "callbacks", safe=True),
        module("tcp-echo", "threaded", naive=True),
        module("tcp-echo", "prethreaded", naive=True, at_once=16),
        module("tcp-echo", "forked", at_once=256),
        module("tcp-echo", "single", at_once=1),
        module("tcp-echo", "stream_handler", at_once=1),
        module("tcp-echo", "raw_loop", at_once=1),
    ],
    "udp-time": [
        module("udp-time", "raw_loop", safe=True),
        module("udp-time", "preforked", safe=True, workers=2),
        module("udp-time", "evented", safe=True),
        module("udp-time", "callbacks", safe=True),
        module("udp-time", "threaded", naive=True),
        module("udp-time", "forked"),
        module("udp-time", "single"),
    ],
    "rest": [gunicorn("rest"), module("rest", "single", naive=True)],
    "kv": [gunicorn("kv"), module("kv", "single", naive=True)],
    "object-echo": [
        module("object-echo", "evented", safe=True),
        module("object-echo", "coroutines", safe=True),
        module("object-echo", "threaded", safe=True),
        module("object-echo", "classic", naive=True, at_once=1),
    ],
    "rpc": [
        module("rpc", "evented", safe=True),
        module("rpc", "coroutines", safe=True),
        module("rpc", "threaded", safe=True),
        module("rpc", "classic", naive=True, fragile=True),
    ],
    "httpbin": [gunicorn("httpbin")],
}  # fmt: skip


# Beside `preforked`: what is one process, unless WIRELAB_WORKERS says otherwise.
SEVERAL = (
    ("rest", "gunicorn"),
    ("httpbin", "gunicorn"),
    ("object-echo", "evented"),
    ("rpc", "evented"),
)


def drivers(*services: str) -> list[Driver]:
    """Return all drivers of some services, or of all."""
    return [driver for service in services or DRIVERS for driver in DRIVERS[service]]


def safe(*services: str) -> list[Driver]:
    """Return the drivers of some services that promise what the default promises."""
    return [driver for driver in drivers(*services) if driver.safe]


def named(service: str, *names: str) -> list[Driver]:
    """Return these drivers of a service."""
    found = [driver for driver in DRIVERS[service] if driver.name in names]
    assert len(found) == len(names), f"{service} has no such driver: {names}"
    return found


def in_processes(*services: str) -> list[Driver]:
    """Return those of these services, or of all, that WIRELAB_WORKERS is for, with two workers."""
    return [
        replace(driver, workers=2)
        for driver in drivers(*services)
        if driver.name == "preforked" or (driver.service, driver.name) in SEVERAL
    ]


def attacked(*services: str) -> list[Driver]:
    """Return the safe drivers of some services, and the naive ones."""
    return [driver for driver in drivers(*services) if driver.safe or driver.naive]


RELAYS: list[RelayUnderTest] = []  # with one in it, all that `serving` starts is reached through it


@contextmanager
def reached(driver: Driver, server: Server) -> Iterator[Server]:
    """Lend a server with the address at which its clients reach it."""
    if not RELAYS:
        yield server
        return
    name = f"{driver.service}-{server.address.port}"
    protocol = "udp" if driver.service == "udp-time" else "tcp"
    RELAYS[-1].create(name, str(server.address), protocol=protocol)
    try:
        yield replace(server, address=RELAYS[-1].listening(name))
    finally:
        RELAYS[-1].delete(name)


@contextmanager
def serving(driver: Driver, **environment: str) -> Iterator[Server]:
    """Run a driver; unless it is fragile, no peer ends it or a worker, or causes a traceback."""
    with running(driver.command, **driver.settings, **environment) as server:
        with reached(driver, server) as with_address:
            yield with_address
        if not driver.fragile:
            assert server.process.poll() in (None, 0), server.log
            if server.process.poll() is None:  # else the test may have ended all its processes
                assert "ended with status" not in server.log, server.log  # a worker, now replaced
            assert "Traceback" not in server.log
