"""The comparison of variants: where they are, and how what came of them is shown."""

import json
import socket
from pathlib import Path

import pytest
from rich.console import Console

from clients.addresses import Address
from clients.cli import comparison, variants
from clients.cli.variants import Outcome, Variant

EVENTED = Outcome(
    Variant("evented", Address("kv", 1)),
    checks=3,
    served=20,
    beside_silent=True,
    first_answer=0.00123,
    round_trips=tuple(number / 1e6 for number in range(1, 102)),
)
SINGLE = Outcome(
    Variant("single", Address("kv-single", 1)),
    checks=3,
    failed=("50 [connections] at once: timed out",),
    served=1,
    round_trips=(0.001, 0.001),
)
IN_TURN = Outcome(
    Variant("threaded", "/run/x.sock"), checks=1, served=20, round_trips=(0.001, 0.001)
)
GONE = Outcome(Variant("forked", Address("kv-forked", 1)), error="[Errno 111] Connection refused")


def shown(*outcomes: Outcome) -> list[list[str]]:
    """Return the words of each line of the table."""
    console = Console(width=140, color_system=None)
    with console.capture() as captured:
        console.print(comparison.table(list(outcomes)))
    lines = captured.get().splitlines()
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines]


def test_variants_are_found_where_their_settings_say(tmp_path: Path) -> None:
    """Addresses of those that have one, and the UNIX sockets that are there."""
    environ = {
        "WIRELAB_OBJECT_ECHO_ADDRESS": "127.0.0.1:1",
        "WIRELAB_OBJECT_ECHO_THREADED_ADDRESS": "127.0.0.1:2",
        "WIRELAB_SOCKETS": str(tmp_path),
    }
    path = tmp_path / "object-echo-threaded.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        assert variants.variants("object-echo", environ) == [
            Variant("evented", Address("127.0.0.1", 1)),
            Variant("threaded", Address("127.0.0.1", 2)),
            Variant("threaded", str(path)),
        ]


def test_variants_are_found_by_the_names_of_their_servers() -> None:
    """In the network of compose.yaml; one that does not run gives no answer there."""
    assert variants.variants("kv", {"WIRELAB_DISCOVERY": "dns"}) == [
        Variant("gunicorn", Address("kv", 15000)),
        Variant("single", Address("kv-single", 15000)),
    ]


def test_nothing_is_known_where_nothing_is_set() -> None:
    """The default server would be on loopback; it is compared with those that somebody started."""
    assert variants.variants("kv", {}) == []


@pytest.mark.parametrize("value", ["kv", "single="])
def test_anything_else_is_an_error_that_names_it(value: str) -> None:
    """As that of a service is."""
    name = "WIRELAB_KV_SINGLE_ADDRESS"
    with pytest.raises(ValueError, match=rf"{name} has value '.*'. Not a host:port"):
        variants.variants("kv", {name: value})


def test_percentiles_are_of_what_was_measured() -> None:
    """Neither more than the longest round trip nor less than the shortest."""
    assert EVENTED.percentile(50) == pytest.approx(51e-6)
    assert EVENTED.percentile(99) == pytest.approx(100e-6)
    assert SINGLE.percentile(99) == pytest.approx(0.001)


def test_the_table_says_what_each_model_does() -> None:
    """What all promise and it keeps, who waits, how long answers take."""
    rows = shown(EVENTED, SINGLE, IN_TURN, GONE)
    assert ["evented", "✓ all 3", "20 of 20", "1.23", "0.05", "0.10"] in rows
    assert ["one for all", "", "", "", "", ""] in rows
    assert [
        "single", "✗ 2 of 3 kept, not: 50 [connections] at once: timed out", "1 of 20,", "0.00",
        "1.00", "1.00",
    ] in rows  # fmt: skip
    assert ["one at a time", "", "others wait", "", "", ""] in rows
    assert ["threaded (UNIX)", "✓ all 1", "20 of 20, not", "0.00", "1.00", "1.00"] in rows
    assert ["a thread each", "", "beside a silent", "", "", ""] in rows
    silence = "✗ no answer from kv-forked:1: [Errno 111] Connection refused"
    assert ["forked", silence, "", "", "", ""] in rows


@pytest.mark.parametrize(
    ("outcomes", "answered"), [((EVENTED, SINGLE), True), ((EVENTED, GONE), False)]
)
def test_only_silence_is_a_failure(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    outcomes: tuple[Outcome, ...],
    answered: bool,
) -> None:
    """What a model cannot do is what the comparison is for; that one does not answer is not."""
    monkeypatch.setattr(comparison, "compare", lambda _service, _say: list(outcomes))
    assert comparison.show("kv") is answered
    capsys.readouterr()
    assert comparison.as_json("kv") is answered
    document = json.loads(capsys.readouterr().out)
    assert (document["service"], document["answered"]) == ("kv", answered)
    assert [row["model"] for row in document["variants"]] == [
        outcome.variant.model for outcome in outcomes
    ]
    first, second = document["variants"]
    assert first == {
        "model": "evented",
        "address": "kv:1",
        "error": "",
        "checks": 3,
        "failed": [],
        "connections": 20,
        "served_at_once": 20,
        "served_beside_silent": True,
        "first_answer_seconds": 0.00123,
        "round_trip_seconds": {"p50": 51e-6, "p99": 100e-6},
    }
    assert (second["round_trip_seconds"] is None) is not answered
