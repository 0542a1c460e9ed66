"""The instruments themselves: good clients notice what is wrong, and a crowd what becomes of it."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from clients.addresses import Address
from tests.helpers import LOOPBACK, closed_port, until
from tests.hostile.crowd import Crowd, Form
from tests.hostile.good import good_clients
from tests.processes import running

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
            listener.shutdown(socket.SHUT_RDWR)  # close alone would leave the accept waiting
            thread.join()


def wrong(stream: socket.socket) -> None:
    """Return as many bytes, but others."""
    while data := stream.recv(100):
        stream.sendall(bytes(len(data)))


def mute(stream: socket.socket) -> None:
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


def test_good_clients_are_served_by_a_good_server() -> None:
    """All of them, again and again."""
    with running(["python", "-m", "services.tcp_echo.evented"]) as server:
        with good_clients("tcp-echo", server.address, count=5) as good:
            time.sleep(0.5)
        assert good.outcome.all_well
        assert good.outcome.answers > 10
        assert 0 < good.outcome.p50 <= good.outcome.p99 <= good.outcome.worst < 1


@pytest.mark.parametrize(
    ("serve", "noticed"),
    [(wrong, "wrong"), (mute, "failures"), (hurried, "failures")],
    ids=["wrong answers", "no answers", "connections that end"],
)
def test_good_clients_notice(serve: Serve, noticed: str) -> None:
    """What a good client counts as wrong or as failed, and that none of them was served well."""
    with served(serve) as address:
        with good_clients("tcp-echo", address, count=3, late=0.3) as good:
            time.sleep(0.7)
        outcome = good.outcome
        assert not outcome.all_well
        assert outcome.served == 0
        assert getattr(outcome, noticed)


def test_good_clients_notice_that_nobody_listens() -> None:
    """A refused connection is a failure."""
    with closed_port() as address, good_clients("rest", address, count=2) as good:
        time.sleep(0.3)
    assert (good.outcome.answers, good.outcome.served) == (0, 0)
    assert "ConnectionRefusedError" in good.outcome.failures[0]


def test_a_crowd_says_what_became_of_it() -> None:
    """How many connections there were, and how long each lasted before the server closed it."""
    with served(brief) as address, Crowd(address, 20, again=False) as crowd:
        until(lambda: crowd.all_there)
        until(lambda: len(crowd.cut) == 20)
    assert (crowd.opened, crowd.refused) == (20, 0)
    assert all(0.05 < seconds < 5 for seconds in crowd.cut)


def test_a_crowd_drips_and_comes_again() -> None:
    """A member that drips goes on, and one that was cut off is replaced."""
    heard: list[bytes] = []

    def listen(stream: socket.socket) -> None:
        heard.extend(stream.recv(100) for _ in range(4))

    with served(listen) as address, Crowd(address, 1, Form(b"begin", b"."), every=0.05) as crowd:
        until(lambda: len(crowd.cut) >= 2)
    assert heard[:5] == [b"begin", b".", b".", b".", b"begin"]
