"""One run: a server is started, loaded in a closed and in an open loop, looked at and stopped.

Server and load run where the kernel puts them, as they do elsewhere. With a single client they
share one CPU: only one of them has something to do at a time, and on two CPUs most of what is
measured would be how the machine wakes up an idle one.
"""

import json
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psutil

from bench import BUILD
from bench.works import Target, Work
from clients.addresses import Address
from scripts import processes
from scripts.stack import LabError

MIB = 1024 * 1024
REPORT = re.compile(r"^\{.*\}$", re.MULTILINE)
GRACE = 30.0  # seconds that a load may take beyond its time


@dataclass
class Sample:
    """What one run found. Latencies are microseconds, in the open loop; memory is MiB."""

    rate: float
    latency: dict[str, float]
    offered: float
    kept_up: bool
    never_served: int
    failures: int
    memory: float
    cpu_per_million: float
    server_busy: float
    load_busy: float


@contextmanager
def cpus_for(work: Work) -> Iterator[None]:
    """Have what is started in here run on the CPUs for `work`."""
    all_of_them = os.sched_getaffinity(0)
    if work.connections == 1:
        os.sched_setaffinity(0, {min(all_of_them)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, all_of_them)


@contextmanager
def running(target: Target) -> Iterator[tuple[psutil.Process, Address]]:
    """Run a server, with fresh data."""
    for file in BUILD.glob("kv.sqlite3*"):
        file.unlink()
    environment = {
        "WIRELAB_PORT": "0",
        "WIRELAB_AUTHKEY_FILE": str(BUILD / "authkey"),
        **target.environment,
    }
    log = BUILD / "server.log"
    process = processes.start(target.command, environment, log)
    try:
        yield psutil.Process(process.pid), processes.listening(process, log)
    finally:
        processes.stop([process.pid])
        process.wait()


def measure(work: Work, target: Target, seconds: float, offered: float) -> Sample:
    """Start a server, load it for `seconds` in a closed loop and again in an open one, stop it.

    `offered` is the rate (requests per second) of the open loop; 0 for half of what the closed
    loop has just reached. Raises LabError where the server or the load fails.
    """
    with cpus_for(work), running(target) as (process, where):
        if work.prepare:
            work.prepare(where)
        before = cpu_seconds(process)
        with loading(work, target, where, seconds, 0) as closed:
            used = cpu_seconds(process) - before
            resident = memory(process)
        offered = offered or max(1.0, closed["rate"] / 2)
        with loading(work, target, where, seconds, offered) as paced:
            pass
    each = used / closed["answered"] if closed["answered"] else 0.0
    return Sample(
        rate=closed["rate"],
        latency=paced["latency_us"],
        offered=offered,
        kept_up=paced["rate"] > 0.95 * offered,
        never_served=closed["never_served"],
        failures=sum(run[what] for run in (closed, paced) for what in ("wrong", "errors")),
        memory=resident,
        cpu_per_million=each * 1e6,
        server_busy=each * closed["rate"],
        load_busy=closed["cpu_seconds"] / closed["seconds"],
    )


@contextmanager
def loading(
    work: Work, target: Target, where: Address, seconds: float, rate: float
) -> Iterator[dict[str, Any]]:
    """Load a server, and lend the report while the connections are still open."""
    environment = {"WIRELAB_AUTHKEY_FILE": str(BUILD / "authkey")}
    log = BUILD / "load.log"
    load = processes.start(load_command(work, target, where, seconds, rate), environment, log)
    try:
        deadline = time.monotonic() + seconds + GRACE
        while not (found := REPORT.search(log.read_text())):
            if load.poll() is not None or time.monotonic() > deadline:
                raise LabError(f"{work.name}: {target.name}: no report:\n{log.read_text()}")
            time.sleep(0.02)
        yield json.loads(found[0])
    finally:
        processes.stop([load.pid])
        load.wait()


def load_command(
    work: Work, target: Target, where: Address, seconds: float, rate: float
) -> list[str]:
    """Return the command of a load that ends after `seconds`; `rate` 0 is a closed loop."""
    if work.load == "rpc":
        return [
            sys.executable, "-m", "bench.rpc_load", target.client, where.host, str(where.port),
            "--work", work.request, "--clients", str(work.connections),
            "--seconds", str(seconds), "--rate", str(rate),
        ]  # fmt: skip
    return [
        str(BUILD / "load"), work.load, where.host, str(where.port), str(work.connections),
        str(BUILD / work.request) if work.load == "http" else work.request,
        str(seconds), str(rate),
    ]  # fmt: skip


def tree(process: psutil.Process) -> list[psutil.Process]:
    """Return a process and all that it has started."""
    return [process, *process.children(recursive=True)]


def cpu_seconds(process: psutil.Process) -> float:
    """Return the CPU time of a process and all that it has started, those that ended included."""
    total = 0.0
    for each in tree(process):
        with suppress(psutil.NoSuchProcess):
            times = each.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def memory(process: psutil.Process) -> float:
    """Return the MiB that its processes take; pages that several share count once (PSS)."""
    total = 0.0
    for each in tree(process):
        with suppress(psutil.NoSuchProcess):
            total += each.memory_full_info().pss / MIB
    return total
