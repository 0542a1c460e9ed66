"""The console and the relay's control, whose clients keep a connection only while they use it."""

import select
import socket
from collections.abc import Iterator

import pytest

from clients.addresses import Address
from tests.support import console, relay
from tests.support.pace import until
from tests.support.processes import SILENCE_TIMEOUT, refuses_to_start, running
from tests.support.sockets import connect

SERVERS = {"console": (console.COMMAND, "/events"), "relay": (relay.COMMAND, "/journal?follow=1")}
HEAD = b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n"
BODY = b"POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[tuple[Address, str]]:
    """Run one of them, and return where it is and the path of its stream."""
    command, stream = SERVERS[request.param]
    with running(command, **relay.ANY_PORTS, **{SILENCE_TIMEOUT: "1"}) as found:
        yield found.address, stream


@pytest.mark.parametrize(
    ("first", "then"),
    [
        pytest.param(b"", b"", id="nothing"),
        pytest.param(b"", b"\r\n", id="empty lines"),
        pytest.param(HEAD, b"", id="half a head"),
        pytest.param(HEAD + b"X: ", b"x", id="a head byte by byte"),
        pytest.param(BODY, b"x", id="a body byte by byte"),
        pytest.param(HEAD + b"\r\n" + HEAD + b"X: ", b"x", id="a second head byte by byte"),
    ],
)
def test_a_request_that_does_not_come_is_not_waited_for(
    server: tuple[Address, str], first: bytes, then: bytes
) -> None:
    """However little it is that comes, and however often."""
    with connect(server[0]) as client:
        client.sendall(first)
        until(lambda: is_closed(client, then), "the connection is closed", every=0.1)


def test_an_answer_may_take_longer_than_a_request(server: tuple[Address, str]) -> None:
    """The time ends with the request, and a stream goes on."""
    address, stream = server
    with connect(address) as reader:
        reader.sendall(f"GET {stream} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert reader.recv(1024).startswith(b"HTTP/1.1 200 OK\r\n")
        with connect(address) as silent:
            until(lambda: is_closed(silent), "one that came after the stream is closed")
        assert not is_closed(reader)


def test_a_request_may_come_in_parts(server: tuple[Address, str]) -> None:
    """As long as it is there in time."""
    with connect(server[0]) as client:
        for part in (HEAD[:20], HEAD[20:], b"\r\n"):
            client.sendall(part)
        assert client.recv(1024).startswith(b"HTTP/1.1 404 Not Found\r\n")


@pytest.mark.parametrize("command", [each for each, _ in SERVERS.values()], ids=SERVERS)
def test_the_time_is_a_setting(command: tuple[str, ...]) -> None:
    """Which has to be one."""
    line = refuses_to_start(command, **relay.ANY_PORTS, **{SILENCE_TIMEOUT: "0"})
    assert line.startswith(f"{SILENCE_TIMEOUT} has value '0'. Not a whole number from 1 up")


def is_closed(client: socket.socket, sent: bytes = b"") -> bool:
    """Send something more, and return whether the server has closed; read what there is."""
    try:
        client.sendall(sent)
        while select.select([client], [], [], 0)[0]:
            if not client.recv(64 * 1024):
                return True
    except ConnectionError:
        return True
    return False
