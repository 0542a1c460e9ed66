"""kv: what its clients see is one history, across crashes too."""

import os
import signal
import time
import xmlrpc.client
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPException
from itertools import count
from math import inf
from pathlib import Path
from random import Random

import psutil
import pytest

from clients import kv
from clients.addresses import Address
from tests.hostile.linearizability import MISSING, NAMES, Operation, calls, violations
from tests.hostile.reliability import Row
from tests.support.drivers import DRIVERS, Driver
from tests.support.pace import until
from tests.support.processes import running

CLIENTS = 8


class Recorder:
    """Clients of a server that may be another one now and then, and the history of what they saw.

    It is used in a `with`: its body says where the server is, and the clients stop at the end.
    """

    def __init__(self, seed: int) -> None:
        self.address: Address | None = None
        self.history: list[Operation] = []
        self._random = Random(seed)  # noqa: S311 - to be repeated
        self._new = count()
        self._stopped = False

    @contextmanager
    def clients(self) -> Iterator[None]:
        """Have the clients call for as long as the body of the `with` runs."""
        with ThreadPoolExecutor(CLIENTS) as threads:
            running = [threads.submit(self._run, self._random.random()) for _ in range(CLIENTS)]
            try:
                yield
            finally:
                self._stopped = True
            for client in running:
                client.result()

    def _run(self, seed: float) -> None:
        seen: dict[str, object] = {}
        source = calls(Random(seed), self._new, seen)  # noqa: S311
        while not self._stopped:
            address = self.address
            if not address:
                time.sleep(0.001)
                continue
            with kv.proxy(address) as store:
                while address == self.address and not self._stopped:
                    if not self._call(store, Operation(*next(source), time.monotonic()), seen):
                        break

    def _call(
        self, store: xmlrpc.client.ServerProxy, operation: Operation, seen: dict[str, object]
    ) -> bool:
        """Make a call and note what came of it; return whether the connection is still good."""
        try:
            answer = getattr(store, operation.method)(operation.name, *operation.arguments)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != kv.NO_SUCH_KEY:
                raise
            answer = MISSING
        except ConnectionRefusedError:
            time.sleep(0.01)
            return False
        except (OSError, HTTPException):
            self.history.append(operation)  # carried out or not, now or later: nobody knows
            return False
        self.history.append(operation._replace(answered=time.monotonic(), answer=answer))
        if operation.method == "get":
            seen[operation.name] = answer
        return True


def recorded(driver: Driver, file: Path, seed: int, operations: int, kills: int) -> list[Operation]:
    """Return the history of a server that is killed so many times, and started again.

    Half of the times only its worker is killed, where it has one: gunicorn starts another, and
    whoever waits in the kernel's queue goes on waiting there.
    """
    recorder = Recorder(seed)

    def go_on() -> None:
        wanted = len(recorder.history) + operations / (kills + 1)
        until(lambda: len(recorder.history) >= wanted, "more calls", 60)

    with recorder.clients():
        for _ in range(kills // 2):
            with running(driver.command, WIRELAB_KV_FILE=str(file)) as server:
                recorder.address = server.address
                go_on()
                for worker in psutil.Process(server.process.pid).children():
                    worker.kill()
                go_on()
                os.killpg(server.process.pid, signal.SIGKILL)
                server.process.wait()
        with running(driver.command, WIRELAB_KV_FILE=str(file)) as server:
            recorder.address = server.address
            go_on()
    return recorder.history


def lost(history: list[Operation]) -> int:
    """Return how many calls have no answer."""
    return sum(operation.answered == inf for operation in history)


@pytest.mark.soak
def test_every_answer_fits_one_order_of_all_calls(
    tmp_path: Path, measured: Row, seed: int, soak: float
) -> None:
    """8 clients and 10 kills in 10,000 calls, and one order of the calls explains every answer."""
    durable, naive = DRIVERS["kv"]
    # Others, rather than a longer one: there, the search may have too much to try.
    histories = [
        recorded(durable, tmp_path / f"kv{number}.sqlite3", seed + number, 10_200, 10)
        for number in range(1 + int(0.3 * soak))
    ]
    wrong = [name for history in histories for name in violations(history)]
    unanswered = sum(map(lost, histories))
    answered = sum(map(len, histories)) - unanswered
    measured.limit("linearizable")
    measured.safe(
        f"{answered} answers, {unanswered} lost in {10 * len(histories)} kills,"
        f" {len(wrong)} of {len(histories) * len(NAMES)} registers wrong"
    )
    forgetful = recorded(naive, tmp_path / "none", seed, 1000, 4)
    measured.naive("single", f"{len(violations(forgetful))} of {len(NAMES)} registers wrong")
    assert answered >= 10_000 * len(histories)
    assert unanswered
    assert wrong == []
    assert violations(forgetful)
