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
    "server", "requests/s", "of ours", "CPU µs", "per wake-up", "busy", "p50", "p99", "p99.9",
    "never served", "MiB", "CPUs: server", "load", "balance",
)  # fmt: skip
GOAL_HEADINGS = (
    "workload", "compared with", "measured", "goal", "95 % interval", "rounds", "CPU", ""
)  # fmt: skip
METRICS = {
    "rate": "requests/s",
    "p50": "p50",
    "p99": "p99",
    "added": "p50 added to it",
    "cpu": "CPU time of a request",
    "balance": "busiest worker to least busy one",
}

INTRODUCTION = """\
# The benchmark

`make bench` measures every server, its variants and its peers as local processes, and writes this
page, its pictures and [benchmark.json](benchmark.json). `make bench QUICK=1` takes a minute or
two and measures only what there is a goal for.{unpublishable}

- All of it comes from one machine: {cpus} CPUs ({cpu}), {memory_gib} GiB, Linux {kernel}, Python
  {python}. Elsewhere the figures are others. It was measured in one run ({began}), except what has
  another date beside it. Servers that are compared were always measured in the same run.
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
  where the kernel puts them. With a single client, or in bursts, they share one CPU, as only one of
  them has something to do at a time: two CPUs would mostly show how long an idle one takes to wake
  up.
- *requests/s*: a closed loop of {seconds:g} s, in which each client sends again as soon as it is
  answered (in bursts: as soon as all are). *of ours*: the same, compared with our default server.
- *CPU µs*: the server's CPU time for a request, in microseconds. It varies less than the rate and
  does not depend on how fast the load is. In the table of goals it is a ratio: below 1 our server
  needs less than the other one.
- *per wake-up*: how many requests a server answers each time that epoll reports events, on average;
  empty for a server that does not use epoll. Three workloads of tcp-echo differ only in when the
  load sends. With 1 connection it sends a request and waits, so each wake-up has one. *In bursts*
  64 connections send at once, and again when all are answered, so each wake-up has about 64. With
  64 connections and no bursts each one sends as soon as it is answered: the slower the server, the
  more requests wait for it. The difference in CPU time between 1 connection and bursts is the cost
  of a wake-up, and the rest is that of a request. What else slows an asyncio server down is that
  its streams receive up to 256 KiB at a time: the C library would map and unmap that much memory
  for each request, if `services/event_loop.py` did not have it keep what is freed.
- *busy*: which of the two was fully used in the closed loop. **server**: one of its processes ran
  for {full:.0%} of the time (a process of Python runs one thread at a time), or all of them used
  every CPU. **load**: its thread ran for that much of the time, or it took CPU time that the
  server could have used: every CPU was used, and the server was not busy. Such a server could do
  more than was measured: its rate is marked ≥, and a goal that compares it says so. **neither**:
  each waited for the other, for a lock or for the disk. **alternating**: a single client and its
  server, or bursts and their answers, on one CPU.
- *p50, p99, p99.9*: latencies in an open loop at a fixed rate, half of what our default server
  reaches, the same for all. Each counts from when its request was due, so a stall is not hidden by
  the requests that it keeps from being sent. What was never answered counts with the time until
  the end. A server that could not keep up with the rate is marked ⚠: its latency only says for how
  long it was asked.
- *never served*: connections without one answer in the closed loop.
- *MiB*: of all processes of the server with the connections open, shared pages counted once (PSS).
- *CPUs*: how many were used during the closed loop. A server that is threaded, forked or run by
  gunicorn may use more than one.
- *balance*: the CPU time of the busiest of several worker processes, divided by that of the least
  busy one: 1 if they share the load equally.
- A *stock client* of object-echo is that of the standard library, `multiprocessing.connection`, and
  the others are our own. Either is a process. With one client the rate is the reciprocal of the
  latency, and the goal of half the rate is one of twice the latency.
- In front of the *relay*'s servers stands the relay, and its figures are its own: CPU time and
  memory of the server behind it do not count. *directly* is that server without it. With a single
  client, relay, server and load share one CPU. The two workloads with a toxic show from outside
  whether it does what it says: they have no other goal than the p50 of a request.
- *kv-cluster* is kv that stores to one node of etcd in place of a file, and *the gateway of etcd*
  that node, asked without kv in between. CPU time and memory of kv on etcd are kv's own. All of
  them write to the same disk. With a single client kv, etcd and load share one CPU, and kv's time
  comes on top of the gateway's; the calls of many clients share a transaction.
- **C** is a server that does little but what the kernel asks for. It costs about as much as the
  load does, so the two limit each other. Seen by `perf record`, with 64 clients, it spends 98 % of
  its CPU time in the kernel, and ours 75 % for udp-time and 80 % for tcp-echo; the rest is the
  interpreter, and the C library that it calls. Of the 1.9 µs of a datagram that are not the
  kernel's, 0.6 are the reply itself (`services/udp_time/reply.py`), and most others are Python's
  `recvfrom` and `sendto`: they make a tuple of each address, and an address of each tuple. A loop
  of these two calls and nothing else is in the kernel for 85 % of its time, so no server in Python
  comes closer to C than that.
- *A list of 1,000 records* are dicts of numbers, texts and lists, a pickle of 75 KB. It is sent as
  the first of two lists that the server puts together, so each server has decoded all of it, and so
  has each client that gets the result. What decodes it in C is faster than our decoder, which is
  written in Python ([safe_pickle](../../services/safe_pickle/decoder.py) says why, and what was
  tried): MessagePack, as for Pyro5 and zerorpc, and in gRPC here, or `pickle.loads`, which runs
  whatever a client sends. The goals compare it with what is written in Python too: Pyro5 as it
  comes, with *serpent*, and XML-RPC.

## Goals

{goals}
"""


def write(folder: Path) -> None:
    """Write benchmark.md and the pictures from benchmark.json in `folder`."""
    from bench import pictures  # its package comes with `make bench`; the tables need none

    found = json.loads((folder / "benchmark.json").read_text())
    for service, workloads in by_service(found).items():
        pictures.draw(workloads, folder / picture(service))
    (folder / "benchmark.md").write_text(page(found))


def by_service(found: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the workloads of each service."""
    services: dict[str, list[dict[str, Any]]] = {}
    for workload in found["workloads"]:
        services.setdefault(workload["service"], []).append(workload)
    return services


def picture(service: str) -> str:
    """Return the name of the file with the picture of a service."""
    return f"benchmark-{service}.svg"


def page(found: dict[str, Any]) -> str:
    """Return the page in Markdown."""
    text = INTRODUCTION.format(
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
                goal_row(workload, goal, date(found, workload))
                for workload in found["workloads"]
                for goal in workload["goals"]
            ],
        ),
    )
    for service, workloads in by_service(found).items():
        text += f"\n## {service}\n\n![requests per second and latencies]({picture(service)})\n"
        for workload in workloads:
            text += f"\n### {workload['what']}\n\n"
            text += f"Open loop: {workload['offered']:,.0f} requests/s.{date(found, workload)}\n\n"
            text += markdown(HEADINGS, rows(workload)) + "\n"
    return text


def show(found: dict[str, Any]) -> None:
    """Print the tables of what was measured in this run."""
    measured = [each for each in found["workloads"] if each["began"] == found["began"]]
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(width=150, highlight=False)
    for workload in measured:
        table = Table(title=name(workload), title_justify="left")
        for heading in HEADINGS:
            table.add_column(heading, justify="left" if heading == "server" else "right")
        for row in rows(workload):
            table.add_row(*row, style="bold" if row[0].endswith("(default)") else "")
        console.print(table)
    table = Table(*GOAL_HEADINGS, title="Goals")
    colours = {True: "", False: "red", None: "yellow"}
    for workload in measured:
        for goal in workload["goals"]:
            table.add_row(*goal_row(workload, goal), style=colours[goal["met"]])
    console.print(table)
    for reason in found["unpublishable"]:
        console.print(f"not for publication: {reason}")


def name(workload: dict[str, Any]) -> str:
    """Return what a workload is called."""
    return f"{workload['service']}: {workload['what']}"


def date(found: dict[str, Any], workload: dict[str, Any]) -> str:
    """Return a sentence with the date of another run, if it has measured the workload."""
    return "" if workload["began"] == found["began"] else f" Measured on {workload['began'][:10]}."


def rows(workload: dict[str, Any]) -> list[list[str]]:
    """Return the rows of a workload's table, the fastest server first."""
    own = next(server["rate"] for server in workload["servers"] if server["kind"] == "default")
    return [
        [
            server["name"] + (" (default)" if server["kind"] == "default" else ""),
            rate(server),
            f"{server['rate'] / own:.2f}",
            f"{server['cpu_per_request']:.1f}",
            f"{server['per_wakeup']:.1f}" if server["per_wakeup"] else "",
            server["busy"],
            *(latency(server, part) for part in ("p50", "p99", "p999")),
            f"{server['never_served']:g}",
            f"{server['memory']:.1f}",
            f"{server['server_busy']:.2f}",
            f"{server['load_busy']:.2f}"
            + (f" ✗ {server['failures']} failed" * bool(server["failures"])),
            f"{server['balance']:.2f}" if server["balance"] else "",
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


def goal_row(workload: dict[str, Any], goal: dict[str, Any], date: str = "") -> list[str]:
    """Return the row of a goal."""
    mark = {True: "✓", False: "✗", None: "≈"}[goal["met"]]
    what = name(workload) + (f".{date}" if date else "")
    if goal["metric"] == "never_served":
        return [
            what, "connections never served", f"{goal['value']:g}",
            f"≤ {goal['bound']:g}", "", str(goal["rounds"]), "", mark,
        ]  # fmt: skip
    peer = goal.get("peer")
    default = next(each["name"] for each in workload["servers"] if each["kind"] == "default")
    server = None if goal["server"] == default else goal["server"]
    limited = [
        each["name"]
        for each in workload["servers"]
        if each["busy"] == "load" and each["name"] in (goal["server"], peer) and peer
    ]
    interval, metric = goal["interval"], METRICS[goal["metric"]]
    return [
        what,
        ", ".join(filter(None, (" beside ".join(filter(None, (server, peer))), metric))),
        amount(goal, goal["value"]),
        bound(goal),
        " to ".join(amount(goal, end).removesuffix(" x") for end in interval or ()),
        str(goal["rounds"]),
        f"{goal['cpu']:.2f} x" if goal.get("cpu") else "",
        mark + (f" the load limits {' and '.join(limited)}" if limited else ""),
    ]


def amount(goal: dict[str, Any], value: float) -> str:
    """Return the value of a goal with its unit: a time, or how many times as much."""
    if goal["metric"] == "added":
        return f"{value:.0f} µs"
    return f"{value / 1000:.1f} ms" if goal["metric"] == "p50" else f"{value:.2f} x"


def bound(goal: dict[str, Any]) -> str:
    """Return what a goal asks for."""
    if goal.get("tolerance"):
        return f"{amount(goal, goal['bound'])} ± {goal['tolerance']:.0%}"
    if goal["metric"] == "added":
        return f"≤ {amount(goal, goal['bound'])}"
    return f"{'≥' if goal['metric'] == 'rate' else '≤'} {goal['bound']:g} x"


def markdown(headings: tuple[str, ...], lines: list[list[str]]) -> str:
    """Return a table in Markdown: its first column to the left, the others to the right."""
    table = [headings, ["---", *["---:"] * (len(headings) - 1)], *lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in table)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
