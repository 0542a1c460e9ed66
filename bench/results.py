"""What was found, as plain data for JSON: each server's samples and medians, and the goals."""

import math
import os
from collections.abc import Sequence
from dataclasses import asdict
from operator import sub, truediv
from statistics import median
from typing import Any

from bench.runs import Sample
from bench.workloads import Goal, Metric, Target, Workload

FIGURES = (
    "rate", "memory", "cpu_per_request", "server_busy", "process_busy", "load_busy", "never_served",
    "balance", "per_wakeup",
)  # fmt: skip
FULL = 0.9  # of a CPU: a process that uses more of one has hardly anything left to give
CONFIDENCE = 0.95


def of(workload: Workload, samples: dict[str, list[Sample]], offered: float) -> dict[str, Any]:
    """Return what a workload showed. `samples` are in the order of the rounds."""
    cpus = len(os.sched_getaffinity(0))
    servers = []
    for target in workload.targets:
        figures = medians(samples[target.name])
        servers.append(
            {
                "name": target.name,
                "kind": target.kind,
                **figures,
                "busy": busy(workload, figures, cpus),
                "samples": [asdict(sample) for sample in samples[target.name]],
            }
        )
    return {
        "service": workload.service,
        "what": workload.what,
        "outline": outline(workload),
        "connections": workload.connections,
        "offered": round(offered, 1),
        "servers": servers,
        "goals": [outcome(workload, goal, samples) for goal in workload.goals],
    }


def outline(workload: Workload) -> dict[str, Any]:
    """Return what is measured of whom: results with another outline are of something else."""
    return {
        "what": workload.what,
        "servers": [target.name for target in workload.targets],
        "figures": [*FIGURES],
        "goals": [
            [goal.metric, goal.bound, goal.server, *goal.peers]
            + ([goal.tolerance] if goal.tolerance else [])
            for goal in workload.goals
        ],
    }


def medians(samples: Sequence[Sample]) -> dict[str, Any]:
    """Return the median of each figure, and the failures of all samples together."""
    return {
        **{figure: median(getattr(sample, figure) for sample in samples) for figure in FIGURES},
        "latency": {
            name: median(sample.latency[name] for sample in samples) for name in samples[0].latency
        },
        "kept_up": sum(sample.kept_up for sample in samples) > len(samples) / 2,
        "failures": sum(sample.failures for sample in samples),
    }


def busy(workload: Workload, figures: dict[str, Any], cpus: int) -> str:
    """Return which of the two had nothing left to give: "server", "load", "both" or "neither".

    A server may have more than one process, and then use more than one CPU. The load for RPC is a
    process for each client; it is in the way where the two have used up the CPUs of the machine
    before the server was busy. A single client and its server alternate on one CPU, and so do
    bursts and their answers.
    """
    if workload.alternates:
        return "alternating"
    used, load_used = figures["server_busy"], figures["load_busy"]
    server = figures["process_busy"] >= FULL or used >= FULL * cpus
    thread = workload.load != "rpc" and load_used >= FULL
    load = thread or (not server and used + load_used >= FULL * cpus)
    if server and load:
        return "both"
    return "server" if server else "load" if load else "neither"


def undecided(workload: Workload, samples: dict[str, list[Sample]]) -> tuple[Target, ...]:
    """Return the servers to measure again: those that an undecided goal is about."""
    goals = [goal for goal in workload.goals if outcome(workload, goal, samples)["met"] is None]
    names = set().union(*(workload.compared(goal) for goal in goals))
    return tuple(target for target in workload.targets if target.name in names)


def outcome(workload: Workload, goal: Goal, samples: dict[str, list[Sample]]) -> dict[str, Any]:
    """Return what became of a goal: `met` is None where the rounds do not decide.

    `value` is the median of the rounds' ratios (or differences), which are of samples of the same
    round, and `interval` contains it with 95 % confidence. Without peers both are of the figures
    themselves. What should never happen is decided by the worst round.
    """
    server = goal.server or workload.default
    own = samples[server]
    found: dict[str, Any] = {
        "metric": goal.metric, "bound": goal.bound, "tolerance": goal.tolerance,
        "rounds": len(own), "server": server,
    }  # fmt: skip
    if goal.metric == "never_served":
        value = max(sample.never_served for sample in own)
        return {**found, "value": value, "met": meets(goal, value)}
    if not goal.peers:
        values = [figure(sample, goal.metric) for sample in own]
        within = interval(values)
        return {
            **found, "value": median(values), "interval": within, "met": verdict(goal, within),
        }  # fmt: skip
    figures = {
        name: [figure(sample, goal.metric) for sample in samples[name]] for name in goal.peers
    }
    best = max if goal.metric == "rate" else min
    peer = best(goal.peers, key=lambda name: median(figures[name]))
    # A server that other goals are about as well may have more rounds than its peer.
    pairs = list(zip(own, samples[peer], strict=False))
    compare = sub if goal.metric == "added" else truediv
    # In short loops the kernel may have counted no CPU time at all.
    ratios = [
        compare(figure(mine, goal.metric), figure(other, goal.metric))
        for mine, other in pairs
        if figure(other, goal.metric)
    ]
    cpu = [a.cpu_per_request / b.cpu_per_request for a, b in pairs if b.cpu_per_request]
    within = interval(ratios)
    return {
        **found,
        "peer": peer,
        "value": median(ratios) if ratios else 0.0,
        "rounds": len(ratios),
        "interval": within,
        "cpu": median(cpu) if cpu else None,
        "met": verdict(goal, within),
    }


def interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Return the 95 % confidence interval of the median; None for fewer than six values.

    Each of n values is above the median as often as a coin shows heads. So the k-th smallest and
    the k-th largest enclose it, unless n coins show fewer than k heads, or fewer than k tails. It
    takes no assumption on how the values are spread (W. J. Conover, Practical Nonparametric
    Statistics, 3.2).
    """
    ordered, count = sorted(values), len(values)
    outside, k = 2, 0  # of 2 ** count ways that the coins may fall, were k one more
    while outside <= (1 - CONFIDENCE) * 2**count:
        k += 1
        outside += 2 * math.comb(count, k)
    return (ordered[k - 1], ordered[-k]) if k else None


def verdict(goal: Goal, within: tuple[float, float] | None) -> bool | None:
    """Return whether a goal is met; None where the interval is not on one side of the bound."""
    sides = {meets(goal, end) for end in within or ()}
    if len(sides) != 1 or (goal.tolerance and sides == {False} and around(goal.bound, within)):
        return None
    return sides.pop()


def around(value: float, ends: tuple[float, float] | None) -> bool:
    """Whether a value is between the ends of an interval."""
    return bool(ends and ends[0] < value < ends[1])


def meets(goal: Goal, value: float) -> bool:
    """Whether a value is enough: a rate is to be high, everything else low, or near the bound."""
    if goal.tolerance:
        return abs(value - goal.bound) <= goal.tolerance * goal.bound
    return value >= goal.bound if goal.metric == "rate" else value <= goal.bound


def figure(sample: Sample, metric: Metric) -> float:
    """Return what a goal is about: requests a second, microseconds, or a ratio of workers."""
    match metric:
        case "rate":
            return sample.rate
        case "cpu":
            return sample.cpu_per_request
        case "balance":
            return sample.balance
        case "added":
            return sample.latency["p50"]
        case _:
            return sample.latency[metric]
