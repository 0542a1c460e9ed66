"""How the event-driven servers take a connection, without a process around them."""

import errno
import os
import selectors
import socket
import time
from types import SimpleNamespace
from typing import Any

import pytest

from services.object_echo import evented as object_echo
from services.rpc import evented as rpc
from services.tcp_echo import evented as tcp_echo
from services.udp_time import raw_loop
from tests.helpers import LOOPBACK


def accept(server: Any, selector: selectors.BaseSelector, listener: Any) -> None:
    """Call the server's accept, which has its arguments in three forms."""
    if server is tcp_echo:
        server.accept(selector, listener)
    elif server is rpc:
        server.accept(selector, listener, b"k" * 32)
    else:
        server.accept(selector, SimpleNamespace(fileobj=listener), b"k" * 32)


each = pytest.mark.parametrize("server", [tcp_echo, rpc, object_echo], ids=lambda m: m.__name__)


@each
def test_an_accepted_connection_holds_up_nothing(server: Any) -> None:
    """No call on it blocks the loop, and no short answer waits for an acknowledgement."""
    with (
        socket.create_server((LOOPBACK, 0)) as listener,
        selectors.DefaultSelector() as selector,
        socket.create_connection(listener.getsockname()),
    ):
        accept(server, selector, listener)
        (key,) = selector.get_map().values()
        accepted: Any = key.fileobj
        with accepted:
            assert not accepted.getblocking()
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@each
def test_an_accept_that_fails_ends_nothing(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a free descriptor the server waits a moment and goes on."""
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)

    def full() -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with selectors.DefaultSelector() as selector:
        accept(server, selector, SimpleNamespace(accept=full, family=socket.AF_INET))
        assert not selector.get_map()
    assert waited


def test_an_answer_that_cannot_be_sent_ends_nothing() -> None:
    """A request may bear a forged source, such as the broadcast address: sendto says EACCES."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as real:
        forged = (b"", ("255.255.255.255", 9))
        server: Any = SimpleNamespace(recvfrom=lambda _: forged, sendto=real.sendto)
        raw_loop.answer(server)


def test_the_fin_is_answered_after_the_last_bytes() -> None:
    """What is kept for a client goes first, although its FIN is there already."""
    ours, theirs = socket.socketpair()
    with theirs, selectors.DefaultSelector() as selector:
        ours.setblocking(False)
        theirs.settimeout(5)
        theirs.shutdown(socket.SHUT_WR)
        tcp_echo.echo(selector, selector.register(ours, selectors.EVENT_WRITE, b"the last"))
        assert theirs.recv(100) == b"the last"
        tcp_echo.echo(selector, selector.get_key(ours))
        assert theirs.recv(100) == b""
        assert not selector.get_map()
