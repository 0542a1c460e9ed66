"""What connections inherit from their listener, and the file of the UNIX socket."""

import errno
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from services import listeners, runtime
from services.runtime import SettingError
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
    """Return after how many seconds a peer that is silent, and one that owes an answer, is lost."""
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
    """No short answer waits for an acknowledgement, and who vanishes is noticed in a minute."""
    with listeners.tcp_listener((LOOPBACK, 0)) as listener, accepted(listener) as connection:
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert noticed_after(connection) == (60, 60)


def test_how_soon_it_is_noticed_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read when a server starts to listen."""
    monkeypatch.setenv("WIRELAB_VANISHED_TIMEOUT", "6")
    with listeners.tcp_listener((LOOPBACK, 0)) as listener, accepted(listener) as connection:
        assert noticed_after(connection) == (6, 6)


def test_a_limit_is_on_what_the_kernel_buffers() -> None:
    """It doubles the number that it is given, for its own bookkeeping: socket(7)."""
    with listeners.tcp_listener((LOOPBACK, 0)) as listener:
        listeners.limit_buffer(listener, 65536)
        with accepted(listener) as connection:
            assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 2 * 65536


def test_what_a_client_does_not_read_waits_where_it_is_counted() -> None:
    """The kernel takes 128 KiB that it cannot send yet, and the server has the rest."""
    (listener,) = listeners.tcp_and_unix((LOOPBACK, 0))
    with listener, accepted(listener) as connection:
        unsent = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)
        assert unsent == listeners.UNSENT == 128 * 1024


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


def test_a_file_that_is_no_socket_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The error names the variable and the file."""
    file = tmp_path / "notes"
    file.write_text("mine")
    monkeypatch.setenv("WIRELAB_UNIX_SOCKET", str(file))
    with pytest.raises(SettingError) as caught:
        listeners.unix_listeners()
    assert str(caught.value).startswith(f"WIRELAB_UNIX_SOCKET has value {str(file)!r}. Not where")
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
    """And told apart: without capacity, to go on would be to spin."""
    assert listeners.accept_failed(OSError(number, os.strerror(number))) == capacity
    assert os.strerror(number) in caplog.text


def test_that_nobody_is_there_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    """It is how a driver learns that the queue is empty."""
    caplog.set_level(logging.DEBUG)
    assert not listeners.accept_failed(BlockingIOError(errno.EAGAIN, "again"))
    assert not caplog.text


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (("127.0.0.1", 25000), "127.0.0.1:25000"),
        (("::1", 25000, 0, 0), "::1:25000"),
        ("/run/echo.sock", "/run/echo.sock"),
        ("", "the UNIX socket"),
    ],
)
def test_an_address_as_logs_have_it(address: object, text: str) -> None:
    """Of either family; a client of a UNIX socket has none."""
    assert listeners.text(address) == text
