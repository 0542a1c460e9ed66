"""Peers and baselines answer as our servers do, so that their speed can be compared."""

import os
import re
import select
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote
from urllib.request import urlopen

import pytest

from bench import workloads
from bench.workloads import Target, Workload
from clients import tcp_echo, udp_time
from clients.addresses import Address
from clients.checks import Check
from services.udp_time.reply import reply_to
from tests.support.pace import until
from tests.support.processes import Server, running
from tests.support.sockets import receive, rest_of

MIB = 1024 * 1024
CTIME = 24  # characters


def others(found: list[Workload]) -> list[Target]:
    """Return the targets of a service that are not our own servers."""
    return [target for target in found[0].targets if target.kind in ("peer", "baseline")]


TCP, UDP, REST = (
    others(workloads.tcp_echo()),
    others(workloads.udp_time()),
    others(workloads.rest()),
)


def name(target: Target) -> str:
    """Return what a target is called in the names of tests."""
    return target.name


@pytest.fixture(scope="module", params=TCP, ids=name)
def echo(request: pytest.FixtureRequest) -> Iterator[Address]:
    """Run each, and return its address."""
    with running(request.param.command) as server:
        yield server.address


@pytest.fixture(scope="module", params=UDP, ids=name)
def clock(request: pytest.FixtureRequest) -> Iterator[Address]:
    """Run each, and return its address."""
    with running(request.param.command) as server:
        yield server.address


@pytest.fixture(scope="module", params=REST, ids=name)
def rest(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Run each."""
    with running(request.param.command) as server:
        yield server


@pytest.fixture(scope="module")
def hello(rest: Server) -> Address:
    """Return the address of each."""
    return rest.address


@pytest.fixture(scope="module")
def ours() -> Iterator[Address]:
    """Run our REST service, and return its address."""
    (default,) = (target for target in workloads.rest()[0].targets if target.kind == "default")
    with running(default.command) as server:
        yield server.address


@pytest.mark.parametrize("check", tcp_echo.CHECKS, ids=[check.what for check in tcp_echo.CHECKS])
def test_an_echo_holds_what_our_client_checks(echo: Address, check: Check) -> None:
    """Every check of the client passes."""
    check.run(echo)


@pytest.mark.parametrize("size", [0, 1, 2 * MIB], ids=lambda size: f"{size} bytes")
def test_an_echo_sends_what_came_before_the_fin_and_closes(echo: Address, size: int) -> None:
    """Nothing is cut off."""
    data = os.urandom(size)
    with socket.create_connection(echo, 10) as connection, ThreadPoolExecutor(1) as thread:

        def send() -> None:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)

        sending = thread.submit(send)
        assert rest_of(connection) == data
        sending.result()


def test_an_echo_reads_no_more_from_a_client_that_does_not_read(echo: Address) -> None:
    """It holds little itself, so all buffers are full at some point; and nothing is lost."""
    chunk = os.urandom(MIB)
    with socket.create_connection(echo, 10) as connection:
        connection.setblocking(False)
        sent = 0
        while sent < 64 * MIB and select.select([], [connection], [], 0.3)[1]:
            sent += connection.send(chunk[sent % MIB :])
        connection.settimeout(10)
        assert sent < 64 * MIB
        received = receive(connection, sent)
    assert received == (chunk * 64)[:sent]


def ask(address: Address, *requests: bytes) -> bytes:
    """Send datagrams and return the first that comes back."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.connect(address)
        for request in requests:
            client.send(request)
        return client.recv(8192)


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"request 42", id="an ID"),
        pytest.param(bytes(range(0x20, 0x60)), id="64 characters"),
        pytest.param(bytes(range(0x60, 0x7F)), id="the other printable characters"),
        pytest.param(b"x" * 65, id="65 characters"),
        pytest.param(b"x" * 8000, id="8000 characters"),
        pytest.param(b"id\n", id="a line feed at the end"),
        pytest.param(b"id\r\n", id="CR LF at the end"),
        pytest.param(b"id\r", id="CR at the end"),
        pytest.param(b"\n", id="a line feed and nothing else"),
        pytest.param(b"\x7f", id="just above a tilde"),
        pytest.param(b"x 12:34:56 7890", id="less than a time"),
        pytest.param(b"Sun Nov 22 12:34-56 2026", id="nearly a time"),
    ],
)
def test_a_clock_answers_as_ours_does(clock: Address, request_: bytes) -> None:
    """The same ID, if it is one, and the time."""
    answer = ask(clock, request_)
    assert answer[:-CTIME] == reply_to(request_)[:-CTIME]
    assert udp_time.is_ctime(answer[-CTIME:])


@pytest.mark.parametrize(
    "request_",
    [
        b"Sun Nov 22 12:34:56 2026",
        b"ID Sun Nov 22 12:34:56 2026",
        b"Sun Nov 22 12:34:56 2026\r\n",
        b"x" * 64 + b" Sun Nov 22 12:34:56 2026\n",
    ],
)
def test_a_clock_does_not_answer_an_answer(clock: Address, request_: bytes) -> None:
    """As ours: what is answered is the next request."""
    assert reply_to(request_) == b""
    assert ask(clock, request_, b"the next")[:-CTIME] == b"the next "


def test_each_request_of_a_page_is_logged(rest: Server) -> None:
    """As ours does, with its target and status: a line of the log costs as much as a framework."""
    for target in ("/hello?name=Ada-1", "/hello/Ada-2"):
        get(rest.address, target)
        line = re.compile(rf'"GET {re.escape(target)}\??( HTTP/1.1)?" 200 ')
        until(lambda: line.search(rest.log), f"a line for {target}")  # noqa: B023 - called here


def get(address: Address, path: str) -> tuple[int, str, bytes]:
    """Return status, content type and body."""
    with urlopen(f"http://{address}{path}", timeout=10) as response:
        return response.status, response.headers["Content-Type"].lower(), response.read()


@pytest.mark.parametrize("who", ["Guido", "<b>", "\"quoted\" & 'so'", "Zoë", "two words", "你好"])
def test_hello_is_answered_as_ours_does(hello: Address, ours: Address, who: str) -> None:
    """The same status, content type and body."""
    for path in (f"/hello?name={quote(who)}", f"/hello/{quote(who)}"):
        assert get(hello, path) == get(ours, path)


@pytest.mark.parametrize("target", [*TCP, *UDP, *REST], ids=name)
def test_a_peer_stops_within_two_seconds(target: Target) -> None:
    """On SIGTERM, with an idle client connected."""
    with running(target.command) as server:
        if target in UDP:
            assert stopped(server)
        else:
            with socket.create_connection(server.address, 10):
                assert stopped(server)


def stopped(server: Server) -> bool:
    """Stop a server; whether it ended in order, or by the signal (128 + 15 for socat)."""
    return server.stop() in (0, -15, 143)
