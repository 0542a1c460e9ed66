"""What the UDP time server promises, whatever its concurrency model."""

import select
import socket
import time
from collections.abc import Iterator
from socket import AF_INET, SOCK_DGRAM
from typing import Any

import psutil
import pytest

from clients import udp_time
from clients.addresses import Address
from clients.checks import Check
from services.udp_time import single, threaded
from tests.helpers import LOOPBACK, refuses_to_start, until
from tests.processes import Server, running

VARIANTS = ["raw_loop", "single", "threaded", "forked", "evented"]
CTIME = 24  # characters


def command(variant: str) -> list[str]:
    """Return how a variant is started."""
    return ["python", "-m", f"services.udp_time.{variant}"]


@pytest.fixture(scope="module", params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> str:
    """Name each variant in turn."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def server(variant: str) -> Iterator[Server]:
    """Run the variant; whatever comes to it, its log has no traceback."""
    with running(command(variant)) as server:
        yield server
        assert "Traceback" not in "".join(server.log)


@pytest.fixture
def address(server: Server) -> Address:
    """Return where the server is."""
    return server.address


def ask(address: Address, request: bytes) -> bytes:
    """Send one datagram and return the one that comes back."""
    with socket.socket(AF_INET, SOCK_DGRAM) as client:
        client.settimeout(5)
        client.connect(address)
        client.send(request)
        return client.recv(8192)


def is_now(text: bytes) -> bool:
    """Whether `text` is a ctime of the last two seconds."""
    moment = time.mktime(time.strptime(text.decode("ascii"), "%a %b %d %H:%M:%S %Y"))
    return len(text) == CTIME and -1 <= time.time() - moment - 0.5 <= 2


def test_the_transcript_of_the_recipe_comes_out_as_printed(address: Address) -> None:
    """An empty datagram out, the time and the server's address back."""
    with socket.socket(AF_INET, SOCK_DGRAM) as s:
        s.settimeout(5)
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
    udp_time.health(address, 5)


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
            client.settimeout(5)
            client.sendto(b"client %d" % number, address)
        for number, client in reversed(list(enumerate(clients))):
            assert client.recv(8192)[: -CTIME - 1] == b"client %d" % number
    finally:
        for client in clients:
            client.close()


def test_a_client_that_is_gone_is_no_trouble_for_others(address: Address) -> None:
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
        client.settimeout(5)
        assert client.recv(8192)[: -CTIME - 1] == b"next"


@pytest.mark.parametrize("variant", ["threaded", "forked"], indirect=True)
def test_what_answered_a_datagram_is_gone_after_it(server: Server) -> None:
    """Neither its thread nor its process stays, not even as a zombie."""
    for _ in range(20):
        ask(server.address, b"x")
    process = psutil.Process(server.process.pid)
    idle = 2  # threads: the main one, and the one that waits for signals
    until(lambda: process.num_threads() == idle and not process.children())


@pytest.mark.parametrize("module", [single, threaded], ids=["single", "threaded"])
def test_an_answer_that_cannot_be_sent_is_a_line_in_the_log(
    module: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A request may bear a forged source, such as the broadcast address: sendto says EACCES."""
    with module.Server((LOOPBACK, 0), module.Answer) as server:
        forged = (b"", server.socket), ("255.255.255.255", 9)
        monkeypatch.setattr(server, "get_request", lambda: forged)
        server.socket.sendto(b"", server.server_address)  # so that there is one to receive
        server.handle_request()
        until(lambda: "no answer to 255.255.255.255:9: PermissionError" in caplog.text)


def test_a_port_in_use_is_one_line(variant: str) -> None:
    """It names the address; who holds it would have shared it with another who would."""
    with socket.socket(AF_INET, SOCK_DGRAM) as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((LOOPBACK, 0))
        port = str(holder.getsockname()[1])
        line = refuses_to_start(command(variant), WIRELAB_PORT=port)
    assert line.startswith(f"cannot listen on {LOOPBACK}:{port}: Address already in use")


def test_a_bad_port_is_one_line(variant: str) -> None:
    """It names the variable and the value."""
    line = refuses_to_start(command(variant), WIRELAB_PORT="time")
    assert line == "WIRELAB_PORT has value 'time'. Not a port number (0 to 65535)"
