"""kv: what its clients see is one history, across crashes too."""

import os
import signal
from pathlib import Path

import psutil
import pytest

from lab.linearizability import violations
from tests.hostile.linearizability import NAMES
from tests.hostile.recording import Recorder
from tests.hostile.reliability import Row
from tests.support.drivers import DRIVERS, Driver
from tests.support.processes import running


def recorded(driver: Driver, file: Path, seed: int, operations: int, kills: int) -> Recorder:
    """Return the record of a server that is killed so many times, and started again.

    Half of the times only its worker is killed, where it has one: gunicorn starts another, and
    whoever waits in the kernel's queue goes on waiting there.
    """
    recorder = Recorder(seed)
    part = operations / (kills + 1)
    with recorder.clients():
        for _ in range(kills // 2):
            with running(driver.command, WIRELAB_KV_FILE=str(file)) as server:
                recorder.addresses = [server.address]
                recorder.go_on(part)
                for worker in psutil.Process(server.process.pid).children():
                    worker.kill()
                recorder.go_on(part)
                os.killpg(server.process.pid, signal.SIGKILL)
                server.process.wait()
        with running(driver.command, WIRELAB_KV_FILE=str(file)) as server:
            recorder.addresses = [server.address]
            recorder.go_on(part)
    return recorder


@pytest.mark.soak
def test_every_answer_fits_one_order_of_all_calls(
    tmp_path: Path, measured: Row, seed: int, soak: float
) -> None:
    """8 clients and 10 kills in 10,000 calls, and one order of the calls explains every answer."""
    durable, naive = DRIVERS["kv"]
    # Others, rather than a longer one: there, the search may have too much to try.
    records = [
        recorded(durable, tmp_path / f"kv{number}.sqlite3", seed + number, 10_200, 10)
        for number in range(1 + int(0.3 * soak))
    ]
    wrong = [name for record in records for name in violations(record.history)]
    unanswered = sum(record.lost for record in records)
    answered = sum(len(record.history) for record in records) - unanswered
    measured.limit("linearizable")
    measured.safe(
        f"{answered} answers, {unanswered} lost in {10 * len(records)} kills,"
        f" {len(wrong)} of {len(records) * len(NAMES)} registers wrong"
    )
    forgetful = recorded(naive, tmp_path / "none", seed, 1000, 4).history
    measured.naive("single", f"{len(violations(forgetful))} of {len(NAMES)} registers wrong")
    assert answered >= 10_000 * len(records)
    assert unanswered
    assert wrong == []
    assert violations(forgetful)
