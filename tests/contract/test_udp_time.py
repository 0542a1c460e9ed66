"""What the UDP time server promises, whatever its concurrency model."""

import select
import socket
import struct
import time
from itertools import product
from socket import AF_INET, AF_INET6, SOCK_DGRAM
from typing import Any

import psutil
import pytest

from clients import udp_time
from clients.addresses import Address
from clients.checks import Check
from services.udp_sockets import WildcardSocket, udp_socket
from services.udp_time import single, threaded
from tests.support.drivers import DRIVERS, Driver, named, serving
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


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"], ids=["LF", "CR LF"])
@pytest.mark.parametrize("name", [b"x", b"x" * 64, b" 12345678 12:00:00 2024"])
def test_a_line_ending_is_not_part_of_an_id(address: Address, name: bytes, ending: bytes) -> None:
    """As in `echo id | nc -u`: the ID is the line."""
    answer = ask(address, name + ending)
    assert answer[:-CTIME] == name + b" "
    assert is_now(answer[-CTIME:])


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"x" * 65, id="65 characters"),
        pytest.param(b"x" * 8000, id="8000 characters"),
        pytest.param(b"x" * 20_000, id="more than it receives"),
        pytest.param(b"id\n\n", id="two line endings"),
        pytest.param(b"id\r", id="half a line ending"),
        pytest.param(b"two\nlines\n", id="two lines"),
        pytest.param(b"\n", id="a line ending"),
        pytest.param(b"x" * 65 + b"\n", id="65 characters and a line ending"),
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


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n"], ids=["", "LF", "CR LF"])
@pytest.mark.parametrize(
    "name", [b"", b"name", b"x" * 64], ids=["time alone", "an ID", "a long one"]
)
def test_one_of_its_own_answers_is_not_answered(
    address: Address, name: bytes, ending: bytes
) -> None:
    """Forged to come from another time server, it would have the two talk for ever.

    With CR LF it is what some daytime servers reply (RFC 867), and those answer everything.
    """
    answer = ask(address, name) + ending
    with socket.socket(AF_INET, SOCK_DGRAM) as client:
        client.sendto(answer, address)
        assert not select.select([client], [], [], 0.3)[0]
        client.sendto(b"next", address)
        client.settimeout(FAR)
        assert client.recv(8192)[: -CTIME - 1] == b"next"


def interfaces_of_this_machine() -> dict[str, list[str]]:
    """Return the addresses of each interface but Docker's, which come and go meanwhile."""
    return {
        name: [each.address for each in some if each.family in (AF_INET, AF_INET6)]
        for name, some in psutil.net_if_addrs().items()
        if not name.startswith(("veth", "br-", "docker"))
    }


def addresses_of_this_machine() -> list[str]:
    """Return addresses that a server on 0.0.0.0 or `::` can be asked at."""
    every = {address for some in interfaces_of_this_machine().values() for address in some}
    found = {address for address in every if "%" not in address}
    return [*sorted(found), "127.0.0.2", "127.1.2.3"]  # of 127.0.0.0/8 every one is (RFC 1122)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_reply_comes_from_the_address_that_was_asked(driver: Driver, host: str) -> None:
    """A connected socket takes no other (RFC 1122, 4.1.3.5), wherever the client is."""
    with serving(driver, WIRELAB_HOST=host) as server:
        for asked in addresses_of_this_machine():
            if ":" in asked and host != "::":
                continue
            family, loopback = (AF_INET6, "::1") if ":" in asked else (AF_INET, LOOPBACK)
            with socket.socket(family, SOCK_DGRAM) as client:
                client.settimeout(FAR)
                client.bind((loopback, 0))
                client.connect((asked, server.address.port))
                client.send(b"name")
                assert client.recv(100)[: -CTIME - 1] == b"name"


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_the_reply_to_a_broadcast_comes_from_an_address(driver: Driver, host: str) -> None:
    """No datagram may have the broadcast address as its source (RFC 1122, 3.2.1.3)."""
    with (
        serving(driver, WIRELAB_HOST=host) as server,
        socket.socket(AF_INET, SOCK_DGRAM) as client,
    ):
        client.settimeout(FAR)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        client.sendto(b"name", ("127.255.255.255", server.address.port))
        answer, peer = client.recvfrom(100)
    assert answer[: -CTIME - 1] == b"name"
    assert peer == (LOOPBACK, server.address.port)


def test_the_reply_to_a_multicast_comes_from_an_address(driver: Driver) -> None:
    """Of the same interface: a multicast address may be no source (RFC 4291, 2.7)."""
    link_local = {
        name: address.partition("%")[0]
        for name, some in interfaces_of_this_machine().items()
        for address in some
        if address.startswith("fe80::") and psutil.net_if_stats()[name].isup
    }
    with serving(driver, WIRELAB_HOST="::") as server:
        for name, own in link_local.items():
            with socket.socket(AF_INET6, SOCK_DGRAM) as client:
                client.settimeout(FAR)
                all_nodes = "ff01::1"  # of the interface: never on the wire (RFC 4291, 2.7.1)
                client.sendto(
                    b"name", (all_nodes, server.address.port, 0, socket.if_nametoindex(name))
                )
                answer, peer = client.recvfrom(100)
            assert answer[: -CTIME - 1] == b"name"
            assert peer[:2] == (own, server.address.port)


def test_a_link_local_address_replies_to_one_that_is_not(driver: Driver) -> None:
    """Which a client on the same link may have for its source (RFC 4291, 2.5.6)."""
    with serving(driver, WIRELAB_HOST="::") as server:
        for some in interfaces_of_this_machine().values():
            link_local = [address for address in some if address.startswith("fe80:")]
            others = [address for address in some if ":" in address and "%" not in address]
            for asked, own in product(link_local, [each for each in others if each != "::1"]):
                with socket.socket(AF_INET6, SOCK_DGRAM) as client:
                    client.settimeout(FAR)
                    client.bind((own, 0))
                    host, _, interface = asked.partition("%")
                    scope = socket.if_nametoindex(interface)
                    client.connect((host, server.address.port, 0, scope))
                    client.send(b"name")
                    assert client.recv(100)[: -CTIME - 1] == b"name", asked


@pytest.mark.parametrize(
    ("asked", "source"),
    [("fe80::1", ("fe80::1", 7)), ("febf::1", ("febf::1", 7)), ("fd00::1", ("fd00::1", 0)),
     ("ff02::1", ("::", 0)), ("fec0::1", ("fec0::1", 0))],
)  # fmt: skip
def test_the_source_of_a_reply_is_of_an_interface_if_it_is_link_local(
    asked: str, source: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All others are of this machine, and the routes say where it goes (RFC 4007, 4)."""

    def packed(address: str, interface: int) -> bytes:  # struct in6_pktinfo
        return socket.inet_pton(AF_INET6, address) + struct.pack("=I", interface)

    with udp_socket(("::", 0)) as server:
        info = socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, packed(asked, 7)
        received = b"name", [info], 0, ("fd00::2", 9, 0, 0)
        monkeypatch.setattr(server, "recvmsg", lambda *_: received, raising=False)
        _, peer = server.recvfrom(100)
    assert peer == ("fd00::2", 9, 0, 0, (*info[:2], packed(*source)))


def test_only_a_socket_on_a_wildcard_address_asks_for_what_was_asked() -> None:
    """Another has one address, and the cheaper system calls."""
    for host, kind in (
        (LOOPBACK, socket.socket),
        ("0.0.0.0", WildcardSocket),
        ("::ffff:0.0.0.0", WildcardSocket),  # IPv4 in an IPv6 socket
    ):
        with udp_socket((host, 0)) as server:
            assert type(server) is kind


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
