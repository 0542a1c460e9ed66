"""How the event-driven servers take a connection, without a process around them."""

import errno
import os
import select
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from services import listeners
from services.connection.frames import TURN, encode
from services.connection.session import Session
from services.object_echo import evented as object_echo
from services.rpc import evented as rpc
from services.tcp_echo import evented as tcp_echo
from services.udp_time import raw_loop
from tests.support.pace import until
from tests.support.sockets import LOOPBACK, receive

each = pytest.mark.parametrize("server", [rpc, object_echo], ids=lambda m: m.__name__)


@each
def test_accepted_connections_hold_up_nothing(server: Any) -> None:
    """No call on one blocks the loop, no short answer waits, and who vanishes is noticed."""
    clients: dict[int, tuple[socket.socket, Any]] = {}
    with socket.create_server((LOOPBACK, 0)) as listener, select.epoll() as epoll:
        listener.setblocking(False)
        server.set_options(listener)
        with (
            socket.create_connection(listener.getsockname()),
            socket.create_connection(listener.getsockname()),
        ):
            server.accept(epoll, clients, listener, b"k" * 32)
            assert len(clients) == 2
            for accepted, _ in clients.values():
                with accepted:
                    assert not accepted.getblocking()
                    assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                    unsent = accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)
                    assert unsent == server.UNSENT
                    assert noticed_after(accepted) == (60, 60)


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


@each
def test_whoever_holds_the_most_makes_room(server: Any) -> None:
    """One after the other, until what is held for all is no more than it may be."""
    mib = 1024 * 1024
    held = {1: mib, 2: server.MOST_HELD, 3: 2 * mib, 4: server.MOST_HELD - 2 * mib}
    clients: dict[int, tuple[socket.socket, Any]] = {
        number: (socket.socket(), SimpleNamespace(held=size, peer="peer", ended=None))
        for number, size in held.items()
    }
    streams = {number: stream for number, (stream, _) in clients.items()}
    assert server.make_room(clients) == 3 * mib
    assert list(clients) == [1, 3]
    assert streams[2].fileno() == streams[4].fileno() == -1
    assert server.make_room(clients) == 3 * mib
    for stream in streams.values():
        stream.close()


@each
def test_a_turn_is_bounded(server: Any) -> None:
    """What one peer has sent at once is answered in parts; others are looked at in between."""
    ours, theirs = socket.socketpair()
    with ours, theirs, select.epoll() as epoll:
        ours.setblocking(False)
        session = Session("peer", b"k" * 32, bytes.upper)
        session.unsent = b""
        session._authenticated = True
        session._incoming.limit = 100
        clients = {ours.fileno(): (ours, session)}
        epoll.register(ours, select.EPOLLIN)
        theirs.sendall(encode(b"x") * 3 * TURN + encode(b"y")[:-1])
        for turn in range(1, 4):
            ((descriptor, events),) = epoll.poll(1)
            server.converse(epoll, clients, descriptor, events)
            assert theirs.recv(64 * 1024) == encode(b"X") * TURN, turn
        theirs.sendall(b"y")
        while ready := epoll.poll(0):
            server.converse(epoll, clients, *ready[0])
        assert theirs.recv(100) == encode(b"Y")


@each
def test_a_silent_peer_is_not_reported_again(server: Any) -> None:
    """It has our challenge, and there is nothing more to send: that it could be is no event."""
    clients: dict[int, tuple[socket.socket, Any]] = {}
    with socket.create_server((LOOPBACK, 0)) as listener, select.epoll() as epoll:
        with socket.create_connection(listener.getsockname()) as client:
            listener.setblocking(False)
            server.accept(epoll, clients, listener, b"k" * 32)
            ((descriptor, events),) = epoll.poll(1)
            server.converse(epoll, clients, descriptor, events)
            assert b"#CHALLENGE#" in client.recv(100)
            assert not epoll.poll(0)
            client.send(b"\0")
            assert epoll.poll(1) == [(descriptor, select.EPOLLIN)]
        clients[descriptor][0].close()


@each
def test_a_client_on_the_unix_socket_may_have_a_name(server: Any, tmp_path: Path) -> None:
    """Most have none, and those of TCP have two parts."""
    clients: dict[int, tuple[socket.socket, Any]] = {}
    with (
        socket.socket(socket.AF_UNIX) as listener,
        select.epoll() as epoll,
        socket.socket(socket.AF_UNIX) as client,
    ):
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        listener.setblocking(False)
        client.bind(str(tmp_path / "name"))
        client.connect(str(tmp_path / "socket"))
        server.accept(epoll, clients, listener, b"k" * 32)
        ((accepted, session),) = clients.values()
        accepted.close()
        assert session.peer == "the UNIX socket"


@each
def test_without_a_free_descriptor_it_stops_listening_for_a_moment(server: Any) -> None:
    """Whoever waits in the queue would be reported at once, over and over."""

    def full() -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    clients: dict[int, tuple[socket.socket, Any]] = {}
    with socket.create_server((LOOPBACK, 0)) as listener, select.epoll() as epoll:
        epoll.register(listener, select.EPOLLIN)
        with socket.create_connection(listener.getsockname()):
            assert epoll.poll(1)
            at_a_loss: Any = SimpleNamespace(accept=full, fileno=listener.fileno)
            server.accept(epoll, clients, at_a_loss, b"k" * 32)
            assert not epoll.poll(0)
    assert not clients


def test_an_answer_that_cannot_be_sent_ends_nothing() -> None:
    """A request may bear a forged source, such as the broadcast address: sendto says EACCES."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as real:
        forged = (b"", ("255.255.255.255", 9))
        server: Any = SimpleNamespace(recvfrom=lambda _: forged, sendto=real.sendto)
        raw_loop.answer(server)


def test_a_connection_of_tcp_echo_inherits_its_options() -> None:
    """No short answer waits for an acknowledgement, and who vanishes is noticed in a minute."""
    clients: dict[int, socket.socket] = {}
    with listeners.tcp_listener((LOOPBACK, 0)) as listener, select.epoll() as epoll:
        listener.setblocking(False)
        with socket.create_connection(listener.getsockname()), pytest.raises(BlockingIOError):
            tcp_echo.accept(listener, epoll, clients)
        (accepted,) = clients.values()
        with accepted:
            assert not accepted.getblocking()
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert noticed_after(accepted) == (60, 60)


class Listener(socket.socket):
    """A listening socket whose accept fails while there is an `error`."""

    error: int | None = None
    failures = 0
    accepted: ExitStack

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection, or fail, and count that."""
        if self.error is None:
            client, peer = super().accept()
            return self.accepted.enter_context(client), peer
        self.failures += 1
        raise OSError(self.error, os.strerror(self.error))


class Stop(Exception):
    """Ends a server that runs in a thread."""


def stop_or_echo(data: bytes) -> bytes:
    """Transform what a server receives: into nothing else, or into its end."""
    if data == b"stop":
        raise Stop
    return data


@pytest.mark.parametrize(
    "error", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM], ids=errno.errorcode.get
)
def test_without_capacity_tcp_echo_pauses_accepting_and_serves_the_others(
    error: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A connection that waits in the queue is reported at once, over and over, unless it pauses."""
    monkeypatch.setattr(listeners, "RETRY_SECONDS", 0.2)
    monkeypatch.setattr(tcp_echo, "transform_from_settings", lambda: stop_or_echo)
    listener = Listener(fileno=listeners.tcp_listener((LOOPBACK, 0)).detach())
    monkeypatch.setattr(tcp_echo, "tcp_listener", lambda _: listener)
    address = listener.getsockname()
    with ThreadPoolExecutor(1) as thread, ExitStack() as listener.accepted:
        serving = thread.submit(tcp_echo.serve, address)
        with socket.create_connection(address, 5) as served:
            assert echoed(served, b"Hello")
            try:
                listener.error = error
                with socket.create_connection(address, 5) as waiting:
                    until(lambda: listener.failures, "accept fails")
                    began = time.monotonic()
                    for _ in range(100):
                        assert echoed(served, b"still here")
                    assert listener.failures <= 2 + (time.monotonic() - began) / 0.2
                    assert caplog.text.count(os.strerror(error)) <= listener.failures
                    listener.error = None
                    assert echoed(waiting, b"Hello")
            finally:
                served.sendall(b"stop")
                assert isinstance(serving.exception(5), Stop)


def echoed(client: socket.socket, data: bytes) -> bool:
    """Send `data`, and return whether it comes back."""
    client.sendall(data)
    return receive(client, len(data)) == data


def test_tcp_echo_goes_on_accepting_after_other_errors() -> None:
    """accept(2) also reports what happened to a single connection that was in the queue."""
    with listeners.tcp_listener((LOOPBACK, 0)) as listener, select.epoll() as epoll:
        epoll.register(listener, select.EPOLLIN)
        backoff = listeners.AcceptBackoff(epoll, listener)
        with socket.create_connection(listener.getsockname()):
            backoff.failed(OSError(errno.ECONNABORTED, os.strerror(errno.ECONNABORTED)))
            assert backoff.timeout is None
            assert epoll.poll(1) == [(listener.fileno(), select.EPOLLIN)]
