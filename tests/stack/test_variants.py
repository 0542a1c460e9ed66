"""The variants: containers beside the default ones, and their comparison by the clients."""

import json
from functools import partial
from typing import Any

import docker
import pytest

from lab.stack import Stack
from lab.testing.service import FindService
from tests.stack.conftest import SPEAKS, VARIANTS, Find
from tests.support.engine import SERVICES, container_of, lab, run_in
from tests.support.pace import until, within

MANY = "50 connections at once: timed out"
STRINGS = (
    "every XML-RPC type comes back: string: wanted 'Zoë & <b>\\r\\n\\t', got 'Zoë & <b>\\n\\t'"
)

# Of each variant: the promises that it cannot keep, how many of 20 open connections it serves at
# once, and whether it serves anybody while another connection says nothing.
Nature = tuple[list[str], int, bool]
ALL: Nature = ([], 20, True)
ONE_AT_A_TIME: Nature = ([MANY], 1, False)
BLOCKED_BY_A_SILENT_ONE: Nature = ([], 20, False)
NATURES: dict[str, dict[str, Nature]] = {
    "tcp-echo": {
        "tcp-echo:20000": ALL,
        "tcp-echo-preforked:20000": ALL,
        "tcp-echo-coroutines:20000": ALL,
        "tcp-echo-callbacks:20000": ALL,
        "tcp-echo-raw-loop:20000": ONE_AT_A_TIME,
        "tcp-echo-single:20000": ONE_AT_A_TIME,
        "tcp-echo-stream-handler:20000": ONE_AT_A_TIME,
        "tcp-echo-threaded:20000": ALL,
        "tcp-echo-forked:20000": ALL,
        "tcp-echo-prethreaded:20000": ([MANY], 16, True),
    },
    "udp-time": {
        "udp-time:20000": ALL,
        "udp-time-preforked:20000": ALL,
        "udp-time-callbacks:20000": ALL,
        "udp-time-single:20000": ALL,
        "udp-time-threaded:20000": ALL,
        "udp-time-forked:20000": ALL,
        "udp-time-evented:20000": ALL,
    },
    "rest": {"rest:8080": ALL, "rest-single:8080": BLOCKED_BY_A_SILENT_ONE},
    "kv": {"kv:15000": ALL, "kv-single:15000": ([STRINGS], 20, False)},
    "object-echo": {
        "object-echo:25000": ALL,
        "/run/wirelab/object-echo.sock": ALL,
        "object-echo-coroutines:25000": ALL,
        "/run/wirelab/object-echo-coroutines.sock": ALL,
        "object-echo-threaded:25000": ALL,
        "/run/wirelab/object-echo-threaded.sock": ALL,
        "object-echo-classic:25000": ([], 1, False),
    },
    "rpc": {
        "rpc:17000": ALL,
        "/run/wirelab/rpc.sock": ALL,
        "rpc-coroutines:17000": ALL,
        "/run/wirelab/rpc-coroutines.sock": ALL,
        "rpc-threaded:17000": ALL,
        "/run/wirelab/rpc-threaded.sock": ALL,
        "rpc-classic:17000": BLOCKED_BY_A_SILENT_ONE,
    },
}


def clients(stack: Stack, *arguments: str) -> tuple[int, str, str]:
    """Run the clients' container; return its exit status and what it wrote to both outputs."""
    done = stack.run("run", "--rm", "--no-TTY", "clients", *arguments, capture=True)
    return done.returncode, done.stdout, done.stderr


def test_variants_are_added_to_what_runs(stack: Stack, engine: docker.DockerClient) -> None:
    """The default servers go on as they are, also when only they are started again."""

    def defaults() -> list[str | None]:
        return [container_of(engine, stack, service).id for service in SERVICES]

    before = defaults()
    stack.start("variants")
    assert set(stack.addresses()) == set(SPEAKS)
    assert defaults() == before
    stack.start()
    assert set(stack.addresses()) == set(SPEAKS)
    assert defaults() == before


def test_up_with_the_profile_says_where_each_variant_listens(stack: Stack) -> None:
    """Below the table of the clients, each by the name that it has in compose.yaml."""
    done = lab(stack, "up", "--profile=variants")
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.startswith("Open ")]
    addresses = dict(line.split()[:2] for line in lines if "127.0.0.1:" in line)
    assert list(addresses) == list(SPEAKS)
    for name, where in stack.addresses().items():
        assert addresses[name].removeprefix("http://").removesuffix("/") == str(where)


@pytest.mark.parametrize("variant", VARIANTS)
def test_variant_is_healthy(find: Find, variant: str) -> None:
    """By the health check of its service, which runs in its own container."""
    container = find(variant)
    assert container.health == "healthy"
    status, output = run_in(container, "python", "-m", "clients.health", SPEAKS[variant])
    assert (status, output) == (0, "")


@pytest.fixture(scope="module", params=NATURES)
def compared(request: pytest.FixtureRequest, stack: Stack) -> tuple[str, dict[str, Any]]:
    """Compare the variants of each service in turn."""
    if set(stack.addresses()) != set(SPEAKS):
        stack.start("variants")
    status, output, errors = clients(stack, request.param, "--all", "--json")
    assert (status, errors) == (0, "")
    return request.param, json.loads(output)


def test_comparison_shows_the_nature_of_each_variant(
    compared: tuple[str, dict[str, Any]],
) -> None:
    """What a model cannot do is seen, and nothing else fails; all of them are there."""
    service, document = compared
    assert (document["service"], document["answered"]) == (service, True)
    found = {
        row["address"]: (row["failed"], row["served_at_once"], row["served_beside_silent"])
        for row in document["variants"]
    }
    assert found == NATURES[service]


def test_comparison_measures_each_variant(compared: tuple[str, dict[str, Any]]) -> None:
    """Times are there, in their order, and of a local network."""
    for row in compared[1]["variants"]:
        times = row["round_trip_seconds"]
        assert 0 < times["p50"] <= times["p99"]
        assert within(max(times["p99"], row["first_answer_seconds"]), 1)
        assert row["first_answer_seconds"] > 0


def healthy(find: Find, variant: str) -> bool:
    """Whether a variant's last health check has passed."""
    return bool(find(variant).attrs["State"]["Health"]["Status"] == "healthy")


def test_comparison_makes_no_variant_unhealthy(
    compared: tuple[str, dict[str, Any]], find: Find
) -> None:
    """Also of those that serve one at a time none has been kept busy for long.

    Only rpc-classic is restarted: a client that leaves without a word ends it.
    """
    (service, _) = compared
    for variant in VARIANTS:
        if SPEAKS[variant] == service:
            until(partial(healthy, find, variant), f"{variant} is healthy")
            assert (find(variant).attrs["RestartCount"] > 0) == (variant == "rpc-classic")


def test_comparison_without_a_terminal_is_lines_and_a_table(stack: Stack, find: Find) -> None:
    """What is being done, then a row for each variant and what the columns mean."""
    assert find("rest-single").status == "running"
    status, output, _ = clients(stack, "rest", "--all")
    lines = output.splitlines()
    assert status == 0
    assert lines[:3] == [
        "rest: checking what each one promises",
        "rest: measuring gunicorn",
        "rest: measuring single",
    ]
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines]
    assert any(row[:3] == ["gunicorn", "✓ all 8", "20 of 20"] for row in rows)
    assert any(row[:3] == ["single", "✓ all 8", "20 of 20, not"] for row in rows)
    assert all(len(line) <= 100 for line in lines)


def test_comparison_names_a_variant_that_does_not_answer(
    stack: Stack, find: Find, service: FindService
) -> None:
    """The others are compared all the same, and the status is that of a failure."""
    assert find("udp-time-forked").status == "running"
    with service("udp-time-forked").stopped():
        status, output, _ = clients(stack, "udp-time", "--all", "--json")
    errors = {row["address"]: row["error"] for row in json.loads(output)["variants"]}
    assert status == 1
    assert {where for where, error in errors.items() if error} == {"udp-time-forked:20000"}


def test_comparison_of_one_says_how_to_start_the_others(
    stack: Stack, find: Find, service: FindService
) -> None:
    """As after a `make up` without the profile."""
    assert find("kv-single").status == "running"
    with service("kv-single").stopped():
        status, _, errors = clients(stack, "kv", "--all")
    assert status == 1
    assert errors == (
        "clients: of the variants of kv only gunicorn answers:"
        " `make up PROFILE=variants` starts them\n"
    )


def test_logs_shell_and_ps_know_the_variants(stack: Stack, find: Find) -> None:
    """Under the names that they have in compose.yaml."""
    assert find("tcp-echo-threaded").status == "running"
    logs = lab(stack, "logs", "--service=tcp-echo-threaded").stdout.splitlines()
    assert logs
    assert {line.split()[0] for line in logs} == {"tcp-echo-threaded-1"}
    listed = lab(stack, "ps").stdout.splitlines()
    assert {line.split()[0] for line in listed} >= set(SPEAKS)
