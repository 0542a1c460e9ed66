"""What the UDP time server promises, whatever its concurrency model."""

import select
import socket
import time
from socket import AF_INET, SOCK_DGRAM
from typing import Any

import pytest

from clients import udp_time
from clients.addresses import Address
from clients.checks import Check
from services.udp_time import single, threaded
from tests.support.drivers import DRIVERS, Driver, named
from tests.support.pace import FAR, until, within
from tests.support.processes import Server
from tests.support.sockets import LOOPBACK

CTIME = 24  # characters


@pytest.fixture(scope="module", params=DRIVERS["udp-time"], ids=str)
def driver(request: pytest.FixtureRequest) -> Driver:
    """Name each driver, one after the other."""
    found: Driver = request.param
    return found


def ask(address: Address, request: bytes) -> bytes:
    """Send one datagram and return the one that comes back."""
    with socket.socket(AF_INET, SOCK_DGRAM) as client:
        client.settimeout(FAR)
        client.connect(address)
        client.send(request)
        return client.recv(8192)


def is_now(text: bytes) -> bool:
    """Whether `text` is a ctime of the last two seconds, at the pace of this machine."""
    moment = time.mktime(time.strptime(text.decode("ascii"), "%a %b %d %H:%M:%S %Y"))
    age = time.time() - moment
    return len(text) == CTIME and age >= 0 and within(age, 2)


def test_the_transcript_of_the_recipe_comes_out_as_printed(address: Address) -> None:
    """An empty datagram out, the time and the server's address back."""
    with socket.socket(AF_INET, SOCK_DGRAM) as s:
        s.settimeout(FAR)
        assert s.sendto(b"", ("localhost", address.port)) == 0
        answer, peer = s.recvfrom(8192)
    assert is_now(answer)
    assert peer == ("127.0.0.1", address.port)


@pytest.mark.parametrize("check", udp_time.CHECKS, ids=[check.what for check in udp_time.CHECKS])
def test_what_the_client_checks_holds(address: Address, check: Check) -> None:
    """Every check of the client passes."""
    check.run(address)


def test_the_health_check_passes(address: Address) -> None:
    """The exchange that container health checks make succeeds."""
    udp_time.health(address, FAR)


@pytest.mark.parametrize(
    "name",
    [b"x", b" ", b"~", b"request 42", b"  spaces  ", b"x" * 64, bytes(range(0x20, 0x60))],
)
def test_an_id_comes_back_before_the_time(address: Address, name: bytes) -> None:
    """It is 1 to 64 printable ASCII characters, spaces included, unchanged."""
    answer = ask(address, name)
    assert answer[:-CTIME] == name + b" "
    assert is_now(answer[-CTIME:])
    assert len(answer) == len(name) + 1 + CTIME


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"x" * 65, id="65 characters"),
        pytest.param(b"x" * 8000, id="8000 characters"),
        pytest.param(b"x" * 20_000, id="more than it receives"),
        pytest.param(b"id\n", id="a line break at the end"),
        pytest.param(b"\n", id="a line break"),
        pytest.param(b"\x1f", id="just below a space"),
        pytest.param(b"\x7f", id="just above a tilde"),
        pytest.param(b"a\0b", id="NUL"),
        pytest.param("ä".encode(), id="UTF-8"),
        pytest.param(b"\xff" * 64, id="bytes"),
    ],
)
def test_what_is_no_id_gets_the_time_alone(address: Address, request_: bytes) -> None:
    """Nothing of it comes back, so the server is of little use to amplify anything."""
    assert is_now(ask(address, request_))


def test_many_clients_are_answered_each_with_its_own(address: Address) -> None:
    """All have asked before the first one listens."""
    clients = [socket.socket(AF_INET, SOCK_DGRAM) for _ in range(50)]
    try:
        for number, client in enumerate(clients):
            client.settimeout(FAR)
            client.sendto(b"client %d" % number, address)
        for number, client in reversed(list(enumerate(clients))):
            assert client.recv(8192)[: -CTIME - 1] == b"client %d" % number
    finally:
        for client in clients:
            client.close()


def test_a_client_that_is_gone_disturbs_nobody(address: Address) -> None:
    """Its answer meets a closed port, and the kernel says so to the server."""
    for _ in range(20):
        with socket.socket(AF_INET, SOCK_DGRAM) as client:
            client.sendto(b"gone", address)
    assert ask(address, b"here")[: -CTIME - 1] == b"here"


@pytest.mark.parametrize("request_", [b"", b"name"], ids=["time alone", "with an ID"])
def test_one_of_its_own_answers_is_not_answered(address: Address, request_: bytes) -> None:
    """Forged to come from another time server, it would have the two talk for ever."""
    answer = ask(address, request_)
    with socket.socket(AF_INET, SOCK_DGRAM) as client:
        client.sendto(answer, address)
        assert not select.select([client], [], [], 0.3)[0]
        client.sendto(b"next", address)
        client.settimeout(FAR)
        assert client.recv(8192)[: -CTIME - 1] == b"next"


@pytest.mark.parametrize("driver", named("udp-time", "threaded", "forked"), ids=str, indirect=True)
def test_what_answered_a_datagram_is_gone_after_it(server: Server) -> None:
    """Neither its thread nor its process stays, not even as a zombie."""
    for _ in range(20):
        ask(server.address, b"x")
    process = server.worker
    idle = 2  # threads: the main one, and the one that waits for signals
    until(lambda: process.num_threads() == idle and not process.children(), "nothing is left")


@pytest.mark.parametrize("module", [single, threaded], ids=["single", "threaded"])
def test_an_answer_that_cannot_be_sent_is_a_line_in_the_log(
    module: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A request may bear a forged source, such as the broadcast address: sendto says EACCES."""
    with module.Server((LOOPBACK, 0), module.Time) as server:
        forged = (b"", server.socket), ("255.255.255.255", 9)
        monkeypatch.setattr(server, "get_request", lambda: forged)
        server.socket.sendto(b"", server.server_address)  # so that there is one to receive
        server.handle_request()
        until(lambda: "no reply to 255.255.255.255:9: PermissionError" in caplog.text, "the line")
