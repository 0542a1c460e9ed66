"""How the event-driven driver of object connections takes its steps."""

import errno
import os
import select
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Client
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from services import listeners
from services.connection import evented
from services.connection.frames import HEADER, MAX_AT_ONCE, encode
from services.connection.protocol import SMALL, Limits
from services.connection.sessions import Sessions
from tests.support.connections import KEY, answering, authenticate
from tests.support.sockets import LOOPBACK, reset


@pytest.fixture
def sessions() -> Sessions[socket.socket]:
    """Return the sessions of a server without connections."""
    return Sessions(answering(), KEY, Limits())


@pytest.fixture
def epoll() -> Iterator[select.epoll]:
    """Lend an epoll."""
    with select.epoll() as epoll:
        yield epoll


@pytest.fixture
def listener(epoll: select.epoll) -> Iterator[socket.socket]:
    """Lend a listener that the epoll watches."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        listener.setblocking(False)
        epoll.register(listener, select.EPOLLIN)
        yield listener


def opened(sessions: Sessions[socket.socket]) -> dict[int, socket.socket]:
    """Return the sockets of all connections."""
    return {number: sessions[number][0] for number in range(1000) if number in sessions}


def test_accepted_connections_hold_up_nothing(
    epoll: select.epoll, listener: socket.socket, sessions: Sessions[socket.socket]
) -> None:
    """All that wait are taken, and no call on one of them blocks the loop."""
    where = listener.getsockname()
    with socket.create_connection(where), socket.create_connection(where):
        evented.accept(epoll, listener, sessions)
    assert len(opened(sessions)) == 2
    for accepted in opened(sessions).values():
        with accepted:
            assert not accepted.getblocking()


def test_an_iteration_is_bounded(epoll: select.epoll, sessions: Sessions[socket.socket]) -> None:
    """What a client has sent at once is answered in parts; others are served in between."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        authenticate(sessions.open(ours.fileno(), ours, "peer"))
        epoll.register(ours, select.EPOLLIN)
        theirs.sendall(encode(b"x") * 3 * MAX_AT_ONCE + encode(b"y")[:-1])
        for iteration in range(1, 4):
            ((_, events),) = epoll.poll(1)
            evented.converse(epoll, sessions, ours.fileno(), events)
            assert theirs.recv(64 * 1024) == encode(b"X") * MAX_AT_ONCE, iteration
        theirs.sendall(b"y")
        while ready := epoll.poll(0):
            evented.converse(epoll, sessions, *ready[0])
        assert theirs.recv(100) == encode(b"Y")


@pytest.mark.parametrize("gone", [False, True])
def test_who_waits_for_room_is_not_reported(
    epoll: select.epoll, listener: socket.socket, sessions: Sessions[socket.socket], gone: bool
) -> None:
    """Though there is more to receive; until there is room, or the client is gone."""
    largest = Limits().max_message
    header = HEADER.pack(largest)
    first = authenticate(sessions.open(-1, listener, "peer"))
    first.receive_data(header)
    sessions.update(-1)
    with socket.create_connection(listener.getsockname()) as client:
        evented.accept(epoll, listener, sessions)
        ((descriptor, accepted),) = opened(sessions).items()
        authenticate(sessions[descriptor][1])
        epoll.modify(accepted, select.EPOLLIN)
        client.sendall(header + bytes(3 * SMALL))
        evented.converse(epoll, sessions, *epoll.poll(1)[0])
        assert sessions[descriptor][1].buffered == SMALL
        assert not epoll.poll(0.1)
        if gone:
            reset(client)
            evented.converse(epoll, sessions, *epoll.poll(1)[0])
            assert sessions[descriptor][1].closed
        else:
            first.close("gone")
            sessions.update(-1)
            ((descriptor, events),) = epoll.poll(1)
            evented.converse(epoll, sessions, descriptor, events)
            assert sessions[descriptor][1].moved > 3 * SMALL
            assert events == select.EPOLLIN
    accepted.close()


def test_a_silent_client_is_not_reported_again(
    epoll: select.epoll, listener: socket.socket, sessions: Sessions[socket.socket]
) -> None:
    """It has our challenge, and there is nothing more to send: that it could be is no event."""
    with socket.create_connection(listener.getsockname()) as client:
        evented.accept(epoll, listener, sessions)
        ((descriptor, events),) = (each for each in epoll.poll(1) if each[0] in sessions)
        evented.converse(epoll, sessions, descriptor, events)
        assert b"#CHALLENGE#" in client.recv(100)
        assert not epoll.poll(0)
        client.send(b"\0")
        assert epoll.poll(1) == [(descriptor, select.EPOLLIN)]
    sessions[descriptor][0].close()


def test_a_client_on_the_unix_socket_may_have_a_name(
    epoll: select.epoll, sessions: Sessions[socket.socket], tmp_path: Path
) -> None:
    """Most have none, and those of TCP have two parts."""
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        listener.setblocking(False)
        client.bind(str(tmp_path / "name"))
        client.connect(str(tmp_path / "socket"))
        evented.accept(epoll, listener, sessions)
        ((descriptor, accepted),) = opened(sessions).items()
        accepted.close()
        assert sessions[descriptor][1].peer == str(tmp_path / "name")


@pytest.mark.parametrize("number", listeners.NO_CAPACITY, ids=errno.errorcode.__getitem__)
def test_without_capacity_it_stops_accepting_for_a_moment(
    epoll: select.epoll, listener: socket.socket, sessions: Sessions[socket.socket], number: int
) -> None:
    """The connection that waits in the queue would be reported at once, over and over."""

    def accept() -> None:
        raise OSError(number, os.strerror(number))

    with socket.create_connection(listener.getsockname()):
        assert epoll.poll(1)
        failing: Any = SimpleNamespace(accept=accept, fileno=listener.fileno)
        evented.accept(epoll, failing, sessions)
        assert not epoll.poll(0)
    assert not opened(sessions)


def test_another_error_of_accept_is_for_the_next_iteration(
    epoll: select.epoll, listener: socket.socket, sessions: Sessions[socket.socket]
) -> None:
    """Such as a client that has left the queue (ECONNABORTED); those behind it are still there."""

    def accept() -> None:
        raise ConnectionAbortedError(errno.ECONNABORTED, os.strerror(errno.ECONNABORTED))

    with socket.create_connection(listener.getsockname()):
        failing: Any = SimpleNamespace(accept=accept, fileno=listener.fileno)
        evented.accept(epoll, failing, sessions)
        assert epoll.poll(1)


class Stop(BaseException):
    """Ends a server that runs in a thread."""


def test_a_slow_answer_does_not_use_up_the_time_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a client sent while the server was busy is read before its deadline is checked."""
    seconds = 0.5

    def answer(message: bytes) -> bytes:
        if message == b"stop":
            raise Stop
        time.sleep(2 * seconds)
        return message

    sessions: Sessions[socket.socket] = Sessions(
        answering(answer), KEY, Limits(handshake_timeout=seconds)
    )
    monkeypatch.setattr(Sessions, "from_settings", lambda _: sessions)
    (listener,) = listeners.tcp_and_unix((LOOPBACK, 0))
    where = listener.getsockname()
    monkeypatch.setattr(listeners, "tcp_and_unix_group", lambda *_: [[listener]])
    with ThreadPoolExecutor(2) as threads, listener:
        serving = threads.submit(evented.serve, where, answering(answer))
        with Client(where, authkey=KEY) as slow, socket.create_connection(where, 5) as raw:
            assert b"#CHALLENGE#" in raw.recv(100)
            slow.send_bytes(b"slow")
            time.sleep(0.1)  # the server is in `answer` now
            authenticating = threads.submit(answer_challenge, raw)
            assert slow.recv_bytes() == b"slow"
            assert b"#FAILURE#" in authenticating.result(5)
            slow.send_bytes(b"stop")
            assert isinstance(serving.exception(5), Stop)
        for left in opened(sessions).values():
            left.close()


def answer_challenge(raw: socket.socket) -> bytes:
    """Answer with an HMAC-MD5 that is wrong but well-formed; return what the server says."""
    raw.sendall(encode(bytes(16)))
    return raw.recv(100)
