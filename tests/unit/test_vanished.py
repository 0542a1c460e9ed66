"""Which connections are over: judged by what the kernel counts, at times that the test sets."""

import socket
from collections.abc import Callable

import pytest

from services.tcp_echo import vanished
from services.tcp_echo.vanished import CLOSED, INFO, Watch, unsent

ESTABLISHED = 1
HOUR = 3600.0
TIMEOUT = 60.0  # seconds, by default


class Counters:
    """A connection of which the kernel has counted this."""

    def __init__(self) -> None:
        self.state = ESTABLISHED
        self.retransmits = 0
        self.probes = 0
        self.acknowledged = 0.0  # when
        self.not_sent = 0
        self.options: list[int] = []
        self.clock: Callable[[], float]

    def getsockopt(self, _level: int, _name: int, _size: int, /) -> bytes:
        """Return struct tcp_info."""
        since = round(1000 * (self.clock() - self.acknowledged))
        return INFO.pack(self.state, self.retransmits, self.probes, since, self.not_sent)

    def setsockopt(self, _level: int, name: int, _value: bytes, /) -> None:
        """Record which option is set."""
        self.options.append(name)


class Lab:
    """A watch, and a connection that it looks at when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.connection = Counters()
        self.connection.clock = lambda: self.now
        self.watch = Watch(self.connection.clock)

    def over(self, seconds: float) -> float | None:
        """Let time pass; return after how many seconds the connection is over, None if not."""
        began = self.now
        while self.now < began + seconds:
            self.now += self.watch.interval
            if self.watch.over({"it": self.connection}):
                return self.now - began
        return None


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Lab:
    """Lend a watch with the default timeout."""
    monkeypatch.delenv("WIRELAB_VANISHED_TIMEOUT", raising=False)
    return Lab()


def test_a_connection_without_anything_to_acknowledge_stays(lab: Lab) -> None:
    """However old its last ACK is: keepalive is for those."""
    assert lab.over(HOUR) is None


def test_a_closed_window_that_is_acknowledged_stays(lab: Lab) -> None:
    """A probe is on its way at each look, and the one before was acknowledged two minutes ago."""
    lab.connection.probes = 1
    for _ in range(10):
        lab.connection.acknowledged = lab.now
        assert lab.over(120) is None


def test_who_acknowledges_no_probe_has_vanished(lab: Lab) -> None:
    """Since the last ACK: all that was sent before has been acknowledged."""
    lab.connection.acknowledged = lab.now
    lab.connection.probes = 2
    took = lab.over(HOUR)
    assert took is not None
    assert TIMEOUT <= took <= TIMEOUT + lab.watch.interval


def test_who_acknowledges_no_data_has_vanished(lab: Lab) -> None:
    """Since it was sent, however long the connection was idle before."""
    assert lab.over(HOUR) is None
    lab.connection.retransmits = 1
    took = lab.over(HOUR)
    assert took is not None
    assert TIMEOUT <= took <= TIMEOUT + 2 * lab.watch.interval


def test_an_acknowledgement_begins_the_time_anew(lab: Lab) -> None:
    """Of data that gets through with difficulty."""
    lab.connection.retransmits = 3
    for _ in range(10):
        assert lab.over(TIMEOUT / 2) is None
        lab.connection.acknowledged = lab.now


def test_data_that_got_through_in_between_begins_the_time_anew(lab: Lab) -> None:
    """Nothing is to be acknowledged then."""
    for _ in range(10):
        lab.connection.retransmits = 1
        assert lab.over(TIMEOUT / 2) is None
        lab.connection.retransmits = 0
        assert lab.over(lab.watch.interval) is None


def test_a_connection_that_is_over_is_reset(lab: Lab) -> None:
    """Otherwise what is not sent would stay with the kernel: socket(7), SO_LINGER."""
    lab.connection.retransmits = 1
    assert lab.over(HOUR)
    assert lab.connection.options == [socket.SO_LINGER]


def test_a_connection_that_both_sides_have_closed_is_over(lab: Lab) -> None:
    """At the next look."""
    lab.connection.state = CLOSED
    assert lab.over(HOUR) == lab.watch.interval


def test_between_two_looks_it_costs_nothing(lab: Lab) -> None:
    """A server calls it after each iteration."""
    assert lab.over(lab.watch.interval) is None
    lab.connection.state = CLOSED
    assert lab.watch.over({"it": lab.connection}) == []


def test_how_often_it_looks_is_derived_from_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six times within the timeout."""
    monkeypatch.setenv("WIRELAB_VANISHED_TIMEOUT", "3")
    assert Watch().interval == 0.5


def test_the_kernel_says_that_something_is_not_sent() -> None:
    """As long as the window is closed; and so of FIN behind it."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(listener.getsockname())
        with listener.accept()[0] as server:
            server.sendall(b"Hello")
            assert not unsent(server)
            server.sendall(bytes(64 * 1024))
            assert unsent(server)
            assert not vanished.finish(server)
