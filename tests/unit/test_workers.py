"""Worker processes: how many, that they are replaced, and what the death of a worker costs."""

import os
import re
import socket
import sys
import time
from contextlib import ExitStack, suppress
from subprocess import PIPE, Popen

import psutil
import pytest

from clients.addresses import Address
from scripts.stack import ROOT
from services import workers
from services.runtime import SettingError
from tests.support.pace import until
from tests.support.processes import Server, running
from tests.support.sockets import receive

PREFORKED = ["python", "-m", "services.tcp_echo.preforked"]


def started(server: Server) -> dict[int, int]:
    """Return the processes of all workers that were started, by the worker's number; the last."""
    found = re.findall(r"worker (\d+) is process (\d+)", server.log)
    return {int(number): int(process) for number, process in found}


def connect(address: Address) -> socket.socket:
    """Return a connection whose calls fail rather than wait for ever."""
    return socket.create_connection(address, 5)


def answered(clients: list[socket.socket], seconds: float) -> list[socket.socket]:
    """Send five bytes on each connection; return those on which they come back in time."""
    served = []
    for client in clients:
        client.sendall(b"Hello")
    for client in clients:
        client.settimeout(seconds)
        with suppress(TimeoutError):
            served += [client] if receive(client, 5) == b"Hello" else []
    return served


@pytest.mark.parametrize(("cpus", "count"), [(1, 1), (3, 3), (8, 8), (64, 8)])
def test_there_is_a_worker_for_each_usable_cpu_up_to_eight(
    cpus: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default; a container may be allowed fewer CPUs than the machine has."""
    monkeypatch.delenv("WIRELAB_WORKERS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cpus)))
    assert workers.one_per_cpu() == count


def test_the_number_of_workers_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be more than 8, and not 0."""
    monkeypatch.setenv("WIRELAB_WORKERS", "12")
    assert workers.one_per_cpu() == 12
    monkeypatch.setenv("WIRELAB_WORKERS", "0")
    with pytest.raises(SettingError) as caught:
        workers.one_per_cpu()
    assert str(caught.value) == "WIRELAB_WORKERS has value '0'. Not a whole number from 1 up"


@pytest.mark.parametrize("number", [1, 2])
def test_a_worker_that_was_killed_is_replaced_and_the_log_says_which(number: int) -> None:
    """By another process of the same number; the other worker is not touched."""
    with running(PREFORKED, WIRELAB_WORKERS="2") as server:
        until(lambda: len(started(server)) == 2, "two workers")
        before = started(server)
        psutil.Process(before[number]).kill()
        until(lambda: started(server)[number] != before[number], "another worker")
        line = f"worker {number} (process {before[number]}) ended with status -9"
        assert server.log.count(line) == 1
        assert started(server)[3 - number] == before[3 - number]
        children = psutil.Process(server.process.pid).children()
        assert {child.pid for child in children} == set(started(server).values())


def test_a_killed_worker_costs_only_its_own_connections() -> None:
    """Connections in the accept queue of its listener are served by its successor."""
    with running(PREFORKED, WIRELAB_WORKERS="2") as server, ExitStack() as stack:
        until(lambda: len(started(server)) == 2, "two workers")
        worker = psutil.Process(started(server)[1])
        early = [stack.enter_context(connect(server.address)) for _ in range(20)]
        assert answered(early, 5) == early
        worker.suspend()
        late = [stack.enter_context(connect(server.address)) for _ in range(20)]
        of_the_other = answered(early + late, 0.2)
        lost = [client for client in early if client not in of_the_other]
        queued = [client for client in late if client not in of_the_other]
        assert lost
        assert queued
        worker.kill()
        for client in queued:
            client.settimeout(5)
            assert receive(client, 5) == b"Hello"
        for client in lost:
            with pytest.raises(ConnectionResetError):
                client.recv(1)
        assert answered(of_the_other + queued, 5) == of_the_other + queued


FAILING = """
import logging, sys, time
from services import workers
logging.basicConfig(stream=sys.stdout, format="%(message)s")
def fail():
    raise {error}
try:
    workers.run([fail])
finally:
    print("never printed by a worker", flush=True)
"""


@pytest.mark.parametrize("error", ["ValueError('spam')", "SystemExit(0)"])
def test_a_worker_that_fails_is_replaced_after_a_pause(error: str) -> None:
    """Whatever it raises ends only the worker, and runs no clean-up of the parent's."""
    command = [sys.executable, "-c", FAILING.format(error=error)]
    with Popen(command, cwd=ROOT, stdout=PIPE, stderr=PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        lines = [process.stdout.readline()]
        began = time.monotonic()
        lines += [process.stdout.readline() for _ in range(2)]
        took = time.monotonic() - began
        process.kill()
        traceback = process.stderr.read()
    for line in lines:
        assert re.fullmatch(r"worker 1 \(process \d+\) ended with status 1\n", line)
    assert len(set(lines)) == 3
    assert took > 1.5 * workers.PAUSE_SECONDS
    assert error.split("(")[0] in traceback
