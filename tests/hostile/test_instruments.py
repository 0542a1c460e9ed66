"""The instruments themselves: what well-behaved clients and attackers notice."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from clients.addresses import Address
from tests.hostile.attackers import Attackers, Behavior
from tests.hostile.well_behaved import well_behaved
from tests.support.drivers import DRIVERS, named, serving
from tests.support.pace import until
from tests.support.sockets import LOOPBACK, closed_port

Serve = Callable[[socket.socket], object]


@contextmanager
def served(serve: Serve) -> Iterator[Address]:
    """Serve each connection in a thread of its own, and lend the address."""
    with socket.create_server((LOOPBACK, 0), backlog=100) as listener:

        def one(stream: socket.socket) -> None:
            with stream:
                serve(stream)

        def accept() -> None:
            while True:
                try:
                    stream, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=one, args=(stream,), daemon=True).start()

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield Address(*listener.getsockname())
        finally:
            listener.shutdown(socket.SHUT_RDWR)  # close alone would not end the accept
            thread.join()


def wrong(stream: socket.socket) -> None:
    """Return as many bytes, but others."""
    while data := stream.recv(100):
        stream.sendall(bytes(len(data)))


def silent(stream: socket.socket) -> None:
    """Read, and answer nothing."""
    while stream.recv(100):
        pass


def hurried(stream: socket.socket) -> None:
    """Answer once, and close."""
    stream.sendall(stream.recv(100))


def brief(stream: socket.socket) -> None:
    """Close after 0.2 s."""
    stream.settimeout(0.2)
    try:
        while stream.recv(100):
            pass
    except TimeoutError:
        pass


def test_well_behaved_clients_are_served_by_a_good_server() -> None:
    """All of them, again and again, during what might be an attack as before it."""
    with serving(DRIVERS["tcp-echo"][0]) as server:
        with well_behaved("tcp-echo", server.address, count=5) as clients:
            time.sleep(0.5)
        outcome = clients.outcome
        assert not outcome.harmed
        assert outcome.answers > 5
        assert 0 < outcome.p50 <= outcome.p99 <= outcome.worst
        assert 0 < outcome.quiet < 1


@pytest.mark.parametrize(
    ("serve", "noticed"),
    [(wrong, "wrong"), (silent, "failures"), (hurried, "failures")],
    ids=["wrong answers", "no answers", "connections that end"],
)
def test_well_behaved_clients_notice(serve: Serve, noticed: str) -> None:
    """What a client counts as wrong or as failed, and that none of them was served well."""
    with served(serve) as address:
        with well_behaved("tcp-echo", address, count=3, late=0.3, quiet=0) as clients:
            time.sleep(0.7)
        outcome = clients.outcome
        assert outcome.failed
        assert outcome.served == 0
        assert getattr(outcome, noticed)


def test_well_behaved_clients_notice_that_nobody_listens() -> None:
    """A refused connection is a failure."""
    with closed_port() as address, well_behaved("rest", address, count=2, quiet=0) as clients:
        time.sleep(0.3)
    assert (clients.outcome.answers, clients.outcome.served) == (0, 0)
    assert "ConnectionRefusedError" in clients.outcome.failures[0]


def test_well_behaved_clients_notice_that_answers_come_late() -> None:
    """Every answer is right, and under attack each takes many times what it took before."""
    attack = threading.Event()

    def slower(stream: socket.socket) -> None:
        while data := stream.recv(100):
            if attack.is_set():
                time.sleep(1.5)
            stream.sendall(data)

    with served(slower) as address, well_behaved("tcp-echo", address, count=3) as clients:
        attack.set()
        time.sleep(2)
    assert not clients.outcome.failed
    assert clients.outcome.harmed


def test_attackers_say_what_became_of_them() -> None:
    """How many connections there were, and how long each lasted before the server closed it."""
    with served(brief) as address, Attackers(address, 20, reconnect=False) as attackers:
        until(lambda: attackers.all_tried, "all are connected")
        until(lambda: len(attackers.closed) == 20, "all are closed")
    assert (attackers.opened, attackers.refused) == (20, 0)
    assert min(attackers.closed) > 0.05


def test_attackers_repeat_and_reconnect() -> None:
    """One that sends slowly goes on, and one whose connection was closed is replaced."""
    received: list[bytes] = []

    def listen(stream: socket.socket) -> None:
        received.extend(stream.recv(100) for _ in range(4))

    slow = Behavior(b"begin", b".")
    with served(listen) as address, Attackers(address, 1, slow, every=0.05) as attackers:
        until(lambda: len(attackers.closed) >= 2, "two connections are closed")
    assert received[:5] == [b"begin", b".", b".", b".", b"begin"]


def test_a_worker_that_ends_is_noticed_although_it_is_replaced() -> None:
    """The server goes on, and the clients of the other worker are served."""
    (preforked,) = named("tcp-echo", "preforked")

    def attack() -> None:
        with serving(preforked) as server:
            server.worker.kill()
            until(lambda: "ended with status" in server.log, "the parent takes note")

    with pytest.raises(AssertionError, match="ended with status"):
        attack()
