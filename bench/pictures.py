"""The results of one service as a picture: a column for each workload."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report import rate

COLOURS = {"default": "#0b7285", "variant": "#74b9c4", "peer": "#adb5bd", "baseline": "#343a40"}
MEANING = {
    "default": "our default",
    "variant": "our variants",
    "peer": "peers",
    "baseline": "baseline in C, or without a framework or the relay",
}
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "wirelab",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "ytick.left": False,
}


def draw(workloads: list[dict[str, Any]], path: Path) -> None:
    """Draw the requests per second of every server, and below them the latencies."""
    with mpl.rc_context(STYLE):
        columns = len(workloads)
        # All columns have the same rows, in the order of the one with the most to compare.
        middle = sorted(workloads[min(1, columns - 1)]["servers"], key=lambda each: -each["rate"])
        everywhere = [*middle, *(server for each in workloads for server in each["servers"])]
        order = list(dict.fromkeys(server["name"] for server in everywhere))[::-1]
        size = (1.6 + 3.1 * columns, 1.4 + 0.52 * len(order))
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(2, columns, squeeze=False, sharey="row")
        for column, workload in enumerate(workloads):
            rates(grid[0][column], workload, order)
            latencies(grid[1][column], workload, order)
        kinds = [
            kind for kind in COLOURS if any(s["kind"] == kind for s in workloads[0]["servers"])
        ]
        handles = [mpl.patches.Patch(color=COLOURS[kind], label=MEANING[kind]) for kind in kinds]
        figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
        figure.savefig(path, metadata={"Date": None, "Creator": None})


def rates(axes: Axes, workload: dict[str, Any], order: list[str]) -> None:
    """Draw bars of requests per second."""
    servers = workload["servers"]
    bars = axes.barh(
        [order.index(server["name"]) for server in servers],
        [server["rate"] for server in servers],
        color=[COLOURS[server["kind"]] for server in servers],
    )
    labels = [
        f" {rate(server)}"
        + (f"  ({server['never_served']:,.0f} never served)" if server["never_served"] else "")
        for server in servers
    ]
    axes.bar_label(bars, labels, fontsize=8)
    axes.set_yticks(range(len(order)), order)
    axes.set_title(workload["what"])
    axes.set_xlabel("requests per second\n(≥: limited by the load)")
    axes.set_xlim(0, 1.45 * max(1.0, *(server["rate"] for server in servers)))
    axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(4))
    axes.xaxis.set_major_formatter("{x:,.0f}")


def latencies(axes: Axes, workload: dict[str, Any], order: list[str]) -> None:
    """Draw a line from p50 to p99.9 for each server, with a dot at p99, on a logarithmic scale."""
    for server in workload["servers"]:
        row = order.index(server["name"])
        low, middle, high = (server["latency"][part] / 1000 for part in ("p50", "p99", "p999"))
        colour = COLOURS[server["kind"]] if server["kept_up"] else "#e8590c"
        axes.plot([low, high], [row, row], color=colour, linewidth=3, solid_capstyle="round")
        axes.plot([middle], [row], "o", color=colour, markersize=7)
    axes.set_yticks(range(len(order)), order)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel(
        f"ms at {workload['offered']:,.0f} requests/s:\np50 to p99.9, dot p99\n"
        "(orange: could not keep up)"
    )
    axes.grid(axis="x", alpha=0.3)
