"""What was found, as plain data for JSON: each server's samples and medians, and the goals."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from bench.runs import Sample
from bench.works import Goal, Work

FIGURES = ("rate", "memory", "cpu_per_million", "server_busy", "load_busy", "never_served")


def of(work: Work, samples: dict[str, list[Sample]], offered: float) -> dict[str, Any]:
    """Return what a piece of work showed. `samples` are in the order of the rounds."""
    default = next(target.name for target in work.targets if target.kind == "default")
    return {
        "service": work.service,
        "what": work.what,
        "connections": work.connections,
        "offered": round(offered, 1),
        "servers": [
            {
                "name": target.name,
                "kind": target.kind,
                **medians(samples[target.name]),
                "samples": [asdict(sample) for sample in samples[target.name]],
            }
            for target in work.targets
        ],
        "goals": [outcome(goal, samples, default) for goal in work.goals],
    }


def medians(samples: Sequence[Sample]) -> dict[str, Any]:
    """Return the median of each figure; the failures are all that there were."""
    return {
        **{figure: median(getattr(sample, figure) for sample in samples) for figure in FIGURES},
        "latency": {
            name: median(sample.latency[name] for sample in samples) for name in samples[0].latency
        },
        "kept_up": sum(sample.kept_up for sample in samples) > len(samples) / 2,
        "failures": sum(sample.failures for sample in samples),
    }


def outcome(goal: Goal, samples: dict[str, list[Sample]], default: str) -> dict[str, Any]:
    """Return what became of a goal: the median of the rounds' ratios, and if it is enough."""
    if goal.metric == "never_served":
        ratios = [float(sample.never_served) for sample in samples[default]]
        peer = None
    else:
        best = max if goal.metric == "rate" else min
        figures = {
            name: [figure(sample, goal.metric) for sample in samples[name]]
            for name in (default, *goal.peers)
        }
        peer = best(goal.peers, key=lambda name: median(figures[name]))
        ratios = [
            own / other if other else math.inf
            for own, other in zip(figures[default], figures[peer], strict=True)
        ]
    value = median(ratios)
    return {
        "metric": goal.metric,
        "bound": goal.bound,
        "peer": peer,
        "value": value,
        "lowest": min(ratios),
        "highest": max(ratios),
        "met": value >= goal.bound if goal.metric == "rate" else value <= goal.bound,
    }


def figure(sample: Sample, metric: str) -> float:
    """Return what a goal compares: requests a second, or microseconds."""
    return sample.rate if metric == "rate" else sample.latency[metric]
