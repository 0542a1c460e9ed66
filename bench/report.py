"""The results as tables, on the terminal and as Markdown, and as pictures.

python -m bench.report FOLDER writes what can be made of FOLDER/benchmark.json again.
"""

import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import results

SHORTEST = 1.0  # seconds of a loop whose figures may be published

HEADINGS = (
    "server", "requests/s", "of ours", "CPU µs", "busy", "p50", "p99", "p99.9", "never served",
    "MiB", "CPUs: server", "load",
)  # fmt: skip
GOAL_HEADINGS = (
    "workload", "compared with", "measured", "goal", "95 % interval", "rounds", "CPU", ""
)  # fmt: skip

INTRODUCTION = """\
# The benchmark

`make bench` measures every server, its variants and its peers as local processes, and writes this
page, its pictures and [benchmark.json](benchmark.json). `make bench QUICK=1` takes about a
minute and measures only what there is a goal for.{unpublishable}

- All of it comes from one run on one machine ({began}): {cpus} CPUs ({cpu}), {memory_gib} GiB,
  Linux {kernel}, Python {python}. Elsewhere the figures are others.
- The servers of a workload are measured one after the other, and in the opposite order in the next
  round; every round starts a fresh process. A round counts from the first right answer and a
  warm-up on, so the start of a server is no part of it. A server without a right answer ends the
  whole run.
- A figure is the median of its rounds, a ratio the median of the rounds' ratios. The number of
  rounds is {runs} for every server, and up to {limit} for those that an undecided goal is about.
- A goal is met (✓) or missed (✗) when the 95 % confidence interval of the ratio is on one side of
  it. After {limit} rounds that do not decide it stays open (≈). The interval is that of the sign
  test, which asks only on which side of a value each round is: of 6 rounds it is the lowest and the
  highest, of 15 the fourth from either end. If a ratio were exactly at its goal, 15 rounds would
  call it missed in 4 of 100 runs and met in as many, and leave it open in the others.
- The load is one thread in C (bench/load.c); for RPC it is a process for each client, with the
  package's own client in it (bench/rpc_load.py). It checks every answer. Server and load run
  where the kernel puts them; with a single client they share one CPU, as only one of them has
  something to do at a time, and two CPUs would mostly show how long an idle one takes to wake up.
- *requests/s*: a closed loop of {seconds:g} s, in which each client sends again as soon as it is
  answered. *of ours*: the same, compared with our default server.
- *CPU µs*: the server's CPU time for a request, in microseconds. It varies less than the rate and
  does not depend on how fast the load is. In the table of goals it is a ratio: below 1 our server
  needs less than the other one.
- *busy*: which of the two was fully used in the closed loop. **server**: one of its processes ran
  for {full:.0%} of the time (a process of Python runs one thread at a time), or all of them used
  every CPU. **load**: its thread ran for that much of the time, or it took CPU time that the
  server could have used: every CPU was used, and the server was not busy. Such a server could do
  more than was measured: its rate is marked ≥, and a goal that compares it says so. **neither**:
  each waited for the other, for a lock or for the disk. **alternating**: a single client and its
  server, on one CPU.
- *p50, p99, p99.9*: latencies in an open loop at a fixed rate, half of what our default server
  reaches, the same for all. Each counts from when its request was due, so a stall is not hidden by
  the requests that it keeps from being sent. What was never answered counts with the time until
  the end. A server that could not keep up with the rate is marked ⚠: its latency only says for how
  long it was asked.
- *never served*: connections without one answer in the closed loop.
- *MiB*: of all processes of the server with the connections open, shared pages counted once (PSS).
- *CPUs*: how many were used during the closed loop. A server that is threaded, forked or run by
  gunicorn may use more than one.
- **C** is a server that does little but what the kernel asks for. It costs about as much as the
  load does, so the two limit each other.

## Goals

{goals}
"""


def write(folder: Path) -> None:
    """Write benchmark.md and the pictures from benchmark.json in `folder`."""
    from bench import pictures  # its package comes with `make bench`; the tables need none

    found = json.loads((folder / "benchmark.json").read_text())
    page = INTRODUCTION.format(
        **found["machine"],
        began=found["began"][:10],
        runs=found["runs"],
        limit=found["limit"],
        seconds=found["seconds"],
        full=results.FULL,
        unpublishable="".join(
            f"\n\n**Not for publication:** {reason}." for reason in found["unpublishable"]
        ),
        goals=markdown(
            GOAL_HEADINGS,
            [
                goal_row(workload, goal)
                for workload in found["workloads"]
                for goal in workload["goals"]
            ],
        ),
    )
    services = dict.fromkeys(workload["service"] for workload in found["workloads"])
    for service in services:
        workloads = [each for each in found["workloads"] if each["service"] == service]
        picture = f"benchmark-{service}.svg"
        pictures.draw(workloads, folder / picture)
        page += f"\n## {service}\n\n![requests per second and latencies]({picture})\n"
        for workload in workloads:
            page += f"\n### {workload['what']}\n\n"
            page += f"Open loop: {workload['offered']:,.0f} requests/s.\n\n"
            page += markdown(HEADINGS, rows(workload)) + "\n"
    (folder / "benchmark.md").write_text(page)


def show(found: dict[str, Any]) -> None:
    """Print the tables."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(width=150, highlight=False)
    for workload in found["workloads"]:
        table = Table(title=name(workload), title_justify="left")
        for heading in HEADINGS:
            table.add_column(heading, justify="left" if heading == "server" else "right")
        for row in rows(workload):
            table.add_row(*row, style="bold" if row[0].endswith("(default)") else "")
        console.print(table)
    table = Table(*GOAL_HEADINGS, title="Goals")
    colours = {True: "", False: "red", None: "yellow"}
    for workload in found["workloads"]:
        for goal in workload["goals"]:
            table.add_row(*goal_row(workload, goal), style=colours[goal["met"]])
    console.print(table)
    for reason in found["unpublishable"]:
        console.print(f"not for publication: {reason}")


def name(workload: dict[str, Any]) -> str:
    """Return what a workload is called."""
    return f"{workload['service']}: {workload['what']}"


def rows(workload: dict[str, Any]) -> list[list[str]]:
    """Return the rows of a workload's table, the fastest server first."""
    own = next(server["rate"] for server in workload["servers"] if server["kind"] == "default")
    return [
        [
            server["name"] + (" (default)" if server["kind"] == "default" else ""),
            rate(server),
            f"{server['rate'] / own:.2f}",
            f"{server['cpu_per_request']:.1f}",
            server["busy"],
            *(latency(server, part) for part in ("p50", "p99", "p999")),
            f"{server['never_served']:g}",
            f"{server['memory']:.1f}",
            f"{server['server_busy']:.2f}",
            f"{server['load_busy']:.2f}"
            + (f" ✗ {server['failures']} failed" * bool(server["failures"])),
        ]
        for server in sorted(workload["servers"], key=lambda server: -server["rate"])
    ]


def rate(server: dict[str, Any]) -> str:
    """Return the requests per second, marked where the load limits them."""
    return ("≥ " if server["busy"] == "load" else "") + f"{server['rate']:,.0f}"


def latency(server: dict[str, Any], part: str) -> str:
    """Return a latency with its unit."""
    value = server["latency"][part]
    mark = "" if server["kept_up"] else " ⚠"
    return (f"{value:.0f} µs" if value < 1000 else f"{value / 1000:.1f} ms") + mark


def goal_row(workload: dict[str, Any], goal: dict[str, Any]) -> list[str]:
    """Return the row of a goal."""
    mark = {True: "✓", False: "✗", None: "≈"}[goal["met"]]
    if goal["metric"] == "never_served":
        return [
            name(workload), "connections never served", f"{goal['value']:g}",
            f"≤ {goal['bound']:g}", "", str(goal["rounds"]), "", mark,
        ]  # fmt: skip
    limited = [
        server["name"]
        for server in workload["servers"]
        if server["busy"] == "load" and server["name"] in (goal["server"], goal["peer"])
    ]
    interval = goal["interval"]
    return [
        name(workload),
        f"{goal['peer']}, " + {"rate": "requests/s", "p99": "p99"}[goal["metric"]],
        f"{goal['value']:.2f} x",
        f"{'≥' if goal['metric'] == 'rate' else '≤'} {goal['bound']:g} x",
        f"{interval[0]:.2f} to {interval[1]:.2f}" if interval else "",
        str(goal["rounds"]),
        f"{goal['cpu']:.2f} x" if goal["cpu"] else "",
        mark + (f" the load limits {' and '.join(limited)}" if limited else ""),
    ]


def markdown(headings: tuple[str, ...], lines: list[list[str]]) -> str:
    """Return a table in Markdown: its first column to the left, the others to the right."""
    table = [headings, ["---", *["---:"] * (len(headings) - 1)], *lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in table)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
