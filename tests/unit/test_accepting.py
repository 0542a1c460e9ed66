"""How the event-driven servers accept connections, without a process around them."""

import asyncio
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
from services.tcp_echo import accept_backoff, callbacks, coroutines
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
    """All pending connections are accepted, and no call on one of them blocks the loop."""
    clients: dict[int, socket.socket] = {}
    with (
        listeners.tcp_listener((LOOPBACK, 0)) as listener,
        select.epoll() as epoll,
        ExitStack() as stack,
    ):
        listener.setblocking(False)
        for _ in range(3):
            stack.enter_context(socket.create_connection(listener.getsockname()))
        with pytest.raises(BlockingIOError):
            tcp_echo.accept(listener, epoll, clients)
        assert len(clients) == 3
        for client in clients.values():
            assert not stack.enter_context(client).getblocking()


def test_open_connections_of_tcp_echo_are_served_within_a_burst_of_connects() -> None:
    """At most 64 connections are accepted in one iteration; the others stay in the queue."""
    clients: dict[int, socket.socket] = {}
    with (
        listeners.tcp_listener((LOOPBACK, 0)) as listener,
        select.epoll() as epoll,
        ExitStack() as stack,
    ):
        listener.setblocking(False)
        for _ in range(65):
            stack.enter_context(socket.create_connection(listener.getsockname()))
        tcp_echo.accept(listener, epoll, clients)
        for client in clients.values():
            stack.enter_context(client)
        assert len(clients) == listeners.MAX_ACCEPTS == 64


@pytest.mark.parametrize("driver", [callbacks, coroutines], ids=lambda driver: driver.__name__)
def test_a_burst_of_connects_takes_asyncio_few_iterations(
    driver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one accept in each, the last client would wait for what all the others send."""
    listener = listeners.tcp_listener((LOOPBACK, 0))
    monkeypatch.setattr(listeners, "tcp_listener", lambda *_, **__: listener)

    async def iterations() -> int:
        serving = asyncio.create_task(driver.accept(listener.getsockname()))
        count = 0
        while len(select.select(clients, [], [], 0)[0]) < len(clients):  # until all are closed
            await asyncio.sleep(0)
            count += 1
        serving.cancel()
        return count

    with ExitStack() as stack:
        address = listener.getsockname()
        clients = [stack.enter_context(socket.create_connection(address)) for _ in range(64)]
        for client in clients:
            client.shutdown(socket.SHUT_WR)
        assert asyncio.run(iterations()) < 32


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
    """Otherwise epoll would report the queued connection again at once, over and over."""
    monkeypatch.setattr(accept_backoff, "RETRY_SECONDS", 0.2)
    monkeypatch.setattr(tcp_echo, "transform_from_settings", lambda: stop_or_echo)
    listener = Listener(fileno=listeners.tcp_listener((LOOPBACK, 0)).detach())
    monkeypatch.setattr(listeners, "tcp_listener", lambda *_, **__: listener)
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


@pytest.mark.parametrize("error", [errno.ECONNABORTED, errno.EPROTO], ids=errno.errorcode.get)
def test_tcp_echo_goes_on_accepting_after_other_errors(error: int) -> None:
    """accept(2) also reports what happened to a single connection that was in the queue."""
    listener = Listener(fileno=listeners.tcp_listener((LOOPBACK, 0)).detach())
    with listener, select.epoll() as epoll:
        backoff = accept_backoff.AcceptBackoff(listener, epoll)
        with socket.create_connection(listener.getsockname()):
            listener.error = error
            with backoff:
                tcp_echo.accept(listener, epoll, {})
            assert listener.failures == 1
            assert backoff.timeout() is None
            assert epoll.poll(1) == [(listener.fileno(), select.EPOLLIN)]


def test_errors_of_the_program_itself_are_not_caught_while_accepting() -> None:
    """Only what accept(2) reports is."""
    with (
        listeners.tcp_listener((LOOPBACK, 0)) as listener,
        select.epoll() as epoll,
        pytest.raises(Stop),
        accept_backoff.AcceptBackoff(listener, epoll),
    ):
        raise Stop
