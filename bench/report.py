"""The results as tables, on the terminal and as Markdown, and as pictures.

python -m bench.report FOLDER writes what can be made of FOLDER/benchmark.json again.
"""

import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

HEADINGS = (
    "server", "requests/s", "of ours", "p50", "p99", "p99.9", "never served", "MiB",
    "CPU s per million", "CPUs: server", "load",
)  # fmt: skip

INTRODUCTION = """\
# The benchmark

`make bench` measures every server, its variants and its peers as local processes, and writes this
page, its pictures and [benchmark.json](benchmark.json). `make bench QUICK=1` takes less than a
minute and measures only what there is a goal for.

- All of it comes from one run on one machine ({began}): {cpus} CPUs ({cpu}), {memory_gib} GiB,
  Linux {kernel}, Python {python}. Elsewhere the figures are others.
- The servers of one piece of work take turns, {runs} rounds there and back; every round starts a
  fresh process. A figure is the median of its rounds, a ratio the median of the rounds' ratios.
  The column *rounds* shows how far these are apart: where that is much, a ratio near its goal
  decides nothing.
- The load is one thread in C (bench/load.c); for RPC it is a process for each client, with the
  package's own client in it (bench/rpc_load.py). It checks every answer. Server and load run
  where the kernel puts them; with a single client they share one CPU, as only one of them has
  something to do at a time, and two CPUs would mostly show how long an idle one takes to wake up.
- *requests/s*: a closed loop of {seconds:g} s, in which each client sends again as soon as it is
  answered. *of ours*: the same, compared with our default server.
- *p50, p99, p99.9*: latencies in an open loop at a fixed rate, half of what our default server
  reaches, the same for all. Each counts from when its request was due, so a stall is not hidden by
  the requests that it keeps from being sent. What was never answered counts with the time until
  the end. A server that could not keep up with the rate is marked ⚠: its latency only says for how
  long it was asked.
- *never served*: connections without one answer in the closed loop.
- *MiB*: of all processes of the server with the connections open, shared pages counted once (PSS).
- *CPUs*: how many are busy during the closed loop. Where the server's figure is near 1.0 and its
  model has one thread, the server is the limit; where it is not and the load's is, the load is.
  **C** is a server that does little but what the kernel asks for. It costs about as much as the
  load does, so the two limit each other, and what is slower than C is not limited by the load.

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
        seconds=found["seconds"],
        goals=markdown(
            ("work", "compared with", "measured", "goal", "rounds", ""),
            [goal_row(work, goal) for work in found["works"] for goal in work["goals"]],
        ),
    )
    services = dict.fromkeys(work["service"] for work in found["works"])
    for service in services:
        works = [work for work in found["works"] if work["service"] == service]
        picture = f"benchmark-{service}.svg"
        pictures.draw(works, folder / picture)
        page += f"\n## {service}\n\n![requests per second and latencies]({picture})\n"
        for work in works:
            page += f"\n### {work['what']}\n\nOpen loop: {work['offered']:,.0f} requests/s.\n\n"
            page += markdown(HEADINGS, rows(work)) + "\n"
    (folder / "benchmark.md").write_text(page)


def show(found: dict[str, Any]) -> None:
    """Print the tables."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(width=140, highlight=False)
    for work in found["works"]:
        table = Table(title=f"{work['service']}: {work['what']}", title_justify="left")
        for heading in HEADINGS:
            table.add_column(heading, justify="left" if heading == "server" else "right")
        for row in rows(work):
            table.add_row(*row, style="bold" if row[0].endswith("(default)") else "")
        console.print(table)
    table = Table("work", "compared with", "measured", "goal", "rounds", "", title="Goals")
    for work in found["works"]:
        for goal in work["goals"]:
            table.add_row(*goal_row(work, goal), style="" if goal["met"] else "red")
    console.print(table)


def rows(work: dict[str, Any]) -> list[list[str]]:
    """Return the rows of a work's table, the fastest server first."""
    own = next(server["rate"] for server in work["servers"] if server["kind"] == "default")
    return [
        [
            server["name"] + (" (default)" if server["kind"] == "default" else ""),
            f"{server['rate']:,.0f}",
            f"{server['rate'] / own:.2f}" if own else "",
            *(latency(server, part) for part in ("p50", "p99", "p999")),
            f"{server['never_served']:g}",
            f"{server['memory']:.1f}",
            f"{server['cpu_per_million']:.1f}" if server["rate"] else "",
            f"{server['server_busy']:.2f}",
            f"{server['load_busy']:.2f}"
            + (f" ✗ {server['failures']} failed" * bool(server["failures"])),
        ]
        for server in sorted(work["servers"], key=lambda server: -server["rate"])
    ]


def latency(server: dict[str, Any], part: str) -> str:
    """Return a latency with its unit."""
    value = server["latency"][part]
    mark = "" if server["kept_up"] else " ⚠"
    return (f"{value:.0f} µs" if value < 1000 else f"{value / 1000:.1f} ms") + mark


def goal_row(work: dict[str, Any], goal: dict[str, Any]) -> list[str]:
    """Return the row of a goal."""
    sign = "≥" if goal["metric"] == "rate" else "≤"
    unit = "" if goal["metric"] == "never_served" else " x"
    what = {"rate": "requests/s", "p99": "p99", "never_served": "connections never served"}
    return [
        f"{work['service']}: {work['what']}",
        f"{goal['peer']}, {what[goal['metric']]}" if goal["peer"] else what[goal["metric"]],
        f"{goal['value']:.2f}{unit}" if unit else f"{goal['value']:g}",
        f"{sign} {goal['bound']:g}{unit}",
        f"{goal['lowest']:.2f} to {goal['highest']:.2f}" if unit else "",
        "✓" if goal["met"] else "✗",
    ]


def markdown(headings: tuple[str, ...], lines: list[list[str]]) -> str:
    """Return a table in Markdown: its first column to the left, the others to the right."""
    table = [headings, ["---", *["---:"] * (len(headings) - 1)], *lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in table)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
