"""The benchmark: `make bench`, or `python -m bench --help`.

Everything is measured in one run of this program, in turn and repeated: what one machine does in
one hour can be compared, and so only the ratios mean something elsewhere.
"""

import argparse
import fcntl
import json
import os
import platform
import re
import resource
import secrets
import signal
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from bench import BUILD, http_requests, report, results
from bench.runs import Sample, measure
from bench.works import Work, works
from clients.options import number_from, seconds
from scripts.stack import LabError

console = Console(stderr=True, highlight=False)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure the servers of the lab, their variants and their peers side by side.",
    )
    made.add_argument("only", nargs="*", metavar="SERVICE", help="measure these alone")
    made.add_argument("--runs", type=number_from(1, 99), help="rounds (default: 5, or 1 if quick)")
    made.add_argument("--seconds", type=seconds, help="of each loop (default: 1, or 0.1 if quick)")
    made.add_argument(
        "--quick", action="store_true", help="only what there are goals for, once and briefly"
    )
    made.add_argument(
        "--to", type=Path, default=BUILD / "results", metavar="FOLDER",
        help="where to write benchmark.json, benchmark.md and the pictures (default: build/bench)",
    )  # fmt: skip
    return made


def chosen(options: argparse.Namespace) -> list[Work]:
    """Return the works to do."""
    known = list(dict.fromkeys(work.service for work in works()))
    for service in options.only:
        if service not in known:
            raise LabError(f"no benchmark of {service!r}; there are {', '.join(known)}")
    wanted = [work for work in works() if work.service in (options.only or known)]
    if options.quick:
        wanted = [work.for_goals() for work in wanted if work.goals]
    return wanted


def run(wanted: list[Work], runs: int, length: float) -> Iterator[dict[str, Any]]:
    """Do each piece of work, and yield what was found.

    The servers have their turns one after the other, and back again in the next round, so that a
    machine that gets slower favours none.
    """
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), "{task.description}")
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=sum(len(work.targets) for work in wanted) * runs)
        for work in wanted:
            samples: dict[str, list[Sample]] = {target.name: [] for target in work.targets}
            offered = 0.0
            for turn in range(runs):
                for target in work.targets[:: -1 if turn % 2 else 1]:
                    progress.update(task, description=f"{work.name}: {target.name}")
                    sample = measure(work, target, length, offered)
                    offered = offered or sample.offered
                    samples[target.name].append(sample)
                    progress.advance(task)
            console.print(f"{work.name}: {runs} x {len(work.targets)} servers")
            yield results.of(work, samples, offered)


def machine() -> dict[str, object]:
    """Describe where this runs."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.*)", cpuinfo)
    return {
        "cpu": model[1] if model else platform.machine(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def main() -> int:
    """Measure, show the tables, write the results; 1 where a goal was not reached."""
    options = parser().parse_args()
    wanted = chosen(options)
    runs = options.runs or (1 if options.quick else 5)
    length = options.seconds or (0.1 if options.quick else 1.0)
    BUILD.mkdir(parents=True, exist_ok=True)
    lock = (BUILD / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise LabError("another benchmark runs, and each would measure the other too") from None
    (BUILD / "authkey").write_text(secrets.token_hex(32))
    http_requests.write()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    began = datetime.now(UTC)
    found = {
        "began": began.isoformat(timespec="seconds"),
        "machine": machine(),
        "runs": runs,
        "seconds": length,
        "works": list(run(wanted, runs, length)),
    }
    options.to.mkdir(parents=True, exist_ok=True)
    (options.to / "benchmark.json").write_text(json.dumps(found, indent=1) + "\n")
    report.write(options.to)
    report.show(found)
    console.print(f"written to {options.to}: benchmark.json, benchmark.md and the pictures")
    return 0


if __name__ == "__main__":
    # So that a run that is broken off from outside stops its servers as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(main())
    except LabError as error:
        console.print(f"bench: {error}", style="red", markup=False, soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        console.print("interrupted")
        sys.exit(130)
