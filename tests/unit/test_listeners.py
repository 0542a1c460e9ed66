"""What connections inherit from their listener, and the file of the UNIX socket."""

import errno
import logging
import os
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from services import listeners, runtime
from services.runtime import Address, SettingError
from services.udp_sockets import udp_group
from tests.support.sockets import LOOPBACK


@pytest.fixture(autouse=True)
def at_exit(monkeypatch: pytest.MonkeyPatch) -> Iterator[ExitStack]:
    """Lend what is undone when a server stops, and undo it."""
    monkeypatch.delenv("WIRELAB_UNIX_SOCKET", raising=False)
    with ExitStack() as stack:
        monkeypatch.setattr(runtime, "at_exit", stack)
        yield stack


def accepted(listener: socket.socket) -> socket.socket:
    """Connect, and return the server's end."""
    with socket.create_connection(listener.getsockname()):
        return listener.accept()[0]


def noticed_after(connection: socket.socket) -> tuple[int, float]:
    """Return after how many seconds a connection ends: if it is idle, and with data in flight."""
    assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    idle, interval, probes, unanswered = (
        connection.getsockopt(socket.IPPROTO_TCP, option)
        for option in (
            socket.TCP_KEEPIDLE,
            socket.TCP_KEEPINTVL,
            socket.TCP_KEEPCNT,
            socket.TCP_USER_TIMEOUT,
        )
    )
    return idle + probes * interval, unanswered / 1000


def test_a_connection_inherits_the_options_of_its_listener() -> None:
    """No byte is lost, small ones are not delayed, and who vanished is noticed in a minute."""
    with listeners.tcp_listener((LOOPBACK, 0)) as listener, accepted(listener) as connection:
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE)
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert noticed_after(connection) == (60, 60)


def test_how_soon_it_is_noticed_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read when a server starts to listen."""
    monkeypatch.setenv("WIRELAB_VANISHED_TIMEOUT", "6")
    with listeners.tcp_listener((LOOPBACK, 0)) as listener, accepted(listener) as connection:
        assert noticed_after(connection) == (6, 6)


class Recorder(socket.socket):
    """A socket that records the order of what is called on it."""

    calls: list[str]

    def setsockopt(self, *args: Any) -> None:
        """Set an option."""
        self.calls.append("setsockopt")
        super().setsockopt(*args)

    def listen(self, *args: Any) -> None:
        """Start to listen."""
        self.calls.append("listen")
        super().listen(*args)


@pytest.mark.parametrize(
    "listen",
    [
        lambda address: [listeners.tcp_listener(address, shared=True, buffers=65536)],
        listeners.tcp_and_unix,
    ],
    ids=["tcp_listener", "tcp_and_unix"],
)
def test_all_options_are_set_before_the_kernel_completes_handshakes(
    listen: Callable[[Address], list[socket.socket]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection from between listen() and setsockopt() would not inherit the option."""
    monkeypatch.setattr(Recorder, "calls", [], raising=False)
    monkeypatch.setattr(socket, "socket", Recorder)
    for listener in listen((LOOPBACK, 0)):
        listener.close()
    assert Recorder.calls[-1] == "listen"
    assert Recorder.calls.count("listen") == 1
    assert len(Recorder.calls) > 5


@pytest.mark.parametrize("seconds", ["1", "65535"])
def test_the_smallest_and_largest_timeout_can_be_set(
    seconds: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel rejects a TCP_KEEPIDLE below 1 or above 32767 seconds."""
    monkeypatch.setenv("WIRELAB_VANISHED_TIMEOUT", seconds)
    listeners.tcp_listener((LOOPBACK, 0)).close()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("65536", "Not a whole number up to 65535"),
        ("3000000", "Not a whole number up to 65535"),
        ("0", "Not a whole number from 1 up"),
    ],
)
def test_a_timeout_that_the_kernel_does_not_take_is_named(
    value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the variable and the value, and leaves no socket open."""
    monkeypatch.setenv("WIRELAB_VANISHED_TIMEOUT", value)
    with pytest.raises(SettingError) as caught:
        listeners.tcp_listener((LOOPBACK, 0))
    assert str(caught.value) == f"WIRELAB_VANISHED_TIMEOUT has value '{value}'. {message}"


def test_a_group_shares_a_port_with_nobody_else() -> None:
    """With SO_REUSEPORT alone, another server of this user that sets it would be joined."""
    first = listeners.tcp_group((LOOPBACK, 0), 2)
    datagrams = udp_group((LOOPBACK, 0), 2)
    with ExitStack() as stack:
        for each in (*first, *datagrams):
            stack.enter_context(each)
        for open_group, group in ((listeners.tcp_group, first), (udp_group, datagrams)):
            assert group[0].getsockname() == group[1].getsockname()
            with pytest.raises(OSError, match="Address already in use"):
                open_group(group[0].getsockname(), 2)


def test_who_is_alone_shares_with_nobody() -> None:
    """A group of one is a listener like any other: nobody can join it."""
    (listener,) = listeners.tcp_group((LOOPBACK, 0), 1)
    with listener, pytest.raises(OSError, match="Address already in use"):
        listeners.tcp_listener(listener.getsockname(), shared=True)


def test_datagrams_are_shared_evenly() -> None:
    """Within 30 % of each other, if there are many clients: the kernel chooses by a hash.

    Of 2,000 clients a socket gets 1,000, with a standard deviation of 22.
    """
    with ExitStack() as stack:
        group = [stack.enter_context(each) for each in udp_group((LOOPBACK, 0), 2)]
        got = [0, 0]
        for _ in range(2000):
            with socket.socket(type=socket.SOCK_DGRAM) as client:
                client.sendto(b"Hello", group[0].getsockname())
            (ready,) = select.select(group, [], [], 5)[0]
            ready.recv(10)
            got[group.index(ready)] += 1
    assert sum(got) == 2000
    assert max(got) < 1.3 * min(got)


def test_processes_have_their_own_tcp_listener_and_share_the_unix_socket(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What each of them has to accept from; nobody else can listen on the port."""
    monkeypatch.setenv("WIRELAB_UNIX_SOCKET", str(tmp_path / "socket"))
    (first, unix), (second, same) = listeners.tcp_and_unix_group((LOOPBACK, 0), 2)
    with first, second, unix:
        assert first is not second
        assert first.getsockname() == second.getsockname()
        assert unix is same
        with pytest.raises(OSError, match="Address already in use"):
            listeners.tcp_and_unix(first.getsockname())


def test_a_limit_is_on_what_the_kernel_buffers() -> None:
    """Linux doubles the number that it is given, for its own bookkeeping: socket(7)."""
    with (
        listeners.tcp_listener((LOOPBACK, 0), buffers=65536) as listener,
        accepted(listener) as connection,
    ):
        for buffer in socket.SO_SNDBUF, socket.SO_RCVBUF:
            assert connection.getsockopt(socket.SOL_SOCKET, buffer) == 2 * 65536


def test_what_a_client_does_not_read_waits_where_it_is_counted() -> None:
    """The kernel takes 128 KiB that it cannot send yet, and the server has the rest."""
    (listener,) = listeners.tcp_and_unix((LOOPBACK, 0))
    with listener, accepted(listener) as connection:
        unsent = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)
        assert unsent == listeners.NOT_SENT == 128 * 1024


def test_the_unix_socket_is_there_while_the_server_is(
    monkeypatch: pytest.MonkeyPatch, at_exit: ExitStack, tmp_path: Path
) -> None:
    """It replaces the file that a killed server has left, and removes its own."""
    file = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(file))
    monkeypatch.setenv("WIRELAB_UNIX_SOCKET", str(file))
    (listener,) = listeners.unix_listeners()
    with listener, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(file))
        at_exit.close()
    assert not file.exists()


def test_the_unix_socket_of_a_server_that_runs_is_kept(
    monkeypatch: pytest.MonkeyPatch, at_exit: ExitStack, tmp_path: Path
) -> None:
    """As its port would be; also while it does not accept, and its queue is full."""
    file = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as other, ExitStack() as clients:
        other.bind(str(file))
        other.listen(0)
        monkeypatch.setenv("WIRELAB_UNIX_SOCKET", str(file))
        for _ in range(3):
            with pytest.raises(SettingError, match="Address already in use"):
                listeners.unix_listeners()
            client = clients.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            client.connect_ex(str(file))
        at_exit.close()
        assert file.is_socket()


def test_a_file_that_is_no_socket_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The error names the variable and the file."""
    file = tmp_path / "notes"
    file.write_text("mine")
    monkeypatch.setenv("WIRELAB_UNIX_SOCKET", str(file))
    with pytest.raises(SettingError) as caught:
        listeners.unix_listeners()
    assert str(caught.value).startswith(f"WIRELAB_UNIX_SOCKET has value {str(file)!r}. Not a path")
    assert file.read_text() == "mine"


@pytest.mark.parametrize(
    ("number", "capacity"),
    [
        (errno.EMFILE, True),
        (errno.ENFILE, True),
        (errno.ENOBUFS, True),
        (errno.ENOMEM, True),
        (errno.ECONNABORTED, False),
    ],
)
def test_an_error_of_accept_is_logged(
    number: int, capacity: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The caller is told whether to pause: without capacity, accept would fail again at once."""
    assert listeners.accept_failed(OSError(number, os.strerror(number))) == capacity
    assert os.strerror(number) in caplog.text


def test_an_empty_accept_queue_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A BlockingIOError says that the accept queue is empty."""
    caplog.set_level(logging.DEBUG)
    assert not listeners.accept_failed(BlockingIOError(errno.EAGAIN, "again"))
    assert not caplog.text


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (("127.0.0.1", 25000), "127.0.0.1:25000"),
        (("::1", 25000, 0, 0), "[::1]:25000"),
        (("::ffff:127.0.0.1", 25000, 0, 0), "127.0.0.1:25000"),
        ("/run/echo.sock", "/run/echo.sock"),
        ("", "the UNIX socket"),
        (None, "an unknown address"),
    ],
)
def test_an_address_in_log_messages(address: object, text: str) -> None:
    """Of either family, or of both; a client of a UNIX socket has none."""
    assert listeners.text(address) == text
