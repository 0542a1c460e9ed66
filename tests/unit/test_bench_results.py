"""What the benchmark makes of its samples."""

from typing import Any

import pytest

from bench import report, results
from bench.runs import Sample
from bench.works import Goal, Target, Work, works

TARGETS = (
    Target("evented", "default", ("python", "-m", "ours")),
    Target("threaded", "variant", ("python", "-m", "theirs")),
    Target("fast", "peer", ("python", "-m", "fast")),
    Target("C", "floor", ("c",)),
)


def sample(rate: float, p99: float = 100.0, **more: Any) -> Sample:
    """Return a sample of a server that has no troubles."""
    latency = {"p50": p99 / 2, "p90": p99 * 0.9, "p99": p99, "p999": p99 * 2, "max": p99 * 3}
    figures: dict[str, Any] = {
        "offered": 100.0, "kept_up": True, "never_served": 0, "failures": 0, "memory": 10.0,
        "cpu_per_million": 9.0, "server_busy": 1.0, "load_busy": 0.9,
    }  # fmt: skip
    return Sample(rate=rate, latency=latency, **(figures | more))


def found(goal: Goal, **samples: list[Sample]) -> dict[str, Any]:
    """Return the result of a piece of work with one goal; servers not given are alike."""
    work = Work("tcp-echo", "64 B", "tcp", 64, "64", TARGETS, (goal,))
    runs = len(next(iter(samples.values())))
    alike = {target.name: [sample(100)] * runs for target in TARGETS}
    return results.of(work, alike | samples, 100)


def outcome(goal: Goal, **samples: list[Sample]) -> dict[str, Any]:
    """Return what became of the goal."""
    (only,) = found(goal, **samples)["goals"]
    assert isinstance(only, dict)
    return only


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    """Not the ratio of medians: what slows the machine in one round slows both servers."""
    ours = [sample(100), sample(50), sample(120)]
    theirs = [sample(100), sample(40), sample(60)]
    result = outcome(Goal("rate", 1.0, ("fast",)), evented=ours, fast=theirs)
    assert (result["value"], result["lowest"], result["highest"]) == (1.25, 1.0, 2.0)
    assert result["met"]


@pytest.mark.parametrize(("bound", "met"), [(0.9, True), (1.1, False)])
def test_a_rate_is_to_be_at_least_the_bound(bound: float, met: bool) -> None:
    """The same rate is 1.0 times the peer's."""
    result = outcome(Goal("rate", bound, ("C",)), evented=[sample(100)])
    assert result["met"] is met


@pytest.mark.parametrize(("p99", "met"), [(140, True), (160, False)])
def test_a_latency_is_to_be_at_most_the_bound(p99: float, met: bool) -> None:
    """C takes 100."""
    result = outcome(Goal("p99", 1.5, ("C",)), evented=[sample(100, p99)])
    assert result["met"] is met


def test_of_several_peers_the_best_counts() -> None:
    """The one with the most requests a second."""
    result = outcome(Goal("rate", 1.0, ("C", "fast")), C=[sample(150)], fast=[sample(120)])
    assert (result["peer"], result["met"]) == ("C", False)


def test_one_connection_that_was_never_served_is_seen() -> None:
    """Although no ratio has anything to do with it."""
    served = outcome(Goal("never_served", 0), evented=[sample(100)])
    unserved = outcome(Goal("never_served", 0), evented=[sample(100, never_served=1)])
    assert (served["met"], unserved["met"]) == (True, False)


def test_a_peer_that_answers_nothing_is_beaten() -> None:
    """Its rate of 0 is no division by zero."""
    result = outcome(Goal("rate", 3.0, ("threaded",)), threaded=[sample(0)])
    assert result["met"]


def test_the_table_names_what_went_wrong() -> None:
    """Answers that were wrong, connections without one, and a server that could not keep up."""
    bad = sample(50, failures=3, never_served=7, kept_up=False)
    rows = report.rows(found(Goal("never_served", 0), threaded=[bad]))
    row = next(row for row in rows if row[0] == "threaded")
    assert row[2] == "0.50"
    assert row[3].endswith("⚠")
    assert row[6] == "7"
    assert "3 failed" in row[-1]
    assert rows[0][0] == "evented (default)"


def test_every_goal_names_servers_that_are_measured() -> None:
    """And there is one default to compare with them."""
    for work in works():
        names = [target.name for target in work.targets]
        assert len(names) == len(set(names))
        assert [target.kind for target in work.targets].count("default") == 1
        assert {peer for goal in work.goals for peer in goal.peers} <= set(names)
        assert {target.name for target in work.for_goals().targets} <= set(names)
