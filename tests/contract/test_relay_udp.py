"""UDP through the relay: datagrams as they are, and what toxics do to them."""

import os
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from clients import udp_time
from clients.addresses import Address
from clients.relay import faults
from services.wire.record import Record
from tests.support.drivers import DRIVERS, serving
from tests.support.pace import FAR
from tests.support.processes import Server
from tests.support.relay import RelayUnderTest, relaying
from tests.support.sockets import LOOPBACK

UP, DOWN = "upstream", "downstream"
BOTH = (UP, DOWN)


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[RelayUnderTest, Server]]:
    """Run a relay for the tests of this file; it forgets a silent client soon."""
    with relaying(WIRELAB_RELAY_IDLE_TIMEOUT="1") as found:
        yield found


@pytest.fixture
def relay(running: tuple[RelayUnderTest, Server]) -> RelayUnderTest:
    """Lend its control."""
    return running[0]


def udp(address: Address | None = None) -> socket.socket:
    """Return a socket that is bound, and connected if there is an address."""
    found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
    found.settimeout(FAR)
    found.bind((LOOPBACK, 0))
    if address:
        found.connect(address)
    return found


@contextmanager
def pair(relay: RelayUnderTest, **more: Any) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Lend a client's socket that is connected to a proxy, and the server's."""
    with (
        udp() as server,
        relay.proxied(Address(*server.getsockname()), protocol="udp", **more) as address,
        udp(address) as client,
    ):
        yield client, server


def data(records: list[Record], stream: str = UP) -> list[Record]:
    """Return the records of datagrams in one direction."""
    return [each for each in records if (each.kind, each.stream) == ("data", stream)]


def passed(relay: RelayUnderTest, count: int, stream: str = UP) -> list[Record]:
    """Return the records of one direction as soon as so many datagrams are through with it."""
    found = relay.records(lambda found: len({each.offset for each in data(found, stream)}) >= count)
    return data(found, stream)


def send(relay: RelayUnderTest, pair: tuple[socket.socket, socket.socket], count: int) -> list[int]:
    """Send numbers, and return those that arrive, in batches that the kernel has room for."""
    client, server = pair
    arrived = []
    for number in range(count):
        client.send(b"%d" % number)
        if number % 100 == 99 or number == count - 1:
            relay.version()  # which is behind them in the event loop
            while select.select([server], [], [], 0.3 if number == count - 1 else 0)[0]:
                arrived.append(int(server.recv(100)))
    return arrived


def test_what_the_client_checks_holds_through_it(relay: RelayUnderTest) -> None:
    """All checks of udp-time."""
    with (
        serving(DRIVERS["udp-time"][0]) as server,
        relay.proxied(server.address, protocol="udp") as address,
    ):
        for check in udp_time.CHECKS:
            check.run(address)


@pytest.mark.parametrize("size", [0, 1, 1472, 60_000, 65_507])
def test_a_datagram_of_any_size_passes_both_ways(relay: RelayUnderTest, size: int) -> None:
    """Empty ones too; each is one record."""
    payload = os.urandom(size)
    with pair(relay) as (client, server):
        client.send(payload)
        received, peer = server.recvfrom(70_000)
        assert received == payload
        server.sendto(payload, peer)
        assert client.recv(70_000) == payload
        (up,) = passed(relay, 1)
        (down,) = passed(relay, 1, DOWN)
    assert up.data == down.data == payload
    assert (up.offset, down.offset, up.connection) == (0, 0, 1)
    assert up.left
    assert up.arrived <= up.left


def test_clients_are_told_apart(relay: RelayUnderTest) -> None:
    """Each has a socket of its own at the server, and gets its own replies."""
    with pair(relay) as (first, server), ExitStack() as opened:
        others = [opened.enter_context(udp(Address(*first.getpeername()))) for _ in range(50)]
        for number, client in enumerate([first, *others]):
            client.send(b"%d" % number)
        peers: Any = dict(server.recvfrom(100) for _ in range(51))
        assert len(set(peers.values())) == 51
        for number, peer in peers.items():
            server.sendto(number, peer)
        for number, client in enumerate([first, *others]):
            assert client.recv(100) == b"%d" % number


def test_each_reply_comes_from_the_address_that_was_asked(relay: RelayUnderTest) -> None:
    """Also if a client has asked at several, before there was a reply (RFC 1122, 4.1.3.5)."""
    asked = [LOOPBACK, "127.0.0.2", "127.1.2.3"]
    with (
        udp() as server,
        relay.proxied(Address(*server.getsockname()), protocol="udp", listen="0.0.0.0:0") as at,
        udp() as client,
    ):
        for each in asked:
            client.sendto(each.encode(), (each, at.port))
        for data, peer in [server.recvfrom(100) for _ in asked]:
            server.sendto(data, peer)
        replies = [client.recvfrom(100) for _ in asked]
    assert sorted((data.decode(), peer) for data, peer in replies) == [
        (each, (each, at.port)) for each in asked
    ]


def test_a_silent_client_is_forgotten(relay: RelayUnderTest) -> None:
    """And is a new connection when it sends again."""
    with pair(relay) as (client, server):
        client.send(b"1")
        before = server.recvfrom(10)[1]
        relay.ended()
        client.send(b"2")
        assert server.recvfrom(10)[1] != before
        opened = [each.connection for each in relay.ended(1) if each.kind == "open"]
    assert opened == [1, 2]


def test_the_number_of_clients_is_bounded(
    relay: RelayUnderTest, running: tuple[RelayUnderTest, Server]
) -> None:
    """The one that has been silent for the longest makes room."""
    with pair(relay) as (client, server):
        for _ in range(1300):
            with udp(Address(*client.getpeername())) as other:
                other.send(b"x")
                server.recv(10)
        assert running[1].descriptors < 1100
        client.send(b"still")
        assert server.recv(10) == b"still"


def test_a_server_that_is_away_is_refused_and_comes_back(relay: RelayUnderTest) -> None:
    """ICMP says so to the relay, and the journal says it to us."""
    with pair(relay) as (client, server):
        place = server.getsockname()
        server.close()
        client.send(b"lost")
        found = relay.records(lambda found: any(each.kind == "refused" for each in found))
        assert [each.left for each in found if each.kind == "refused"] == [None]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as back:
            back.settimeout(FAR)
            back.bind(place)
            client.send(b"found")
            assert back.recv(10) == b"found"


def test_a_loss_is_in_the_journal_with_its_reason(relay: RelayUnderTest) -> None:
    """What was dropped has not left; what was not has, without a word."""
    with pair(relay, seed=3) as ends:
        relay.add_toxic("p", "packet_loss", UP, loss_rate=0.5)
        send(relay, ends, 100)
        found = passed(relay, 100)
    dropped = [each for each in found if each.left is None]
    assert 30 < len(dropped) < 70
    assert all(each.actions[0].what == "dropped" and each.actions[0].seed == 3 for each in dropped)
    assert not any(each.actions for each in found if each.left)


def test_a_tenth_is_a_tenth(relay: RelayUnderTest) -> None:
    """Of 2,000 datagrams on the wire; the unit tests have 10,000 of each kind."""
    with pair(relay) as ends:
        relay.add_toxic("p", "packet_loss", UP, loss_rate=0.1)
        relay.add_toxic("p", "duplicate", UP, duplicate_rate=0.1)
        relay.add_toxic("p", "reorder", UP, reorder_rate=0.1)
        arrived = send(relay, ends, 2000)
        found = passed(relay, 2000)
        actions = [action for each in found for action in each.actions]
        left = sum(1 for each in found if each.left)
    assert len(arrived) == left
    lost = sum(action.what == "dropped" for action in actions)
    assert abs(lost - 200) <= 3 * (2000 * 0.09) ** 0.5
    for what in ("duplicated", "held back"):
        count = sum(action.what.startswith(what) for action in actions)
        assert abs(count - 180) <= 80  # of those that are left; a duplicate meets what comes later


def test_a_duplicate_arrives_twice(relay: RelayUnderTest) -> None:
    """Both are records of the same datagram."""
    with pair(relay) as (client, server):
        relay.add_toxic("p", "duplicate", DOWN, duplicate_rate=1)
        client.send(b"x")
        server.sendto(b"twice", server.recvfrom(10)[1])
        assert [client.recv(10), client.recv(10)] == [b"twice", b"twice"]
        found = relay.records(lambda found: len(data(found, DOWN)) == 2)
    assert [(each.offset, each.actions[0].what) for each in data(found, DOWN)] == [
        (0, "duplicated"),
        (0, "the duplicate"),
    ]


def test_a_reordered_datagram_is_overtaken(relay: RelayUnderTest) -> None:
    """Until the gap has passed it."""
    with pair(relay, seed=1) as ends:
        relay.add_toxic("p", "reorder", UP, reorder_rate=0.2, gap=1, delay=20_000)
        order = send(relay, ends, 50)
        relay.remove_toxic("p", "reorder_upstream")
        order += [int(ends[1].recv(10)) for _ in range(50 - len(order))]
        assert order != sorted(order) == list(range(50))
        assert [int(each.data) for each in passed(relay, 50)] == order


def test_who_waits_for_a_datagram_is_not_forgotten(relay: RelayUnderTest) -> None:
    """However long that is on its way."""
    with pair(relay) as (client, server):
        relay.add_toxic("p", "latency", UP, latency=2000)
        client.send(b"late")
        assert server.recv(10) == b"late"


def test_a_blackhole_and_a_latency(relay: RelayUnderTest) -> None:
    """One keeps everything; the other is as long as it says."""
    with pair(relay) as (client, server):
        relay.add_toxic("p", "blackhole", UP)
        client.send(b"gone")
        passed(relay, 1)
        relay.remove_toxic("p", "blackhole_upstream")
        relay.add_toxic("p", "latency", UP, latency=100)
        client.send(b"late")
        assert server.recv(10) == b"late"
        record = passed(relay, 2)[-1]
    assert record.left
    assert record.left - record.arrived >= 0.1


def test_what_waits_is_bounded(relay: RelayUnderTest) -> None:
    """A datagram without room for it is lost, also if it is empty."""
    with pair(relay) as (client, _):
        relay.add_toxic("p", "latency", UP, latency=60_000)
        for number in range(3000):
            client.send(b"")
            if number % 100 == 0:
                relay.version()  # so that the kernel has room for all
        dropped = data(relay.records(data))
        assert dropped[-1].left is None
        assert relay.metrics()["wirelab_relay_waiting_bytes"] <= 256 * 1024 + 128


TOXICS = [
    {"type": kind, "stream": stream, "attributes": {rate: 0.1}}
    for stream in BOTH
    for kind, rate in (("packet_loss", "loss_rate"), ("duplicate", "duplicate_rate"),
                       ("corrupt", "corrupt_rate"))
]  # fmt: skip
TOXICS.append({"type": "latency", "stream": UP, "attributes": {"latency": 1, "jitter": 1}})


def test_a_hundred_runs_have_the_same_faults(relay: RelayUnderTest) -> None:
    """With the same seed and the same traffic."""
    runs = []
    for run in range(101):
        with pair(relay, seed=5 + run // 100, toxics=TOXICS) as (client, _):
            for number in range(40):
                client.send(b"%d" % number)
            found = faults(passed(relay, 40))
        runs.append(found)
    assert len(runs[0]) > 30
    assert runs.count(runs[0]) == 100
    assert runs[100] != runs[0]
