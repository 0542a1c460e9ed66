"""A server is measured from its first right answer on, and one that gives none ends the run."""

from pathlib import Path
from typing import Literal

import pytest

from bench import BUILD, http_requests, runs
from bench.runs import measure
from bench.workloads import Target, Workload, relay
from lab import LabError

# It listens at once and answers later, as a server does that has to load its application first.
SERVER = """
import socket, time
server = socket.create_server(("127.0.0.1", 0))
print("listening on %s:%d" % server.getsockname(), flush=True)
{start}
while True:
    connection, _ = server.accept()
    try:
        while data := connection.recv(65536):
            connection.sendall(data)
    except ConnectionError:
        pass
"""
SLEEP = "time.sleep(1)"
COMPUTE = """
while time.process_time() < 0.6:
    pass
"""
SILENT = SERVER.format(start="time.sleep(60)")
SILENT_UDP = """
import socket, time
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 0))
print("listening on %s:%d" % server.getsockname(), flush=True)
time.sleep(60)
"""
MISSING = """
from wsgiref.simple_server import make_server
def application(environ, start_response):
    start_response("404 Not Found", [("Content-Length", "0")])
    return []
server = make_server("127.0.0.1", 0, application)
print("listening on %s:%d" % server.server_address, flush=True)
server.serve_forever()
"""


@pytest.fixture(autouse=True)
def _files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have what a run needs, in files; do not wait long for servers that give no right answer."""
    BUILD.mkdir(parents=True, exist_ok=True)
    http_requests.write()
    Path(BUILD, "authkey").write_text("a key for these tests, of 32 characters")
    monkeypatch.setattr(runs, "PATIENCE", 5.0)


def workload(load: Literal["tcp", "udp", "http", "rpc"], request: str) -> Workload:
    """Return a small workload."""
    return Workload("service", "a workload", load, 2, request, ())


def python(code: str, **environment: str) -> Target:
    """Return a server that is this program."""
    return Target("a server", "peer", ("python", "-c", code), environment)


def test_what_a_server_does_before_its_first_answer_is_not_measured() -> None:
    """The time until it answers is no part of the loop, however much shorter the loop is."""
    one = Workload("service", "", "tcp", 1, "64", ())
    sample = measure(one, python(SERVER.format(start=SLEEP)), 0.3, 0)
    assert sample.rate > 0
    assert (sample.never_served, sample.failures) == (0, 0)


def test_cpu_time_before_the_first_answer_is_not_a_request_s() -> None:
    """In the loop a thread can use one CPU and no more; to start, this one takes three loops."""
    one = Workload("service", "", "tcp", 1, "64", ())
    sample = measure(one, python(SERVER.format(start=COMPUTE)), 0.2, 0)
    assert 0 < sample.server_busy < 1.5


EVENTED = Target("evented", "default", ("python", "-m", "services.tcp_echo.evented"))


def test_one_connection_wakes_the_server_up_for_each_request() -> None:
    """There is nothing else for it to do meanwhile."""
    sample = measure(Workload("service", "", "tcp", 1, "64", ()), EVENTED, 0.2, 0)
    assert sample.per_wakeup == pytest.approx(1, rel=0.05)


def test_a_burst_wakes_the_server_up_once() -> None:
    """For nearly all of its requests; and none is left out."""
    bursts = Workload("service", "", "tcp", 32, "64", (), bursts=True)
    sample = measure(bursts, EVENTED, 0.3, 0)
    assert sample.per_wakeup > 24
    assert (sample.never_served, sample.failures) == (0, 0)


def test_a_server_without_epoll_has_no_wakeups() -> None:
    """Nor are there workers among which it could share the load."""
    sample = measure(workload("tcp", "64"), python(SERVER.format(start="")), 0.1, 0)
    assert (sample.per_wakeup, sample.balance) == (0, 0)


def test_workers_share_the_load() -> None:
    """The ratio of the busiest to the least busy; the parent of them is none."""
    preforked = Target(
        "preforked", "variant", ("python", "-m", "services.tcp_echo.preforked"),
        {"WIRELAB_WORKERS": "3"},
    )  # fmt: skip
    sample = measure(Workload("service", "", "tcp", 300, "64", ()), preforked, 0.3, 0)
    assert 1 <= sample.balance < 5
    assert runs.balance([1.0, 3.0, 2.0]) == 3
    assert runs.balance([1.0]) == runs.balance([]) == 0


@pytest.mark.parametrize("each", relay(), ids=lambda each: each.what)
def test_what_the_relay_leads_to_answers_through_it(each: Workload) -> None:
    """And the median latency of a workload with a toxic is no shorter than that says."""
    (through,) = (target for target in each.targets if target.kind == "default")
    sample = measure(each, through, 0.3, 0)
    assert (sample.never_served, sample.failures) == (0, 0)
    for goal in each.goals:
        if goal.tolerance:
            assert sample.latency["p50"] > (1 - goal.tolerance) * goal.bound


def test_what_is_measured_is_the_relay_and_not_the_server_behind_it() -> None:
    """Each request wakes the relay up twice; with the server it would be three times."""
    workload = relay()[0]
    through, directly = (measure(workload, each, 0.3, 100) for each in workload.targets)
    assert (through.per_wakeup, directly.per_wakeup) == pytest.approx((0.5, 1), rel=0.05)
    assert through.latency["p50"] > directly.latency["p50"]


@pytest.mark.parametrize(
    ("workload", "target"),
    [
        pytest.param(workload("tcp", "64"), python(SILENT), id="tcp"),
        pytest.param(workload("udp", "1"), python(SILENT_UDP), id="udp"),
        pytest.param(workload("http", "hello"), python(MISSING), id="http"),
        pytest.param(workload("rpc", "add"), python(SILENT), id="rpc"),
        pytest.param(
            workload("tcp", "64"),
            Target(
                "a server", "peer", ("python", "-m", "services.tcp_echo.evented"),
                {"ECHO_TRANSFORM": "upper"},
            ),
            id="wrong",
        ),
    ],
)  # fmt: skip
def test_a_server_without_a_right_answer_ends_the_run(workload: Workload, target: Target) -> None:
    """The error names the workload and the server."""
    with pytest.raises(LabError, match=r"^service: a workload: a server: no right answer"):
        measure(workload, target, 0.2, 0)


def test_a_server_that_does_not_start_ends_the_run() -> None:
    """The error names the workload and the server, and says what that logged."""
    with pytest.raises(LabError, match=r"(?s)^service: a workload: a server: .*no such luck"):
        measure(workload("tcp", "64"), python("raise SystemExit('no such luck')"), 0.2, 0)
