"""The command line from end to end: what it writes, another checkout, and how it stops."""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from lab import ROOT
from tests.support.pace import until


@pytest.fixture
def mark(monkeypatch: pytest.MonkeyPatch) -> str:
    """Put a name into the environment, by which every process of a run is found."""
    mark = f"BENCH_TEST_{secrets.token_hex(8)}"
    monkeypatch.setenv(mark, "1")
    return mark


def marked(mark: str) -> list[psutil.Process]:
    """Return the processes of a run; none is a zombie."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != os.getpid() and mark in process.environ():
                found.append(process)
    return found


def start(*arguments: str) -> "subprocess.Popen[str]":
    """Start the benchmark."""
    return subprocess.Popen(
        [sys.executable, "-m", "bench", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def checkout(folder: Path) -> Path:
    """Copy what runs the servers, and return their udp-time."""
    shutil.copytree(ROOT / "services", folder / "services")
    shutil.copy(ROOT / "compose.yaml", folder)
    return folder / "services/udp_time/raw_loop.py"


def test_another_checkout_is_measured_beside_this_one(tmp_path: Path, mark: str) -> None:
    """Its servers run there, and the page has the ratio of ours to each of them."""
    server = checkout(tmp_path)
    server.write_text(f"open('it ran here', 'w').close()\n{server.read_text()}")
    compose = tmp_path / "compose.yaml"
    compose.write_text(compose.read_text().replace("services.udp_time.threaded", "x.other"))
    to = tmp_path / "results"
    with start("udp-time", "--quick", f"--beside={tmp_path}", f"--to={to}") as run:
        output, _ = run.communicate()
    assert run.returncode == 0, output
    assert f"udp-time: {tmp_path} has no threaded, which is left out" in output
    assert (tmp_path / "it ran here").exists()
    (found,) = json.loads((to / "benchmark.json").read_text())["workloads"]
    assert [server["name"] for server in found["servers"]] == ["raw_loop", "raw_loop beside"]
    (goal,) = found["goals"]
    assert (goal["server"], goal["peer"], goal["met"]) == ("raw_loop", "raw_loop beside", None)
    page = (to / "benchmark.md").read_text()
    assert "| raw_loop beside |" in page
    assert f"**Not for publication:** the servers called beside are those of {tmp_path}." in page
    assert (to / "benchmark-udp-time.svg").exists()
    assert not marked(mark)


def test_a_server_that_answers_nothing_ends_the_run_by_name(tmp_path: Path, mark: str) -> None:
    """No figure is written, least of all one that says that ours is faster."""
    server = checkout(tmp_path)
    server.write_text(
        "import signal, socket\n"
        "server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "server.bind(('127.0.0.1', 0))\n"
        "print('listening on %s:%d' % server.getsockname(), flush=True)\n"
        "signal.pause()\n"
    )
    to = tmp_path / "results"
    with start("udp-time", "--quick", f"--beside={tmp_path}", f"--to={to}") as run:
        output, _ = run.communicate()
    assert run.returncode == 1, output
    assert "bench: udp-time: a datagram, 64 clients: raw_loop beside: no right answer" in output
    assert not list(to.iterdir())
    assert not marked(mark)


def test_a_run_of_one_service_adds_to_the_page_of_another(tmp_path: Path, mark: str) -> None:
    """What was measured before stays as it was, and stands in the order of the services."""
    brief = ["--runs=1", "--limit=1", "--seconds=0.1", f"--to={tmp_path}"]
    found = []
    for service in ("rest", "kv", "rest"):
        with start(service, *brief) as run:
            output, _ = run.communicate()
        assert run.returncode == 0, output
        found.append(json.loads((tmp_path / "benchmark.json").read_text())["workloads"])
    rest, both, again = found
    own = len(rest)
    assert {each["service"] for each in both[:own]} == {"rest"}
    assert {each["service"] for each in both[own:]} == {"kv"}
    assert both[:own] == rest
    assert both[own]["began"] > rest[-1]["began"]
    assert again[own:] == both[own:]
    assert again[0]["began"] > both[-1]["began"]
    assert (tmp_path / "benchmark-rest.svg").exists()
    assert not marked(mark)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("processes", [2, 3, 6], ids=["server", "load", "clients"])
def test_an_interrupt_leaves_no_process(
    number: signal.Signals, processes: int, tmp_path: Path, mark: str
) -> None:
    """While a server starts, while it is loaded, and while the load is many processes."""
    workload = "rpc" if processes > 3 else "tcp-echo"
    options = ["--quick"] if processes > 3 else []
    with start(workload, *options, f"--to={tmp_path}") as run:
        until(lambda: len(marked(mark)) >= processes, "they are started", 60)
        run.send_signal(number)
        output, _ = run.communicate(timeout=30)
    assert run.returncode == 130, output
    assert output.splitlines()[-1] == "interrupted"
    assert not marked(mark)
