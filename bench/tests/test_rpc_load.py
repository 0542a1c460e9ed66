"""The load for RPC sees what is wrong with a server, and what it makes its clients wait for."""

import math
import pickle
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from multiprocessing.connection import Listener
from threading import Thread

import psutil

from bench.peers.rpc import records
from bench.rpc_load import RECORDS
from bench.tests.rpc import load, start
from clients.addresses import Address
from tests.support.pace import until
from tests.support.processes import running
from tests.support.sockets import LOOPBACK, closed_port

RECIPE = ["python", "-m", "bench.peers.rpc.recipe"]


@contextmanager
def answering(script: Callable[[int], object], key: bytes) -> Iterator[Address]:
    """Serve one client of the recipe's form: the result of each call is `script(its number)`."""

    def serve() -> None:
        with suppress(EOFError, ConnectionError), listener.accept() as connection:
            for number in count():
                connection.recv()
                connection.send(pickle.dumps(script(number)))

    with Listener((LOOPBACK, 0), authkey=key) as listener:
        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield Address(*listener.address)
        thread.join(5)
        assert not thread.is_alive()


def test_calls_are_made_one_after_the_other_until_the_time_is_up(key: bytes) -> None:
    """The server sees as many, and those of the warm-up before."""
    numbers: list[int] = []

    def script(number: int) -> int:
        numbers.append(number)
        return 5

    with answering(script, key) as address:
        report = load("recipe", address, seconds=0.3)
    assert report["mode"] == "closed"
    assert 0 < report["requests"] <= report["answered"] < len(numbers)
    assert [report[fault] for fault in ("never_served", "wrong", "errors")] == [0, 0, 0]
    assert 0 < report["latency_us"]["p50"] <= report["latency_us"]["max"]
    assert report["cpu_seconds"] > 0


def test_an_open_loop_asks_no_more_often_than_it_should(key: bytes) -> None:
    """Whatever the server could do."""
    with answering(lambda _: 5, key) as address:
        report = load("recipe", address, seconds=0.5, rate=200)
    assert report["mode"] == "open"
    assert 50 < report["requests"] <= 100


def test_an_open_loop_may_have_fewer_calls_than_clients(key: bytes) -> None:
    """What is due after the end is neither waited for nor counted."""
    assert key
    with running(RECIPE) as server:
        report = load("recipe", server.address, clients=4, seconds=0.5, rate=0.1)
    assert report["requests"] <= 1
    assert report["latency_us"]["p50"] > 0
    assert report["never_served"] == 0


def stalling(seconds: float) -> Callable[[int], object]:
    """Return a script that sleeps once, half a second after the first call: in the run proper."""
    began: list[float] = []

    def script(_: int) -> int:
        if not began:
            began.append(time.monotonic())
        elif time.monotonic() - began[0] > 0.5:
            began[0] = math.inf
            time.sleep(seconds)
        return 5

    return script


def test_a_stall_counts_for_every_call_that_was_due_in_it(key: bytes) -> None:
    """It is half of the time, so a tenth of the calls at the least took much of it."""
    with answering(stalling(0.5), key) as address:
        report = load("recipe", address, seconds=1, rate=100)
    assert report["latency_us"]["p90"] > 200_000


def test_calls_that_a_stall_leaves_no_time_for_count_as_well(key: bytes) -> None:
    """With what they have waited until the report, which is what most calls then took."""
    with answering(stalling(1.5), key) as address:
        report = load("recipe", address, seconds=1, rate=100)
    assert report["requests"] < 50
    assert report["latency_us"]["p50"] > 200_000


def test_a_wrong_answer_is_counted(key: bytes) -> None:
    """Each of them."""
    with answering(lambda _: 6, key) as address:
        report = load("recipe", address, seconds=0.1)
    assert report["wrong"] == report["answered"] > 0


def test_other_records_are_a_wrong_answer(key: bytes) -> None:
    """One that is missing, or has another value."""
    right = records(RECORDS)
    assert len(right) == RECORDS
    for answer, wrong in ((right, False), (right[1:], True), ([*right[1:], right[0]], True)):
        with answering(lambda _, answer=answer: answer, key) as address:  # type: ignore[misc]
            report = load("recipe", address, call="records", seconds=0.1)
        assert report["wrong"] == (report["answered"] if wrong else 0)
        assert report["answered"] > 0


def test_an_error_ends_a_client_and_is_counted(key: bytes) -> None:
    """What it had been answered before counts as well."""
    began: list[float] = []

    def script(_: int) -> int:
        began.append(time.monotonic())
        if began[-1] - began[0] > 1:
            raise EOFError
        return 5

    with answering(script, key) as address:
        report = load("recipe", address, seconds=30)
    assert report["errors"] == 1
    assert report["requests"] > 0


def test_clients_without_an_answer_are_counted(key: bytes) -> None:
    """With a silent server, and without one; the wait has an end."""
    assert key
    with socket.create_server((LOOPBACK, 0)) as silent:
        report = load("recipe", Address(*silent.getsockname()), clients=3, patience=0.5)
    assert (report["never_served"], report["requests"]) == (3, 0)
    with closed_port() as address:
        report = load("recipe", address, clients=3)
    assert (report["never_served"], report["errors"]) == (3, 3)


def test_ctrl_c_leaves_no_client_behind(key: bytes) -> None:
    """Also while they wait for a silent server."""
    assert key
    with socket.create_server((LOOPBACK, 0)) as silent:
        with start("recipe", Address(*silent.getsockname()), clients=3, patience=60) as process:
            parent = psutil.Process(process.pid)
            until(lambda: len(parent.children()) == 3, "three clients run")
            clients = parent.children()
            process.send_signal(signal.SIGINT)
            assert process.wait(5) == 128 + signal.SIGINT
        assert not any(client.is_running() for client in clients)
