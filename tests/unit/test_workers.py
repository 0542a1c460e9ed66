"""Worker processes: how many there are, and that none leaves its block alive."""

import os
import re
import sys
import time
from subprocess import PIPE

import pytest

from lab import ROOT
from services import workers
from services.runtime import SettingError
from tests.support.processes import beside


@pytest.mark.parametrize(("cpus", "count"), [(1, 1), (3, 3), (8, 8), (64, 8)])
def test_there_is_a_worker_for_each_usable_cpu_up_to_eight(
    cpus: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default; a container may be allowed fewer CPUs than the machine has."""
    monkeypatch.delenv("WIRELAB_WORKERS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cpus)))
    assert workers.one_per_cpu() == count


def test_a_single_share_needs_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """The `with` block then runs in this process."""
    monkeypatch.delenv("WIRELAB_WORKERS", raising=False)
    assert workers.count() == 1
    with workers.several(["Hello"]) as share:
        assert share == "Hello"


def test_the_number_of_workers_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be more than 8, and not 0."""
    monkeypatch.setenv("WIRELAB_WORKERS", "12")
    assert workers.one_per_cpu() == 12
    monkeypatch.setenv("WIRELAB_WORKERS", "0")
    with pytest.raises(SettingError) as caught:
        workers.one_per_cpu()
    assert str(caught.value) == "WIRELAB_WORKERS has value '0'. Not a whole number from 1 up"


FAILING = """
import logging, sys, time
from services import workers
from tests.support.processes import beside
logging.basicConfig(stream=sys.stdout, format="%(message)s")
try:
    with workers.forked(["Hello"]):
        {body}
finally:
    print("never printed by a worker", flush=True)
"""


@pytest.mark.parametrize(
    ("body", "reported"),
    [("raise ValueError('spam')", "ValueError"), ("sys.exit(0)", "SystemExit"), ("pass", "")],
)
def test_a_worker_that_fails_is_replaced_after_a_pause(body: str, reported: str) -> None:
    """Whatever it raises ends only the worker, and runs no clean-up of the parent's."""
    command = [sys.executable, "-c", FAILING.format(body=body)]
    with beside(command, cwd=ROOT, stdout=PIPE, stderr=PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        lines = [process.stdout.readline()]
        began = time.monotonic()
        lines += [process.stdout.readline() for _ in range(5)]
        took = time.monotonic() - began
        process.kill()
        traceback = process.stderr.read()
    for line in lines:
        assert re.fullmatch(r"worker 1 \(process \d+\) ended with status 1\n", line)
    assert len(set(lines)) == 6
    assert took > 3 * workers.PAUSE_SECONDS  # of 5: the first line may have been read late
    assert reported in traceback
