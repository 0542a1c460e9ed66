"""Runs of a lesson's checks, all of them, against one file each: a few at a time."""

import json
import os
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

from lab import ROOT
from lab.workshop.lesson import Lesson, lessons
from tests.conftest import OF_MAKE, OURS

AT_ONCE = 2 * (os.cpu_count() or 1)  # most of the time, a check waits
SECONDS = 300.0  # that a run may take: a deadline that only says that something is stuck
# Those that need nodes of etcd are proved by tests/cluster, which has them, and in the same way.
HERE = [each for each in lessons() if each.needs != "cluster"]
ON_CLUSTER = [each for each in lessons() if each.needs == "cluster"]
CLUSTERS: "SimpleQueue[str]" = SimpleQueue()  # the labs whose nodes run, and nobody uses


class Job(NamedTuple):
    """The checks of a lesson, with a file; `time` tells two runs of the same one apart."""

    lesson: int
    file: Path
    time: int = 1

    def __str__(self) -> str:
        of = {each.number: each for each in lessons()}[self.lesson]
        name = (
            self.file.relative_to(of.folder)
            if self.file.is_relative_to(of.folder)
            else self.file.relative_to(ROOT)
        )
        return f"{of.folder.name} {name}" + (f" {self.time}" if self.time > 1 else "")

    @property
    def on_cluster(self) -> bool:
        """Whether it needs nodes of etcd."""
        return self.lesson in [each.number for each in ON_CLUSTER]


Outcomes = dict[str, dict[str, Any]]  # by the check's id


def starts(among: list[Lesson]) -> list[Job]:
    """Return the runs of the files that participants start from, and have to change."""
    return [Job(each.number, each.start) for each in among if each.lines]


def solutions(among: list[Lesson], times: int) -> list[Job]:
    """Return the runs of all solutions, each so often."""
    return [
        Job(each.number, file, time)
        for each in among
        for file in (each.solution, *each.also)
        for time in range(1, times + 1)
    ]


def wrong(among: list[Lesson]) -> list[Job]:
    """Return the runs of the wrong files."""
    return [Job(each.number, file) for each in among for file in each.wrong]


@cache
def pool() -> ThreadPoolExecutor:
    """Return what runs them."""
    return ThreadPoolExecutor(AT_ONCE)


@cache
def submitted(job: Job) -> "Future[Outcomes]":
    """Return the run, which begins as soon as others are done."""
    return pool().submit(carried_out, job, environment())


def environment() -> dict[str, str]:
    """Return what a run is told of the environment: nothing of whoever runs the tests.

    A copy, and made in the thread that changes the environment, as pytest does in each phase of a
    test. A child without one is started with the parent's own array, which setenv(3) may move
    while execve(2) reads it: then that fails with EFAULT.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith((*OURS, *OF_MAKE, "PYTEST_"))
    }


def carried_out(job: Job, environment: dict[str, str]) -> Outcomes:
    """Run all checks, also those after a failure; return the outcome of each."""
    if not job.on_cluster:
        return checked(job, environment)
    project = CLUSTERS.get(timeout=SECONDS)
    try:
        return checked(job, {**environment, "COMPOSE_PROJECT_NAME": project})
    finally:
        CLUSTERS.put(project)


def checked(job: Job, environment: dict[str, str]) -> Outcomes:
    """Run `check` to its end."""
    command = ["-m", "lab", "check", str(job.lesson), "--all", "--json", f"--file={job.file}"]
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    assert not done.stderr, done.stderr
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    return {outcome["check"]: outcome for outcome in outcomes}
