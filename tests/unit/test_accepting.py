"""How the event-driven servers take a connection, without a process around them."""

import errno
import os
import select
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import pytest

from services import listeners
from services.tcp_echo import evented as tcp_echo
from services.udp_time import raw_loop
from tests.support.pace import until
from tests.support.sockets import LOOPBACK, receive


def test_a_reply_that_cannot_be_sent_ends_nothing() -> None:
    """A request may bear a forged source, such as the broadcast address: sendto says EACCES."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as real:
        forged = (b"", ("255.255.255.255", 9))
        server: Any = SimpleNamespace(recvfrom=lambda _: forged, sendto=real.sendto)
        raw_loop.serve_request(server)


def test_accepted_connections_of_tcp_echo_hold_up_nothing() -> None:
    """All that wait are taken, and no call on one of them blocks the loop."""
    clients: dict[int, socket.socket] = {}
    with listeners.tcp_listener((LOOPBACK, 0)) as listener, select.epoll() as epoll:
        listener.setblocking(False)
        with socket.create_connection(listener.getsockname()), pytest.raises(BlockingIOError):
            tcp_echo.accept(listener, epoll, clients)
        (accepted,) = clients.values()
        with accepted:
            assert not accepted.getblocking()


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
