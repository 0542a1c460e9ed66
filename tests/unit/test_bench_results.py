"""What the benchmark makes of its samples: figures, goals, and how many rounds these take."""

import json
from math import comb
from pathlib import Path
from typing import Any

import pytest

from bench import __main__ as command_line
from bench import report, results
from bench.runs import Sample
from bench.workloads import Goal, Target, Workload, commands, workloads
from lab import ROOT

TARGETS = (
    Target("evented", "default", ("python", "-m", "ours")),
    Target("threaded", "variant", ("python", "-m", "theirs")),
    Target("fast", "peer", ("python", "-m", "fast")),
    Target("C", "baseline", ("c",)),
)


def sample(rate: float, p99: float = 100.0, **more: Any) -> Sample:
    """Return a sample of a server that has no troubles."""
    latency = {"p50": p99 / 2, "p90": p99 * 0.9, "p99": p99, "p999": p99 * 2, "max": p99 * 3}
    figures: dict[str, Any] = {
        "offered": 100.0, "kept_up": True, "never_served": 0, "failures": 0, "memory": 10.0,
        "cpu_per_request": 9.0, "server_busy": 1.0, "process_busy": 1.0, "load_busy": 0.5,
        "balance": 0.0, "per_wakeup": 1.0,
    }  # fmt: skip
    return Sample(rate=rate, latency=latency, **(figures | more))


def workload(*goals: Goal) -> Workload:
    """Return a workload with these goals."""
    return Workload("tcp-echo", "64 B", "tcp", 64, "64", TARGETS, goals)


def found(goal: Goal, **samples: list[Sample]) -> dict[str, Any]:
    """Return the result of a workload with one goal; servers not given have 100 requests/s."""
    rounds = max(6, *map(len, samples.values()))
    alike = {target.name: [sample(100)] * rounds for target in TARGETS}
    return results.of(workload(goal), alike | samples, 100)


def outcome(goal: Goal, **samples: list[Sample]) -> dict[str, Any]:
    """Return what became of the goal."""
    (only,) = found(goal, **samples)["goals"]
    assert isinstance(only, dict)
    return only


def rounds(*rates: float) -> list[Sample]:
    """Return a sample for each round, of a server with these rates."""
    return [sample(rate) for rate in rates]


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    """Not the ratio of medians: what slows the machine in one round slows both servers."""
    ours = rounds(100, 50, 120, 90, 60, 60)
    theirs = rounds(100, 40, 60, 60, 40, 40)
    result = outcome(Goal("rate", 1.0, ("fast",)), evented=ours, fast=theirs)
    assert (result["value"], result["interval"]) == (1.5, (1.0, 2.0))
    assert result["met"]


@pytest.mark.parametrize(("bound", "met"), [(0.9, True), (1.0, True), (1.1, False)])
def test_a_rate_is_to_be_at_least_the_bound(bound: float, met: bool) -> None:
    """The same rate is 1.0 times the peer's."""
    assert outcome(Goal("rate", bound, ("C",)), evented=rounds(*[100] * 6))["met"] is met


@pytest.mark.parametrize(("p99", "met"), [(140, True), (150, True), (160, False)])
def test_a_latency_is_to_be_at_most_the_bound(p99: float, met: bool) -> None:
    """C takes 100."""
    result = outcome(Goal("p99", 1.5, ("C",)), evented=[sample(100, p99)] * 6)
    assert result["met"] is met


def test_rounds_on_both_sides_of_the_bound_decide_nothing() -> None:
    """Five of six above it could be chance; a line of the page says so, in place of a verdict."""
    goal = Goal("rate", 1.0, ("fast",))
    result = outcome(goal, evented=rounds(130, 130, 99, 130, 130, 130))
    assert result["met"] is None
    row = report.goal_row(found(goal, evented=rounds(130, 130, 99, 130, 130, 130)), result)
    assert row[2:] == ["1.30 x", "≥ 1 x", "0.99 to 1.30", "6", "1.00 x", "≈"]


def test_one_round_among_nine_may_be_an_exception() -> None:
    """The interval is narrower than the rounds, as soon as these are enough."""
    result = outcome(Goal("rate", 1.0, ("fast",)), evented=rounds(*[130] * 8, 20))
    assert (result["interval"], result["met"]) == ((1.3, 1.3), True)


@pytest.mark.parametrize("count", range(1, 31))
def test_the_interval_contains_the_median_with_95_percent(count: int) -> None:
    """And is no wider than it has to be: the next narrower one does not."""

    def outside(k: int) -> float:
        """Return the probability that fewer than k of `count` values are below, or above it."""
        return 2.0 * sum(comb(count, number) for number in range(k)) / (1 << count)

    within = results.interval([float(value) for value in range(count, 0, -1)])
    if within is None:
        assert outside(1) > 0.05
    else:
        lowest, highest = within
        assert lowest + highest == count + 1
        assert outside(int(lowest)) <= 0.05 < outside(int(lowest) + 1)


def test_of_several_peers_the_best_counts() -> None:
    """The one with the most requests a second."""
    result = outcome(Goal("rate", 1.0, ("C", "fast")), C=rounds(*[150] * 6), fast=[sample(120)] * 6)
    assert (result["peer"], result["met"]) == ("C", False)


def test_one_connection_that_was_never_served_is_seen() -> None:
    """Although it was in one round only."""
    good, bad = sample(100), sample(100, never_served=1)
    assert outcome(Goal("never_served", 0), evented=[good] * 6)["met"]
    result = outcome(Goal("never_served", 0), evented=[good, bad, good, good, good, good])
    assert (result["value"], result["met"]) == (1, False)


def test_a_goal_shows_what_a_request_costs_beside_the_rate() -> None:
    """The ratio of the CPU times of the same rounds."""
    ours = [sample(100, cpu_per_request=cost) for cost in (6, 12, 18, 6, 6, 6)]
    theirs = [sample(100, cpu_per_request=cost) for cost in (12, 24, 36, 12, 12, 12)]
    assert outcome(Goal("rate", 1.0, ("fast",)), evented=ours, fast=theirs)["cpu"] == 0.5


def test_a_goal_may_be_about_what_a_request_costs() -> None:
    """In CPU time, which is to be low, of a server that the line of the page names."""
    goal = Goal("cpu", 1.1, ("evented",), "threaded")
    for cost, met in ((9.5, True), (10.5, False)):
        result = found(goal, threaded=[sample(100, cpu_per_request=cost)] * 6)
        (only,) = result["goals"]
        assert only["met"] is met
    row = report.goal_row(result, only)
    assert row[1:4] == ["threaded beside evented, CPU time of a request", "1.17 x", "≤ 1.1 x"]


def test_a_goal_may_be_about_how_workers_share_the_load() -> None:
    """The rounds decide, as for the others; there is nobody to compare with."""
    goal = Goal("balance", 1.3, server="threaded")
    ratios = [1.0, 1.1, 1.2, 1.2, 1.1, 1.4, 1.0, 1.1, 1.2]
    result = found(goal, threaded=[sample(100, balance=ratio) for ratio in ratios])
    (only,) = result["goals"]
    assert (only["value"], only["interval"], only["met"]) == (1.1, (1.0, 1.2), True)
    row = report.goal_row(result, only)
    assert row[1] == "threaded, busiest worker to least busy one"
    assert row[6:] == ["", "✓"]
    assert outcome(goal, threaded=[sample(100, balance=1.4)] * 6)["met"] is False
    assert outcome(goal, threaded=[sample(100, balance=1.4)] * 3)["met"] is None


@pytest.mark.parametrize(("p50", "met"), [(90, True), (150, True), (160, False)])
def test_a_goal_may_be_about_the_time_that_is_added(p50: float, met: bool) -> None:
    """To the median latency of another server, in microseconds; the difference, not the ratio."""
    goal = Goal("added", 100, ("C",))
    result = found(goal, evented=[sample(100, 2 * p50)] * 6)
    (only,) = result["goals"]
    assert (only["value"], only["met"]) == (p50 - 50, met)
    row = report.goal_row(result, only)
    assert row[1:4] == ["C, p50 added to it", f"{p50 - 50:.0f} µs", "≤ 100 µs"]


@pytest.mark.parametrize(
    ("p50s", "met"),
    [
        pytest.param([48_000, 53_000] * 5, True, id="in the range"),
        pytest.param([40_000, 46_000] * 5, False, id="below"),
        pytest.param([54_000, 60_000] * 5, False, id="above"),
        pytest.param([46_000, 52_000] * 5, None, id="on its edge"),
        pytest.param([40_000, 60_000] * 5, None, id="around it"),
    ],
)
def test_a_figure_may_have_to_be_what_was_told(p50s: list[float], met: bool | None) -> None:
    """It is to be neither less nor more, but for so much; nobody is compared with."""
    goal = Goal("p50", 50_000, tolerance=0.06)
    result = found(goal, evented=[sample(100, 2 * p50) for p50 in p50s])
    (only,) = result["goals"]
    assert only["met"] is met
    assert report.goal_row(result, only)[1:4:2] == ["p50", "50.0 ms ± 6%"]


def test_goals_without_a_tolerance_have_the_outline_that_they_had() -> None:
    """So that results from before it stay beside new ones; with another one they do not."""
    outlines = [
        results.outline(workload(Goal("p50", 5, tolerance=tolerance)))["goals"]
        for tolerance in (0, 0.1, 0.2)
    ]
    assert outlines == [[["p50", 5, ""]], [["p50", 5, "", 0.1]], [["p50", 5, "", 0.2]]]


def measured(monkeypatch: pytest.MonkeyPatch, rates: dict[str, list[float]], *options: str) -> str:
    """Run a workload of servers with these rates, the last for ever; return who was measured."""
    order = ""
    goals = (Goal("rate", 1.0, ("fast",)), Goal("rate", 1.0, ("C",)))

    def measure(_workload: Workload, target: Target, _seconds: float, _offered: float) -> Sample:
        nonlocal order
        order += target.name[0]
        known = rates.get(target.name, [100.0])
        return sample(known.pop(0) if len(known) > 1 else known[0])

    monkeypatch.setattr(command_line, "measure", measure)
    list(command_line.run(command_line.arguments(options), [workload(*goals)]))
    return order


def test_rounds_go_on_until_every_goal_is_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    """All servers, there and back; then only those of the goals that are open."""
    rates = {"fast": [150.0], "C": [50.0, 150.0, 50.0]}
    order = measured(monkeypatch, rates, "--runs=2", "--limit=12")
    assert order == "etfC" + "Cfte" + "efC" + "Cfe" + "efC" + "Cfe" + "eC" + "Ce" + "eC"


def test_a_limit_of_rounds_leaves_a_goal_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """By default three times the rounds that there are of every server."""
    rates = {"fast": [150.0, 50.0] * 50, "C": [150.0]}
    assert (
        measured(monkeypatch, rates, "--runs=2") == "etfC" + "Cfte" + "efC" + "Cfe" + "efC" + "Cfe"
    )


def test_no_loop_is_too_short_for_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even in a quick run, where the others take a tenth of a second."""
    asked: dict[str, float] = {}

    def measure(each: Workload, _target: Target, seconds: float, _offered: float) -> Sample:
        asked[each.what] = seconds
        return sample(100)

    monkeypatch.setattr(command_line, "measure", measure)
    options = command_line.arguments(["rpc", "--quick"])
    list(command_line.run(options, command_line.chosen(options)))
    assert asked.pop("a list of 1,000 records, 1 client") == 1.0
    assert set(asked.values()) == {0.1}


@pytest.mark.parametrize(
    ("server", "process", "load", "busy"),
    [
        pytest.param(0.99, 0.99, 0.6, "server", id="one thread has no more to give"),
        pytest.param(1.3, 1.3, 0.4, "server", id="the threads of one process"),
        pytest.param(1.85, 0.4, 0.05, "server", id="processes that use all CPUs"),
        pytest.param(0.6, 0.6, 0.97, "load", id="the load has no more to give"),
        pytest.param(1.2, 0.6, 0.7, "load", id="the load takes what processes could use"),
        pytest.param(0.95, 0.95, 0.95, "both", id="neither has more to give"),
        pytest.param(0.5, 0.2, 0.5, "neither", id="both wait for something else"),
    ],
)
def test_a_row_says_which_of_the_two_was_busy(
    server: float, process: float, load: float, busy: str
) -> None:
    """On two CPUs."""
    figures = {"server_busy": server, "process_busy": process, "load_busy": load}
    assert results.busy(workload(), figures, cpus=2) == busy


def test_many_processes_of_load_are_busy_when_no_cpu_is_left() -> None:
    """As the clients of RPC are; on one CPU a single client alternates with its server."""
    calls = Workload("rpc", "", "rpc", 16, "add", TARGETS)
    figures = {"server_busy": 0.8, "process_busy": 0.8, "load_busy": 1.1}
    assert results.busy(calls, figures, cpus=2) == "load"
    assert results.busy(calls, figures, cpus=4) == "neither"
    single = Workload("rpc", "", "rpc", 1, "add", TARGETS)
    assert results.busy(single, figures, cpus=2) == "alternating"


def test_a_row_that_the_load_limits_is_marked() -> None:
    """In its table, and in the goals that are about it."""
    limited = [sample(150, process_busy=0.5, server_busy=0.5, load_busy=1.0)] * 6
    result = found(Goal("rate", 0.5, ("C",)), C=limited)
    rates = {row[0]: row[1] for row in report.rows(result)}
    assert (rates["C"], rates["evented (default)"]) == ("≥ 150", "100")
    assert report.goal_row(result, result["goals"][0])[-1] == "✓ the load limits C"


def test_the_table_names_what_went_wrong() -> None:
    """Answers that were wrong, connections without one, and a server that could not keep up."""
    bad = sample(50, failures=3, never_served=7, kept_up=False)
    rows = report.rows(found(Goal("never_served", 0), threaded=[bad]))
    row = dict(zip(report.HEADINGS, next(row for row in rows if row[0] == "threaded"), strict=True))
    assert row["of ours"] == "0.50"
    assert row["p50"].endswith("⚠")
    assert row["never served"] == "7"
    assert "3 failed" in row["load"]
    assert rows[0][0] == "evented (default)"


def test_every_goal_names_servers_that_are_measured() -> None:
    """And there is one default to compare with them."""
    for each in workloads():
        names = [target.name for target in each.targets]
        assert len(names) == len(set(names))
        assert [target.kind for target in each.targets].count("default") == 1
        assert {peer for goal in each.goals for peer in goal.peers} <= set(names)
        assert {target.name for target in each.for_goals().targets} <= set(names)


def checkout(folder: Path) -> Path:
    """Make a folder that looks like a checkout, with two servers of tcp-echo."""
    (folder / "services").mkdir()
    (folder / "compose.yaml").write_text("""
services:
  tcp-echo-threaded: {command: [python, -m, elsewhere.threaded]}
  tcp-echo: {command: [python, -m, elsewhere.evented]}
  rest: {command: [gunicorn, -c, elsewhere.py]}
""")
    return folder


def test_servers_of_another_checkout_are_compared_with_their_namesakes(tmp_path: Path) -> None:
    """Each of ours with the one that has its name there; what has none is left out."""
    folder = checkout(tmp_path)
    assert commands("tcp-echo", folder) == {
        "evented": ("python", "-m", "elsewhere.evented"),
        "threaded": ("python", "-m", "elsewhere.threaded"),
    }
    both = next(each for each in workloads() if each.service == "tcp-echo").beside(folder)
    ours, theirs = both.targets[::2], both.targets[1::2]
    assert [target.name for target in ours] == ["evented", "threaded"]
    assert [target.name for target in theirs] == ["evented beside", "threaded beside"]
    assert {target.folder for target in theirs} == {folder}
    assert {target.folder for target in ours} == {ROOT}
    assert theirs[1].command == ("python", "-m", "elsewhere.threaded")
    assert [(goal.server, goal.peers) for goal in both.goals] == [
        ("evented", ("evented beside",)),
        ("threaded", ("threaded beside",)),
    ]


def test_servers_with_a_setting_are_compared_with_theirs(tmp_path: Path) -> None:
    """Both on uvloop."""
    folder = checkout(tmp_path)
    compose = folder / "compose.yaml"
    compose.write_text(
        compose.read_text() + "  tcp-echo-callbacks: {command: [python, -m, elsewhere.callbacks]}\n"
    )
    both = next(each for each in workloads() if each.service == "tcp-echo").beside(folder)
    own, other = (each for each in both.targets if each.name.startswith("callbacks on uvloop"))
    assert (own.name, other.name) == ("callbacks on uvloop", "callbacks on uvloop beside")
    assert own.environment == other.environment == {"WIRELAB_EVENT_LOOP": "uvloop"}
    assert other.command == ("python", "-m", "elsewhere.callbacks")


def test_in_bursts_only_those_are_measured_that_serve_all_connections() -> None:
    """The others would never answer a burst; and there is one CPU for both sides."""
    (bursts,) = (each for each in workloads() if each.bursts)
    names = {target.name for target in bursts.targets}
    assert {"evented", "callbacks", "threaded", "C"} <= names
    assert not names & {"raw_loop", "single", "stream_handler", "prethreaded"}
    figures = {"server_busy": 0.5, "process_busy": 0.5, "load_busy": 0.5}
    assert results.busy(bursts, figures, cpus=2) == "alternating"


def earlier(folder: Path, **changes: Any) -> dict[str, Any]:
    """Write the results of an earlier run of everything into `folder`."""
    found = {
        "began": "2026-01-02T03:04:05+00:00",
        **command_line.conditions(command_line.arguments([])),
        "unpublishable": [],
        "workloads": [
            {
                **results.of(each, {target.name: [sample(100)] * 6 for target in each.targets}, 50),
                "began": "2026-01-02T03:04:05+00:00",
            }
            for each in workloads()
        ],
        **changes,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "benchmark.json").write_text(json.dumps(found))
    return found


def test_a_run_of_one_service_keeps_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for publication. The page says which ones are of another day, in tables and goals."""
    monkeypatch.setattr(command_line, "ROOT", tmp_path)
    folder = tmp_path / "docs/benchmark"
    found = earlier(folder)
    options = command_line.arguments(["rest", f"--to={folder}"])
    assert command_line.unpublishable(options) == []
    kept = command_line.kept(options)
    assert {each["service"] for each in kept} == set(command_line.services()) - {"rest"}
    new = [{**each, "began": "2026-05-06T07:08:09+00:00"} for each in found["workloads"]]
    new = [each for each in new if each["service"] == "rest"]
    both = {**found, "began": "2026-05-06T07:08:09+00:00", "workloads": [*kept, *new]}
    page = report.page(both)
    assert "one run (2026-05-06)" in page
    assert "| rest: GET /hello, 64 connections |" in page
    assert "| tcp-echo: 64 B, 64 connections. Measured on 2026-01-02. |" in page
    dated = page.count("requests/s. Measured on 2026-01-02.\n")
    assert dated == len(kept)


@pytest.mark.parametrize(
    ("words", "changes"),
    [
        pytest.param([], {"machine": {"cpu": "another"}}, id="machine"),
        pytest.param([], {"seconds": 0.1}, id="shorter loops"),
        pytest.param(["--runs=6"], {}, id="other rounds"),
    ],
)
def test_results_of_other_conditions_are_not_kept(
    words: list[str],
    changes: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The page would compare what cannot be compared; publication is refused."""
    monkeypatch.setattr(command_line, "ROOT", tmp_path)
    folder = tmp_path / "docs/benchmark"
    earlier(folder, **changes)
    others = "tcp-echo, udp-time, kv, kv-cluster, object-echo, rpc, relay"
    said = refused(capsys, "rest", *words, f"--to={folder}")
    assert f"there are no results of {others} that" in said


def test_results_of_other_workloads_are_not_kept(tmp_path: Path) -> None:
    """Those of a service of which other servers are measured by now."""
    found = earlier(tmp_path)
    found["workloads"][0]["outline"]["servers"].pop()
    (tmp_path / "benchmark.json").write_text(json.dumps(found))
    options = command_line.arguments(["rest", f"--to={tmp_path}"])
    assert "tcp-echo" not in {each["service"] for each in command_line.kept(options)}
    assert command_line.unpublishable(options) == [
        "there are no results of tcp-echo that can stay beside"
    ]


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Return the last line that a wrong command line gets."""
    with pytest.raises(SystemExit) as ended:
        command_line.arguments(words)
    assert ended.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(["ftp"], "argument SERVICE: 'ftp' is not one of tcp-echo, ", id="service"),
        pytest.param(["--runs=0"], "argument --runs: '0' is not a whole number from 1", id="runs"),
        pytest.param(
            ["--runs=4", "--limit=3"], "argument --limit: 3 is less than the 4", id="limit"
        ),
        pytest.param(["--seconds=-1"], "argument --seconds: '-1' is not a number", id="seconds"),
        pytest.param(["--to=/dev/null"], "argument --to: '/dev/null' is not a folder", id="to"),
        pytest.param(["--beside=/"], "argument --beside: '/' is not a checkout", id="beside"),
        pytest.param(["--fast"], "unrecognized arguments: --fast", id="option"),
    ],
)
def test_a_wrong_option_is_named_with_its_value(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line, before anything is measured."""
    assert message in refused(capsys, *words)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--seconds=0.5"], "loops of 0.5 s are too short: take 1 s"),
        (["--quick"], "loops of 0.1 s are too short: take 1 s"),
        (["rest"], "there are no results of tcp-echo, "),
    ],
    ids=["short", "quick", "partial"],
)
def test_what_is_not_for_publication_is_kept_out_of_the_documentation(
    words: list[str],
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Elsewhere it is written, with the reason on the page."""
    monkeypatch.setattr(command_line, "ROOT", tmp_path)
    to = f"--to={tmp_path}/docs/benchmark"
    assert reason in refused(capsys, *words, to)
    options = command_line.arguments([*words, f"--to={tmp_path}"])
    assert command_line.unpublishable(options)[0].startswith(reason)
    assert command_line.arguments([to]).seconds == 1


def test_the_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    """It names the services, the defaults and examples."""
    with pytest.raises(SystemExit):
        command_line.arguments(["--help"])
    text = capsys.readouterr().out
    for word in ("tcp-echo", "default: 5", "default: 1,", "--beside ../", "examples:"):
        assert word in text
