"""The benchmark: `make bench`, or `python -m bench --help`.

The servers of a workload are measured in one run of this program, alternating and repeated: what
one machine does in one hour can be compared, and so only the ratios mean something elsewhere. A run
of some services keeps what an earlier one wrote about the others, and the page has both dates.
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
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from bench import BUILD, etcd, http_requests, report, results
from bench.runs import Sample, measure
from bench.workloads import Workload, commands, workloads
from clients.cli.options import number_from, parsed, seconds
from lab import ROOT, LabError, processes

EXAMPLES = """\
examples:
  python -m bench --quick                       a first look, in a minute or two
  python -m bench tcp-echo udp-time             two services, every server of theirs
  python -m bench rpc --beside ../before        is my change slower than that checkout?
  python -m bench --to docs/benchmark           new figures for the documentation
  python -m bench rest --to docs/benchmark      new figures of one service

Each server is started afresh in every round, loaded in a closed and in an open loop, and stopped.
A goal (or the comparison with another checkout) is decided when the 95 % confidence interval of
its ratio is on one side of the bound, which takes six rounds or more. benchmark.md explains the
figures.
"""

console = Console(stderr=True, highlight=False)


def say(text: str, style: str = "") -> None:
    """Print a line, however long, as it is."""
    console.print(text, style=style, markup=False, soft_wrap=True)


def checkout(text: str) -> Path:
    """Return the folder of a checkout of this repository."""
    if not Path(text, "compose.yaml").is_file() or not Path(text, "services").is_dir():
        raise ValueError
    return Path(text).resolve()


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(
        prog="python -m bench",
        usage="python -m bench [SERVICE ...] [options]",
        description="Measure the servers of the lab, their variants and their peers side by side.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    known = ", ".join(services())
    made.add_argument(
        "only", nargs="*", metavar="SERVICE",
        help=f"measure only these, and keep what --to has of the others (default: all of {known})",
    )  # fmt: skip
    made.add_argument(
        "--runs", type=number_from(1, 99), metavar="N",
        help="rounds that every server is measured in (default: 5, or 1 if quick)",
    )  # fmt: skip
    made.add_argument(
        "--limit", type=number_from(1, 99), metavar="N",
        help="rounds after which an undecided goal stays undecided"
        " (default: three times --runs, or the same if quick)",
    )  # fmt: skip
    made.add_argument(
        "--seconds", type=seconds, metavar="S", help="of each loop (default: 1, or 0.1 if quick)"
    )
    made.add_argument(
        "--quick", action="store_true", help="measure only what goals are about, once and briefly"
    )
    made.add_argument(
        "--beside", type=parsed("a checkout of this repository", checkout), metavar="FOLDER",
        help="measure our servers alternating with those of the same names in another checkout",
    )  # fmt: skip
    made.add_argument(
        "--to", type=Path, default=BUILD / "results", metavar="FOLDER",
        help="where to write benchmark.json, benchmark.md and the pictures"
        " (default: build/bench/results)",
    )  # fmt: skip
    return made


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options of the command line; a wrong one ends the program with one line."""
    made = parser()
    options = made.parse_args(words)
    for service in options.only:
        if service not in services():
            made.error(f"argument SERVICE: {service!r} is not one of {', '.join(services())}")
    options.seconds = options.seconds or (0.1 if options.quick else 1.0)
    options.runs = options.runs or (1 if options.quick else 5)
    options.limit = options.limit or options.runs * (1 if options.quick else 3)
    if options.limit < options.runs:
        made.error(f"argument --limit: {options.limit} is less than the {options.runs} of --runs")
    if options.to.exists() and not options.to.is_dir():
        made.error(f"argument --to: {str(options.to)!r} is not a folder")
    if is_for_publication(options) and (notes := unpublishable(options)):
        made.error(f"argument --to: {str(options.to)!r} is for publication, and {notes[0]}")
    return options


def is_for_publication(options: argparse.Namespace) -> bool:
    """Whether the results go into the documentation."""
    return bool(options.to.resolve().is_relative_to(ROOT / "docs"))


def unpublishable(options: argparse.Namespace) -> list[str]:
    """Return the reasons why what is measured is not for publication."""
    reasons = []
    if options.seconds < report.SHORTEST:
        reasons.append(f"loops of {options.seconds:g} s are too short: take {report.SHORTEST:g} s")
    if options.beside:
        reasons.append(f"the servers called beside are those of {options.beside}")
    elif options.quick:
        reasons.append("not every server is measured")
    elif options.only:
        have = {*options.only, *(each["service"] for each in kept(options))}
        if missing := [name for name in services() if name not in have]:
            reasons.append(f"there are no results of {', '.join(missing)} that can stay beside")
    return reasons


def services() -> list[str]:
    """Return the services that are measured."""
    return list(dict.fromkeys(workload.service for workload in workloads()))


def conditions(options: argparse.Namespace) -> dict[str, Any]:
    """Return what has to be the same for results of two runs to stand on one page."""
    return {
        "machine": machine(),
        "runs": options.runs,
        "limit": options.limit,
        "seconds": options.seconds,
    }


def kept(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the results that stay as they are in the folder: those of services not named.

    They were measured under the same conditions, and of the same workloads and servers.
    """
    file = options.to / "benchmark.json"
    if not options.only or options.quick or options.beside or not file.exists():
        return []
    found = json.loads(file.read_text())
    if any(found[name] != value for name, value in conditions(options).items()):
        return []
    stay = []
    for service in [name for name in services() if name not in options.only]:
        wanted = [results.outline(each) for each in workloads() if each.service == service]
        there = [each for each in found["workloads"] if each["service"] == service]
        if [each.get("outline") for each in there] == wanted:
            stay += there
    return stay


def chosen(options: argparse.Namespace) -> list[Workload]:
    """Return the workloads to run."""
    wanted = [each for each in workloads() if each.service in options.only or not options.only]
    if options.quick:
        wanted = [workload.for_goals() for workload in wanted if workload.goals]
    if options.beside:
        for service in dict.fromkeys(workload.service for workload in wanted):
            missing = commands(service).keys() - commands(service, options.beside).keys()
            for name in sorted(missing):
                say(f"{service}: {options.beside} has no {name}, which is left out")
        wanted = [workload.beside(options.beside) for workload in wanted]
    return wanted


def possible(wanted: Sequence[Workload]) -> list[Workload]:
    """Return the workloads that can be run: on etcd, none where there is no engine to have it of.

    Raises LabError where its image cannot be built.
    """
    if not any(workload.on_etcd for workload in wanted) or etcd.provide():
        return list(wanted)
    say("kv-cluster is left out: the program etcd is in an image, and no engine answers")
    return [workload for workload in wanted if not workload.on_etcd]


def run(options: argparse.Namespace, wanted: Sequence[Workload]) -> Iterator[dict[str, Any]]:
    """Run the workloads, and yield what was found.

    The servers are measured one after the other, and in the opposite order in the next round, so
    that a machine that gets slower favours none. When each has had its rounds, those go on that
    undecided goals are about.
    """
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), "{task.description}")
    with Progress(*columns, console=console, transient=True) as progress:
        total = sum(len(workload.targets) for workload in wanted) * options.runs
        task = progress.add_task("", total=total)
        for workload in wanted:
            samples: dict[str, list[Sample]] = {target.name: [] for target in workload.targets}
            targets, offered = workload.targets, 0.0
            for number in range(options.limit):
                if number >= options.runs:
                    targets = results.undecided(workload, samples)
                    total += len(targets)
                    progress.update(task, total=total)
                for target in targets[:: -1 if number % 2 else 1]:
                    progress.update(task, description=f"{workload.name}: {target.name}")
                    loop = max(options.seconds, workload.seconds)
                    sample = measure(workload, target, loop, offered)
                    offered = offered or sample.offered
                    samples[target.name].append(sample)
                    progress.advance(task)
            rounds = max(map(len, samples.values()))
            say(f"{workload.name}: {len(samples)} servers, up to {rounds} rounds")
            yield results.of(workload, samples, offered)


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


def main() -> None:
    """Measure, show the tables, write the results."""
    options = arguments()
    if not (BUILD / "load").exists():
        raise LabError("the programs in C are not built; `make bench` does, scripts/bench_tools.sh")
    options.to.mkdir(parents=True, exist_ok=True)
    lock = (BUILD / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise LabError("another benchmark runs, and each would measure the other too") from None
    (BUILD / "authkey").write_text(secrets.token_hex(32))
    http_requests.write()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    wanted = chosen(options)
    reasons = unpublishable(options)
    if len(can := possible(wanted)) < len(wanted):
        reasons.append("there are no results of kv-cluster")
        if is_for_publication(options):
            raise LabError("a page for publication has results of kv-cluster, too")
    began = datetime.now(UTC).isoformat(timespec="seconds")
    measured = [{**each, "began": began} for each in run(options, can)]
    found = {
        "began": began,
        **conditions(options),
        "unpublishable": reasons,
        "workloads": sorted(
            [*measured, *kept(options)], key=lambda each: services().index(each["service"])
        ),
    }
    (options.to / "benchmark.json").write_text(json.dumps(found, indent=1) + "\n")
    report.write(options.to)
    report.show(found)
    say(f"written to {options.to}: benchmark.json, benchmark.md and the pictures")


if __name__ == "__main__":
    # A run that is ended from outside stops its servers, as after Ctrl-C; also one that a shell has
    # started in the background, where SIGINT is ignored.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    status: int | str = 0
    try:
        main()
    except LabError as error:
        say(f"bench: {error}", "red")
        status = 1
    except KeyboardInterrupt:
        say("interrupted")
        status = 130
    finally:
        # Also one that the interrupt came upon while it was being started.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        processes.stop([child.pid for child in psutil.Process().children()])
    sys.exit(status)
