"""The load sees what is wrong with a server, and how long its clients have to wait."""

import signal
import threading
from typing import Any, Literal

import pytest

from bench import BUILD, http_requests, runs
from bench.runs import loading
from bench.workloads import Target, Workload
from clients.addresses import Address
from tests.support.processes import running

ECHO = ["python", "-m", "services.tcp_echo.evented"]
REST = ["gunicorn", "-c", "services/rest/gunicorn.conf.py"]


@pytest.fixture(autouse=True, scope="module")
def _requests() -> None:
    """Have the files of requests."""
    BUILD.mkdir(parents=True, exist_ok=True)
    http_requests.write()


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait less for servers that give no right answer."""
    monkeypatch.setattr(runs, "PATIENCE", 1.0)


def load(
    where: Address,
    protocol: Literal["tcp", "udp", "http"] = "tcp",
    connections: int = 4,
    request: str = "64",
    seconds: float = 0.3,
    rate: float = 0,
    bursts: bool = False,
) -> dict[str, Any]:
    """Load a server and return the report."""
    target = Target("", "default", ())
    workload = Workload("", "", protocol, connections, request, (target,), bursts=bursts)
    with loading(workload, target, where, seconds, rate) as report:
        return report


@pytest.mark.parametrize("rate", [0, 100], ids=["closed", "open"])
@pytest.mark.parametrize("size", ["1", "64", "1000000"], ids=lambda size: f"{size} bytes")
def test_an_echo_has_no_faults(size: str, rate: float) -> None:
    """Every connection is served, and every byte is right."""
    with running(ECHO) as server:
        report = load(server.address, request=size, rate=rate)
    assert report["requests"] > 0
    assert [report[fault] for fault in ("wrong", "errors", "never_served")] == [0, 0, 0]


def test_an_open_loop_asks_as_often_as_it_should() -> None:
    """Neither more nor less, whatever the server could do."""
    with running(ECHO) as server:
        report = load(server.address, rate=1000, seconds=0.5)
    assert 450 < report["requests"] <= 510


@pytest.mark.parametrize("rate", [0, 400], ids=["closed", "open"])
def test_bursts_are_answered_completely(rate: float) -> None:
    """Each connection sends in each of them."""
    with running(ECHO) as server:
        report = load(server.address, rate=rate, bursts=True)
    assert report["requests"] > 0
    assert [report[fault] for fault in ("wrong", "errors", "never_served")] == [0, 0, 0]


def test_a_burst_begins_when_all_of_the_last_one_is_answered() -> None:
    """The bare loop answers one of four connections, so there is no second burst."""
    with running(["python", "-m", "services.tcp_echo.raw_loop"]) as server:
        report = load(server.address, bursts=True)
    assert (report["requests"], report["never_served"]) == (0, 3)


def test_changed_bytes_are_wrong() -> None:
    """All of them are letters, and come back in upper case."""
    with running(ECHO, ECHO_TRANSFORM="upper") as server:
        report = load(server.address)
    assert report["wrong"] == report["requests"] > 0


def test_connections_without_an_answer_are_counted() -> None:
    """The bare loop serves one of four."""
    with running(["python", "-m", "services.tcp_echo.raw_loop"]) as server:
        report = load(server.address)
    assert report["never_served"] == 3
    assert report["requests"] > 0


def test_a_server_that_closes_connections_makes_errors() -> None:
    """This one is not sent HTTP: no request head is that long."""
    with running(REST) as server:
        report = load(server.address, request="20000")
    assert report["errors"] > 0
    assert report["requests"] == 0


def stalled(rate: float) -> dict[str, Any]:
    """Return what is seen of a server that stops for 0.4 s of the run."""
    with running(ECHO) as server:
        stop = threading.Timer(0.5, server.process.send_signal, [signal.SIGSTOP])
        resume = threading.Timer(0.9, server.process.send_signal, [signal.SIGCONT])
        try:
            stop.start()
            resume.start()
            return load(server.address, connections=1, seconds=1.5, rate=rate)
        finally:
            stop.join()
            resume.join()


def test_a_stall_is_not_hidden() -> None:
    """A closed loop has one slow request among many; an open one has all that were due."""
    closed, paced = stalled(0)["latency_us"], stalled(500)["latency_us"]
    assert closed["max"] > 200_000
    assert closed["p90"] < 100_000
    assert paced["p90"] > 100_000


def test_datagrams_that_are_not_answered_are_lost() -> None:
    """A stopped server answers none."""
    with running(["python", "-m", "services.udp_time.raw_loop"]) as server:
        served = load(server.address, "udp")
        server.process.send_signal(signal.SIGSTOP)
        unserved = load(server.address, "udp", seconds=1)
        server.process.send_signal(signal.SIGCONT)
    assert (served["lost"], served["wrong"], served["never_served"]) == (0, 0, 0)
    assert unserved["requests"] == 0
    assert unserved["lost"] >= 4
    assert unserved["never_served"] == 4


def test_http_is_kept_alive_where_the_server_does() -> None:
    """And answers with a length end there."""
    with running(REST) as server:
        report = load(server.address, "http", request="hello")
    assert report["requests"] > 0
    assert (report["wrong"], report["errors"]) == (0, 0)


def test_http_connects_anew_where_the_server_closes() -> None:
    """HTTP/1.0 does after each answer."""
    with running(["python", "-m", "services.kv.single"]) as server:
        report = load(server.address, "http", request="set")
    assert report["requests"] > 8
    assert (report["wrong"], report["errors"]) == (0, 0)


def test_an_answer_without_what_is_expected_is_wrong() -> None:
    """Names that nobody has set have a fault instead of a value."""
    with running(["python", "-m", "services.kv.single"]) as server:
        http_requests.fill(server.address)
        good = load(server.address, "http", request="get")
        http_requests.forget(server.address, 50)
        bad = load(server.address, "http", request="get")
    assert good["wrong"] == 0
    assert bad["wrong"] > 0


def test_a_status_other_than_200_is_wrong() -> None:
    """The page is not there."""
    (BUILD / "missing").write_text("GET /missing HTTP/1.1\r\nHost: x\r\n\r\n\0\0", newline="")
    with running(REST) as server:
        report = load(server.address, "http", request="missing")
    assert report["wrong"] == report["requests"] > 0
