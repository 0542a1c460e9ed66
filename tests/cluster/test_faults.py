"""kv on three nodes of etcd and three replicas: what its clients see when some of them fail."""

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from itertools import count
from threading import Event
from typing import NamedTuple
from xmlrpc.client import Fault

import pytest

from clients import kv
from clients.addresses import Address
from lab.testing.service import Service
from tests.cluster.nodes import KV, NODES, healthy, leader, places, served
from tests.hostile.linearizability import MISSING, NAMES, Operation, violations
from tests.hostile.recording import Recorder
from tests.support.drivers import DRIVERS
from tests.support.pace import until, within
from tests.support.processes import running

OPERATIONS = 10_000
PROMISED = 5.0  # seconds to an answer without a quorum, and to service with one again

Fail = Callable[[Service], AbstractContextManager[None]]
KINDS: dict[str, Fail] = {
    "kill -9": lambda service: service.killed(wait=False),
    "pause": lambda service: service.paused(wait=False),
    "cut off": lambda service: service.cut_off(wait=False),
}


def target(role: str, nodes: Mapping[str, Service]) -> Service:
    """Return the container that a fault is to happen to."""
    if role == "replica":
        return nodes[KV[0]]
    leading = leader(nodes)
    return nodes[leading if role == "leader" else next(n for n in NODES if n != leading)]


@pytest.mark.timeout(600)
def test_one_order_explains_all_answers(nodes: dict[str, Service]) -> None:
    """8 clients of 3 replicas, 10,000 calls, and faults of leaders, followers and replicas."""
    seed = secrets.randbelow(10**6)
    recorder = Recorder(seed)
    faults = [(role, kind) for role in ("leader", "follower", "replica") for kind in KINDS]
    part = OPERATIONS / (4 * len(faults))  # the more comes while faults begin and end
    began = time.monotonic()
    print(f"\nseed {seed}")
    recorder.addresses = places(nodes)
    with recorder.clients():
        for role, kind in faults:
            recorder.go_on(part)
            failing = target(role, nodes)
            with KINDS[kind](failing):
                recorder.go_on(part)
            recorder.addresses = places(nodes)
            print(f"{time.monotonic() - began:5.0f} s  {kind} of {failing.name}, {role}:"
                  f" {len(recorder.history)} calls, {recorder.lost} without an answer")  # fmt: skip
        recorder.go_on(part)
        until(lambda: recorder.answered >= OPERATIONS, "enough answers", 120, every=0.2)
    history = [*recorder.history, *final(recorder.addresses)]
    wrong = violations(history)
    print(f"{recorder.answered} answers, {recorder.lost} lost,"
          f" {len(wrong)} of {len(NAMES)} registers wrong")  # fmt: skip
    assert recorder.lost
    assert wrong == []


def final(addresses: Sequence[Address]) -> list[Operation]:
    """Read all registers of all replicas: what was acknowledged and not overwritten is there."""
    found = []
    for address in addresses:
        with kv.proxy(address) as store:
            for name in NAMES:
                called = time.monotonic()
                answer = store.get(name) if store.exists(name) else MISSING
                found.append(Operation(name, "get", (), called, time.monotonic(), answer))
    return found


def test_stores_that_are_no_replicas_are_found_out() -> None:
    """Three of them, each with its own file, behind the same clients."""
    recorder = Recorder(0)
    with ExitStack() as stack:
        servers = [stack.enter_context(running(DRIVERS["kv"][0].command)) for _ in range(3)]
        recorder.addresses = [server.address for server in servers]
        with recorder.clients():
            recorder.go_on(300)
    assert violations(recorder.history)


class Written(NamedTuple):
    """A write of a name of its own: when it was called and answered, and the code of its fault."""

    name: str
    called: float
    answered: float
    code: int  # 0 for a write that was acknowledged


class Writers:
    """Clients that write to all replicas, and note what came of it."""

    def __init__(self, addresses: Sequence[Address]) -> None:
        self.written: list[Written] = []
        self.stopping = Event()
        self._numbers = count()
        self._addresses = addresses
        self._run = secrets.token_hex(4)

    def write(self, number: int) -> None:
        """Write until told to stop."""
        with kv.proxy(self._addresses[number % len(self._addresses)], timeout=60) as store:
            while not self.stopping.is_set():
                name = f"{self._run} {next(self._numbers)}"
                called, code = time.monotonic(), 0
                try:
                    store.set(name, name)
                except Fault as fault:
                    code = fault.faultCode
                self.written.append(Written(name, called, time.monotonic(), code))

    def after(self, moment: float) -> list[Written]:
        """Return the writes that were called after a moment, and answered."""
        return [each for each in self.written if each.called > moment]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", KINDS)
def test_without_a_quorum_nothing_is_acknowledged(nodes: dict[str, Service], kind: str) -> None:
    """Each write has its fault in time, which tells the truth; and all is well soon after."""
    addresses = places(nodes)
    leading = leader(nodes)
    lost = [leading, next(name for name in NODES if name != leading)]
    writers = Writers(addresses)
    with ThreadPoolExecutor(2 * len(addresses)) as threads:
        running = [threads.submit(writers.write, number) for number in range(2 * len(addresses))]
        try:
            until(lambda: len(writers.written) > 100, "writes")
            with ExitStack() as faults:
                for name in lost:
                    faults.enter_context(KINDS[kind](nodes[name]))
                gone = time.monotonic()
                # Those that were under way then, and two more of each client.
                until(lambda: len(writers.after(gone)) > 3 * len(running), "answers", 60)
                over = time.monotonic()
            there_again = time.monotonic()
            quorum = quorum_again(nodes, lost)
            for address in addresses:
                until(lambda address=address: served(address), "served again")  # type: ignore[misc]
            again = time.monotonic()
        finally:
            writers.stopping.set()
        for client in running:
            client.result()
    during = [each for each in writers.after(gone) if each.answered < over]
    longest = max(each.answered - each.called for each in during)
    codes = [each.code for each in during]
    print(f"\n{kind} of {' and '.join(lost)}: {codes.count(kv.UNAVAILABLE)} unavailable,"
          f" {codes.count(kv.UNKNOWN)} unknown, after {longest:.1f} s at most;"
          f" a quorum {quorum - there_again:.1f} s after their return,"
          f" served again {again - quorum:.1f} s after that")  # fmt: skip
    assert {*codes} <= {kv.UNAVAILABLE, kv.UNKNOWN}
    assert within(longest, PROMISED)
    assert within(again - quorum, PROMISED)
    there = {*names(addresses[0])}
    assert [each for each in writers.written if each.code == 0 and each.name not in there] == []
    refused = [each for each in writers.written if each.code == kv.UNAVAILABLE]
    assert [each for each in refused if each.name in there] == []


def quorum_again(nodes: Mapping[str, Service], lost: Sequence[str]) -> float:
    """Return when etcd had a quorum again: those that were gone have to find it first."""
    until(lambda: all(healthy(nodes[name]) for name in lost), "etcd has a quorum", 60, every=0.1)
    return time.monotonic()


def names(address: Address) -> list[str]:
    """Return all names."""
    with kv.proxy(address, timeout=30) as store:
        found: list[str] = store.keys()  # type: ignore[assignment]
        return found
