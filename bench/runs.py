"""One run: a server is started, loaded in a closed and in an open loop, looked at and stopped.

Server and load run where the kernel puts them, as they do elsewhere. Where they alternate, with a
single client or with bursts, they share one CPU: only one of them has something to do at a time,
and on two CPUs most of what is measured would be how the machine wakes up an idle one.
"""

import ctypes
import json
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from bench import BUILD
from bench.workloads import Target, Workload, commands
from clients.addresses import Address
from clients.relay import Relay
from lab import ROOT, LabError, processes
from lab.description import port_variable

MIB = 1024 * 1024
PATIENCE = 15.0  # seconds that a load waits for the first right answer
GRACE = 30.0  # seconds that it may take beyond its time and its patience
LIBC = ctypes.CDLL(None)
COUNTER = struct.Struct("@l")


@dataclass
class Sample:
    """What one run found.

    `latency` is in microseconds, of the open loop, `memory` in MiB, `cpu_per_request` the server's
    CPU time in microseconds. `server_busy` and `load_busy` say how many CPUs each of them used in
    the closed loop, and `process_busy` what the busiest process of the server used of that.
    `balance` is the CPU time of the busiest of several workers, divided by that of the least busy
    one; 0 without workers. `per_wakeup` is the number of requests for which epoll woke the server
    up, on average; 0 for one that does not use epoll.
    """

    rate: float
    latency: dict[str, float]
    offered: float
    kept_up: bool
    never_served: int
    failures: int
    memory: float
    cpu_per_request: float
    server_busy: float
    process_busy: float
    load_busy: float
    balance: float
    per_wakeup: float


@dataclass
class Usage:
    """What a server has used so far: CPU seconds of its processes, and how often it woke up."""

    cpu: dict[int, float]
    wakeups: int


@contextmanager
def cpus_for(workload: Workload) -> Iterator[None]:
    """Have what is started in here run on the CPUs for `workload`."""
    usable, policy = os.sched_getaffinity(0), os.sched_getscheduler(0)
    if workload.alternates:
        os.sched_setaffinity(0, {min(usable)})
    if workload.bursts:
        # Otherwise the first request of a burst wakes up the server, and the kernel has that run in
        # place of the load, which has not sent the others yet (sched(7)).
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, os.sched_param(0))
        os.sched_setaffinity(0, usable)


@contextmanager
def running(target: Target) -> Iterator[tuple[psutil.Process, Address]]:
    """Run a server, with fresh data."""
    for file in BUILD.glob("kv.sqlite3*"):
        file.unlink()
    (BUILD / "wakeups").write_bytes(COUNTER.pack(0))
    environment = {
        "LD_PRELOAD": str(BUILD / "wakeups.so"),
        "BENCH_WAKEUPS": str(BUILD / "wakeups"),
        **target.environment,
    }
    with ExitStack() as stack:
        if service := target.behind:
            command = next(iter(commands(service, target.folder).values()))
            _, server = stack.enter_context(started(command, {}, "behind", target.folder))
            environment["WIRELAB_RELAY_UPSTREAMS"] = f"{service}={server}"
            environment[port_variable(f"relay-{service}")] = "0"
        if target.store:
            _, store = stack.enter_context(started(target.store, {}, "store", ROOT))
            environment["WIRELAB_KV_ETCD"] = str(store)
        process, where = stack.enter_context(
            started(target.command, environment, "server", target.folder)
        )
        if service:
            relay = Relay(where)
            if target.toxic:
                relay.add_toxic(service, **target.toxic)
            where = relay.listening(service)
        yield process, where


@contextmanager
def started(
    command: Sequence[str], environment: Mapping[str, str], name: str, folder: Path
) -> Iterator[tuple[psutil.Process, Address]]:
    """Run a program on a port that the kernel picks; it logs to the file of that name."""
    log = BUILD / f"{name}.log"
    ours = {"WIRELAB_PORT": "0", "WIRELAB_AUTHKEY_FILE": str(BUILD / "authkey")}
    process = processes.start(command, {**ours, **environment}, log, folder)
    try:
        yield psutil.Process(process.pid), processes.listening(process, log)
    finally:
        processes.stop([process.pid])
        process.wait()


def measure(workload: Workload, target: Target, seconds: float, offered: float) -> Sample:
    """Start a server, load it for `seconds` in a closed loop and again in an open one, stop it.

    `offered` is the rate (requests per second) of the open loop; 0 for half of what the closed
    loop has just reached. Raises LabError, which names workload and server, where the load fails
    or the server does: also one that gives no right answer.
    """
    try:
        with cpus_for(workload), running(target) as (process, where):
            if prepare := target.prepare or workload.prepare:
                prepare(where)
            at_start: list[Usage] = []
            with loading(
                workload, target, where, seconds, 0, lambda: at_start.append(usage(process))
            ) as closed:
                after = usage(process)
                resident = memory(process)
            if not closed["requests"] or closed["wrong"] >= closed["answered"]:
                raise LabError(f"no right answer in {seconds:g} s:\n{tail('load')}{tail('server')}")
            offered = offered or max(1.0, closed["rate"] / 2)
            with loading(workload, target, where, seconds, offered) as paced:
                pass
    except LabError as error:
        raise LabError(f"{workload.name}: {target.name}: {error}") from None
    (before,) = at_start
    used = {pid: spent - before.cpu.get(pid, 0.0) for pid, spent in after.cpu.items()}
    total = sum(after.cpu.values()) - sum(before.cpu.values())
    wakeups = after.wakeups - before.wakeups
    rate_per_answer = closed["rate"] / closed["answered"]
    return Sample(
        rate=closed["rate"],
        latency=paced["latency_us"],
        offered=offered,
        kept_up=paced["rate"] > 0.95 * offered,
        never_served=closed["never_served"],
        failures=sum(run[what] for run in (closed, paced) for what in ("wrong", "errors")),
        memory=resident,
        cpu_per_request=1e6 * total / closed["answered"],
        server_busy=total * rate_per_answer,
        process_busy=max(used.values()) * rate_per_answer,
        load_busy=closed["cpu_seconds"] / closed["seconds"],
        balance=balance([spent for pid, spent in used.items() if pid != process.pid]),
        per_wakeup=closed["answered"] / wakeups if wakeups else 0.0,
    )


@contextmanager
def loading(
    workload: Workload,
    target: Target,
    where: Address,
    seconds: float,
    rate: float,
    at_start: Callable[[], object] = lambda: None,
) -> Iterator[dict[str, Any]]:
    """Load a server, and lend the report while the connections are still open.

    `at_start` is called between warm-up and loop, while nothing is sent. Raises LabError where
    there is no report.
    """
    ours, its = socket.socketpair()
    with its, (BUILD / "load.log").open("wb") as errors:
        load = subprocess.Popen(
            load_command(workload, target, where, seconds, rate),
            cwd=ROOT,
            stdin=its.fileno(),
            stdout=its.fileno(),
            stderr=errors,
            env={**os.environ, "WIRELAB_AUTHKEY_FILE": str(BUILD / "authkey")},
            start_new_session=True,  # Ctrl-C is for the benchmark, which stops it
        )
    try:
        with ours:
            ours.settimeout(PATIENCE + seconds + GRACE)
            yield report(ours, at_start)
    finally:
        processes.stop([load.pid])
        load.wait()


def report(load: socket.socket, at_start: Callable[[], object]) -> dict[str, Any]:
    """Call `at_start` when the load asks for it, and return its report; raises LabError."""
    try:
        with load.makefile("rb") as lines:
            line = lines.readline()
            if line == b"measuring\n":
                at_start()
                load.sendall(b"\n")
                line = lines.readline()
            return dict(json.loads(line))
    except (OSError, ValueError) as error:
        raise LabError(f"no report of the load: {error}\n{tail('load')}") from None


def tail(name: str) -> str:
    """Return the end of a log, in which a failure is explained."""
    lines = (BUILD / f"{name}.log").read_text(errors="replace").splitlines(keepends=True)
    return "".join(lines[-10:])


def load_command(
    workload: Workload, target: Target, where: Address, seconds: float, rate: float
) -> list[str]:
    """Return the command of a load that ends after `seconds`; `rate` 0 is a closed loop."""
    if workload.load == "rpc":
        return [
            sys.executable, "-m", "bench.rpc_load", target.client, where.host, str(where.port),
            "--call", workload.request, "--clients", str(workload.connections),
            "--seconds", str(seconds), "--rate", str(rate), "--patience", str(PATIENCE),
        ]  # fmt: skip
    request = target.request or workload.request
    return [
        str(BUILD / "load"), workload.load, where.host, str(where.port), str(workload.connections),
        str(BUILD / request) if workload.load == "http" else request,
        str(seconds), str(rate), str(PATIENCE), str(int(workload.bursts)),
    ]  # fmt: skip


def usage(process: psutil.Process) -> Usage:
    """Return what a server has used so far."""
    (wakeups,) = COUNTER.unpack((BUILD / "wakeups").read_bytes())
    return Usage(cpu_seconds(process), wakeups)


def balance(used: list[float]) -> float:
    """Return the ratio of the most to the least that workers used; 0 if they are not several."""
    return max(used) / max(min(used), 1e-9) if len(used) > 1 else 0.0


def tree(process: psutil.Process) -> list[psutil.Process]:
    """Return a process and all that it has started."""
    return [process, *process.children(recursive=True)]


def cpu_seconds(process: psutil.Process) -> dict[int, float]:
    """Return the CPU time of a process and of each that it has started, by their ids.

    That of a child which has ended is in its parent's.
    """
    found = {}
    for each in tree(process):
        with suppress(psutil.NoSuchProcess, OSError):
            times = each.cpu_times()
            ended = times.children_user + times.children_system
            found[each.pid] = time.clock_gettime(cpu_clock(each.pid)) + ended
    return found


def cpu_clock(pid: int) -> int:
    """Return the clock of what CPU time a process has used (clock_getcpuclockid(3)).

    It counts nanoseconds; /proc counts hundredths of a second, and rounds down each of the many
    processes of a forking server. Raises OSError.
    """
    clock = ctypes.c_int()
    if number := LIBC.clock_getcpuclockid(pid, ctypes.byref(clock)):
        raise OSError(number, os.strerror(number))
    return clock.value


def memory(process: psutil.Process) -> float:
    """Return the memory of the same processes in MiB; shared pages count once (PSS)."""
    total = 0.0
    for each in tree(process):
        with suppress(psutil.NoSuchProcess):
            total += each.memory_full_info().pss / MIB
    return total
