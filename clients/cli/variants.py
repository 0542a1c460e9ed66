"""All variants of a server side by side: what each one promises and keeps, who waits, how long."""

import os
import socket
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from statistics import median, quantiles
from typing import Any

from clients.addresses import Address, known, unix_socket
from clients.client import Client
from clients.client import client as client_of

TOGETHER = 20  # connections, open at the same time
WORD = "0123456789" * 6  # what each exchange is about
PATIENCE = 1.5  # seconds that one of them waits
CONNECTIONS = 10  # one after the other, for the time to the first answer
EXCHANGES = 500  # on one connection, at the most
LONGEST = 1.0  # seconds for them, at the most
# So many variants are checked at the same time. Most of that time their checks wait, for a server
# that is not made for them; in the rest each needs memory, and the processor.
CHECKED_TOGETHER = 4


# The concurrency models of each service, as the drivers in its folder are named; its default first.
DRIVERS = {
    "tcp-echo": (
        "evented", "preforked", "coroutines", "callbacks", "raw_loop", "single", "stream_handler",
        "threaded", "forked", "prethreaded",
    ),
    "udp-time": ("raw_loop", "preforked", "callbacks", "single", "threaded", "forked", "evented"),
    "rest": ("gunicorn", "single"),
    "kv": ("gunicorn", "single"),
    "object-echo": ("evented", "coroutines", "threaded", "classic"),
    "rpc": ("evented", "coroutines", "threaded", "classic"),
}  # fmt: skip


class NotRunning(Exception):
    """There is nothing to compare; the message says why."""


@dataclass(frozen=True)
class Variant:
    """A server to compare: its concurrency model, and its address or the path of a UNIX socket."""

    model: str
    where: Any

    def __str__(self) -> str:
        return self.model if isinstance(self.where, Address) else f"{self.model} (UNIX)"


@dataclass(frozen=True)
class Outcome:
    """What came of a variant; where there is an `error` it gave no answer, and the rest is void.

    `failed` has the checks that failed, of `checks`, each with its reason. `served` is how many
    of TOGETHER open connections get an answer, `beside_silent` whether one does while another says
    nothing. `first_answer` is the time from connecting to the first answer, and `round_trips`
    those from a request to its answer after that, in seconds.
    """

    variant: Variant
    error: str = ""
    checks: int = 0
    failed: tuple[str, ...] = ()
    served: int = 0
    beside_silent: bool = False
    first_answer: float = 0.0
    round_trips: tuple[float, ...] = ()

    def percentile(self, percent: int) -> float:
        """Return the round trip that so many of a hundred did not exceed, in seconds."""
        return quantiles(self.round_trips, n=100, method="inclusive")[percent - 1]


def variants(service: str, environ: Mapping[str, str] = os.environ) -> list[Variant]:
    """Return the servers of a service that are known: of each model one, and its UNIX socket.

    Raises ValueError for the address of one that is none.
    """
    found = []
    for model, server in servers(service).items():
        if where := known(server, service, environ):
            found.append(Variant(model, where))
        if socket := unix_socket(server, environ):
            found.append(Variant(model, str(socket)))
    return found


def servers(service: str) -> dict[str, str]:
    """Return the name of the server of each model, as compose.yaml has it; the default first."""
    default, *others = DRIVERS[service]
    return {default: service} | {model: f"{service}-{model.replace('_', '-')}" for model in others}


def compare(service: str, say: Callable[[str], object]) -> list[Outcome]:
    """Check and measure the variants of `service`; `say` is told what is next, `steps()` times.

    They are checked at the same time, and measured one after the other when nothing else goes on.
    Raises NotRunning where there are not two of them to compare.
    """
    found = variants(service)
    client = client_of(service)
    say(f"{service}: checking what each one promises")
    with ThreadPoolExecutor(CHECKED_TOGETHER) as threads:
        outcomes = list(threads.map(partial(check, client), found))
    answering = {outcome.variant.model for outcome in outcomes if not outcome.error}
    if len(answering) < 2:
        only = f"only {answering.pop()}" if answering else "none"
        raise NotRunning(f"of the variants of {service} {only} answers")
    for number, outcome in enumerate(outcomes):
        say(f"{service}: measuring {outcome.variant}")
        if not outcome.error:
            outcomes[number] = measure(client, outcome)
    return outcomes


def check(client: Client, variant: Variant) -> Outcome:
    """Hold a variant to what the default server promises, if it answers at all."""
    try:
        client.health(variant.where, PATIENCE)
    except Exception as problem:  # noqa: BLE001 - whatever it is, this one does not answer
        return Outcome(variant, error=reason(problem))
    checks = [check for check in client.CHECKS if check.by_address]
    failed = []
    for promise in checks:
        try:
            promise.run(variant.where)
        except Exception as problem:  # noqa: BLE001 - what fails, and why, is what is asked
            failed.append(f"{promise.what}: {reason(problem)}")
    return Outcome(variant, checks=len(checks), failed=tuple(failed))


def measure(client: Client, outcome: Outcome) -> Outcome:
    """Return the outcome with how long answers take, and who gets one."""
    where = outcome.variant.where

    def one() -> None:
        with client.conversation(where, PATIENCE) as ask:
            ask(WORD)

    try:
        firsts = [duration(one) for _ in range(CONNECTIONS)]
        with client.conversation(where, PATIENCE) as ask:
            end = time.perf_counter() + LONGEST
            exchange = partial(ask, WORD)
            round_trips = [duration(exchange), duration(exchange)]
            while len(round_trips) < EXCHANGES and time.perf_counter() < end:
                round_trips.append(duration(exchange))
        return replace(
            outcome,
            first_answer=median(firsts),
            round_trips=tuple(round_trips),
            served=served(client, where),
            beside_silent=beside_silent(client, where),
        )
    except Exception as problem:  # noqa: BLE001 - whatever it is, the others go on
        return replace(outcome, error=reason(problem))


def duration(action: Callable[[], object]) -> float:
    """Return how long something takes, in seconds."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def served(client: Client, where: Any) -> int:
    """Ask on TOGETHER connections, and return how many get an answer while all stay open."""
    with ExitStack() as opened, ThreadPoolExecutor(TOGETHER) as threads:

        def answered(_: int) -> bool:
            try:
                opened.enter_context(client.conversation(where, PATIENCE))(WORD)
            except Exception:  # noqa: BLE001 - refused, or not in time: it is not served
                return False
            return True

        return sum(threads.map(answered, range(TOGETHER)))


def beside_silent(client: Client, where: Any) -> bool:
    """Whether there is an answer while another connection is open on which nothing is said."""
    with ExitStack() as silent:
        # Who serves datagrams refuses it, and so has nobody to wait for.
        with suppress(ConnectionRefusedError):
            if isinstance(where, Address):
                silent.enter_context(socket.create_connection(where))
            else:
                silent.enter_context(socket.socket(socket.AF_UNIX)).connect(where)
        try:
            client.health(where, PATIENCE)
        except Exception:  # noqa: BLE001 - whatever it is, there is no answer
            return False
        return True


def reason(problem: Exception) -> str:
    """Return in a few words what went wrong."""
    return f"{problem or type(problem).__name__}"[:120]
