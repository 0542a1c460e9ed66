"""TCP through the relay: what it passes on as it is, and what toxics do to it."""

import importlib
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from statistics import median
from threading import Thread
from typing import Any

import pytest

from clients.addresses import Address
from clients.relay import faults
from clients.tcp_echo import echo, exchange
from tests.support import processes
from tests.support.clients import stock
from tests.support.drivers import DRIVERS, Driver, serving
from tests.support.pace import FAR, until
from tests.support.processes import Server
from tests.support.relay import ANY_PORTS, COMMAND, RelayUnderTest, relaying
from tests.support.sockets import LOOPBACK, closed_port, connect, receive, reset, rest_of

UP, DOWN = "upstream", "downstream"


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[RelayUnderTest, Server]]:
    """Run a relay for the tests of this file."""
    with relaying() as found:
        yield found


@pytest.fixture
def relay(running: tuple[RelayUnderTest, Server]) -> RelayUnderTest:
    """Lend its control."""
    return running[0]


@pytest.fixture
def process(running: tuple[RelayUnderTest, Server]) -> Server:
    """Lend its process."""
    return running[1]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Run the echo server that it leads to."""
    with serving(DRIVERS["tcp-echo"][0]) as found:
        yield found


@pytest.fixture
def via(relay: RelayUnderTest, server: Server) -> Iterator[Address]:
    """Lend the address of a proxy that leads to the echo server."""
    with relay.proxied(server.address) as address:
        yield address


@contextmanager
def pair(relay: RelayUnderTest) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Lend both ends of a connection through the relay: the client's and the server's."""
    with (
        socket.create_server((LOOPBACK, 0)) as listener,
        relay.proxied(Address(*listener.getsockname())) as address,
        connect(address) as client,
    ):
        listener.settimeout(FAR)
        at_server = listener.accept()[0]
        at_server.settimeout(FAR)
        with at_server:
            yield client, at_server


def is_reset(connection: socket.socket) -> bool:
    """Whether a connection ends by RST, whatever comes before that."""
    try:
        rest_of(connection)
    except ConnectionResetError:
        return True
    return False


def fails(address: Address) -> bool:
    """Whether a connection is reset at once."""
    try:
        with connect(address) as client:
            return is_reset(client)
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("driver", [found[0] for found in DRIVERS.values() if
                                    found[0].service != "udp-time"], ids=str)  # fmt: skip
def test_what_clients_check_holds_through_it(relay: RelayUnderTest, driver: Driver) -> None:
    """All checks of the service that find it by its address."""
    with serving(driver) as server, relay.proxied(server.address) as address:
        client = importlib.import_module(f"clients.{driver.service.replace('-', '_')}")
        for check in client.CHECKS:
            if check.by_address:
                check.run(address)


def test_a_message_in_two_parts_waits_for_no_ack(relay: RelayUnderTest, key: bytes) -> None:
    """The standard library's client sends the second when the first is acknowledged: 40 ms."""
    times: dict[int, list[float]] = {1: [], 20_000: []}
    with (
        serving(DRIVERS["object-echo"][0]) as server,
        relay.proxied(server.address) as address,
        stock(address, key) as client,
    ):

        def exchange(size: int) -> None:
            client.send(bytes(size))
            assert len(client.recv()) == size

        for size in [*times] * 9:
            times[size].append(took(partial(exchange, size)))
    assert median(times[20_000]) < 40 * median(times[1])


def test_four_mib_go_both_ways(via: Address) -> None:
    """At the same time, and to the byte."""
    data = os.urandom(4 * 1024 * 1024)
    assert echo(via, data, FAR) == data


@pytest.mark.parametrize("turn", [False, True], ids=["client first", "server first"])
def test_half_of_a_connection_stays_open(relay: RelayUnderTest, turn: bool) -> None:
    """After the FIN of either side, the other still gets its bytes through."""
    with pair(relay) as ends:
        first, second = ends[::-1] if turn else ends
        first.sendall(b"question")
        first.shutdown(socket.SHUT_WR)
        assert rest_of(second) == b"question"
        second.sendall(b"late answer")
        assert receive(first, 11) == b"late answer"
        second.shutdown(socket.SHUT_WR)
        assert rest_of(first) == b""
        found = relay.ended()
    kinds = [(each.kind, each.stream) for each in found]
    streams = (DOWN, UP) if turn else (UP, DOWN)
    assert kinds == [
        ("open", UP), ("data", streams[0]), ("fin", streams[0]), ("data", streams[1]),
        ("fin", streams[1]), ("close", found[-1].stream),
    ]  # fmt: skip
    assert all(each.left and each.arrived <= each.left for each in found)
    assert found[2].offset == len(b"question")


@pytest.mark.parametrize("turn", [False, True], ids=["by the client", "by the server"])
@pytest.mark.parametrize("when", ["idle", "after its FIN", "while the other does not read"])
def test_a_reset_is_passed_on(relay: RelayUnderTest, turn: bool, when: str) -> None:
    """As a reset, also from a peer that the relay does not read from."""
    with pair(relay) as ends:
        first, second = ends[::-1] if turn else ends
        first.sendall(b"x")
        assert receive(second, 1) == b"x"
        if when == "after its FIN":
            first.shutdown(socket.SHUT_WR)
            assert second.recv(1) == b""
            reset(first)
            until(lambda: second.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), "the RST")
        else:
            if when != "idle":
                fill([first])
            reset(first)
            assert is_reset(second)
        (end,) = [each for each in relay.ended() if each.kind == "reset"]
    assert end.stream == (DOWN if turn else UP)


def fill(connections: list[socket.socket]) -> int:
    """Send until nothing more is taken for a while; return how many bytes that were."""
    for connection in connections:
        connection.setblocking(False)
    sent = 0
    while writable := select.select([], connections, [], 0.3)[1]:
        for connection in writable:
            with suppress(BlockingIOError):
                sent += connection.send(bytes(256 * 1024))
    for connection in connections:
        connection.settimeout(FAR)
    return sent


def test_a_thousand_connections_are_open_at_once(via: Address) -> None:
    """Each of them gets its own bytes."""
    with ExitStack() as opened:
        connections = [opened.enter_context(connect(via)) for _ in range(1000)]
        for number, connection in enumerate(connections):
            connection.sendall(b"%04d" % number)
        for number, connection in enumerate(connections):
            assert receive(connection, 4) == b"%04d" % number


def test_who_does_not_read_stops_who_sends(
    relay: RelayUnderTest, running: tuple[RelayUnderTest, Server]
) -> None:
    """However much is to be sent: the relay's memory stays what it is."""
    process = running[1]
    with ExitStack() as opened:
        listener = opened.enter_context(socket.create_server((LOOPBACK, 0)))
        address = opened.enter_context(relay.proxied(Address(*listener.getsockname())))
        clients = []
        for _ in range(40):
            clients.append(opened.enter_context(connect(address)))
            opened.enter_context(listener.accept()[0])
        fill(clients[:8])  # and the journal
        before = process.memory
        # Most of it is in the kernel's buffers.
        assert fill(clients[8:]) < 32 * 16 * 1024 * 1024
        # For each of 32 connections a chunk of 64 KiB that could not be sent.
        assert process.memory - before < 12 * 1024 * 1024


def test_what_waits_in_a_toxic_stops_who_sends(
    relay: RelayUnderTest, process: Server, server: Server
) -> None:
    """A stall of a minute does not fill the memory with a minute's bytes."""
    with relay.proxied(server.address) as address, connect(address) as client:
        relay.add_toxic("p", "latency", UP, latency=60_000)
        before = process.memory
        assert fill([client]) < 8 * 1024 * 1024
        assert process.memory - before < 16 * 1024 * 1024


def test_a_server_that_is_away_is_refused_and_comes_back(relay: RelayUnderTest) -> None:
    """The client's connection is reset meanwhile, and the journal says why."""
    with closed_port() as upstream, relay.proxied(upstream) as address:
        assert fails(address)
        (refused,) = relay.ended()
        assert (refused.kind, refused.left, refused.connection) == ("refused", None, 1)
    with socket.create_server((LOOPBACK, 0)) as holder:
        place = Address(*holder.getsockname())
    driver = DRIVERS["tcp-echo"][0]
    with relay.proxied(place) as address:
        assert fails(address)
        with serving(driver, WIRELAB_PORT=str(place.port)):
            assert exchange(address, b"back") == b"back"
        assert fails(address)


def test_a_proxy_that_is_disabled_closes_its_connections(
    relay: RelayUnderTest, via: Address
) -> None:
    """And listens no more, until it is enabled again, at the same place."""
    with connect(via) as client:
        client.sendall(b"x")
        assert receive(client, 1) == b"x"
        relay.update("p", enabled=False)
        assert client.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        connect(via)
    relay.update("p", enabled=True)
    assert exchange(via, b"again") == b"again"


def took(action: Callable[[], object]) -> float:
    """Return how many seconds something takes."""
    began = time.monotonic()
    action()
    return time.monotonic() - began


def test_a_latency_is_as_long_as_it_says(relay: RelayUnderTest, via: Address) -> None:
    """For open connections too; the journal has when a piece came and left, and why."""
    with connect(via) as client:

        def ask() -> None:
            client.sendall(b"x")
            assert receive(client, 1) == b"x"

        ask()
        relay.add_toxic("p", "latency", DOWN, latency=150)
        assert took(ask) >= 0.150
    record = next(each for each in relay.ended() if each.actions)
    assert record.stream == DOWN
    assert record.left
    assert record.left - record.arrived >= 0.150
    (action,) = record.actions
    assert (action.toxic, action.type, action.draw, action.what) == (
        "latency_downstream", "latency", None, "delayed by 150 ms"
    )  # fmt: skip


def test_what_waits_leaves_when_a_toxic_is_removed(relay: RelayUnderTest, via: Address) -> None:
    """Bytes that would have waited for a minute arrive at once, and in order."""
    relay.add_toxic("p", "latency", UP, latency=60_000)
    with connect(via) as client:
        client.sendall(b"abc")
        client.sendall(b"def")
        until(lambda: held(relay) == 6, "the relay has received it")
        relay.remove_toxic("p", "latency_upstream")
        assert receive(client, 6) == b"abcdef"


def held(relay: RelayUnderTest) -> int:
    """Return how many bytes wait; each piece counts for 128 more."""
    return int(relay.metrics()["wirelab_relay_waiting_bytes"]) % 128


def test_a_bandwidth_takes_its_time(relay: RelayUnderTest, via: Address) -> None:
    """200 KB at 500 KB/s upstream: that takes no less than 0.4 s."""
    relay.add_toxic("p", "bandwidth", UP, rate=500)
    data = bytes(200_000)
    assert took(lambda: exchange(via, data, FAR)) >= 0.399


def test_a_slicer_cuts_what_is_sent(relay: RelayUnderTest, via: Address) -> None:
    """Into records of the size that it is told."""
    relay.add_toxic("p", "slicer", DOWN, average_size=100, size_variation=20, delay=100)
    data = os.urandom(5000)
    assert exchange(via, data) == data
    sizes = [len(each.data) for each in relay.ended()
             if each.kind == "data" and each.stream == DOWN]  # fmt: skip
    assert len(sizes) >= 49
    assert max(sizes) <= 120


def test_a_slow_close_delays_the_end(relay: RelayUnderTest, via: Address) -> None:
    """The bytes come at once."""
    relay.add_toxic("p", "slow_close", DOWN, delay=300)
    with connect(via) as client:
        client.sendall(b"x")
        client.shutdown(socket.SHUT_WR)
        assert receive(client, 1) == b"x"
        assert took(lambda: client.recv(1)) >= 0.29


def test_a_timeout_closes_after_silence(relay: RelayUnderTest, via: Address) -> None:
    """Nothing of what was sent comes through."""
    relay.add_toxic("p", "timeout", UP, timeout=200)
    with connect(via) as client:
        client.sendall(b"x")
        assert took(lambda: client.recv(1)) >= 0.19


def test_a_timeout_of_0_closes_when_it_is_removed(relay: RelayUnderTest, via: Address) -> None:
    """As bytes of the stream are missing by then."""
    relay.add_toxic("p", "timeout", DOWN)
    with connect(via) as client:
        client.sendall(b"x")
        assert not select.select([client], [], [], 0.3)[0]
        relay.remove_toxic("p", "timeout_downstream")
        assert client.recv(1) == b""
    (dropped,) = [each for each in relay.ended() if each.actions
                  and each.kind == "data"]  # fmt: skip
    assert (dropped.data, dropped.left) == (b"x", None)


def test_a_reset_comes_on_both_sides(relay: RelayUnderTest) -> None:
    """Once there is data."""
    with pair(relay) as (client, at_server):
        relay.add_toxic("p", "reset_peer", UP, timeout=50)
        client.sendall(b"x")
        assert is_reset(client)
        assert is_reset(at_server)
        end = relay.ended()[-1]
    assert (end.kind, end.stream, end.actions[0].what) == ("reset", UP, "reset after 50 ms")


def test_an_end_that_is_dropped_is_not_recorded(relay: RelayUnderTest) -> None:
    """Here a timeout would close the connection, but the reset comes before it: the only end."""
    with pair(relay) as (client, at_server):
        relay.add_toxic("p", "timeout", UP, timeout=50)
        relay.add_toxic("p", "reset_peer", UP, timeout=50)
        client.sendall(b"x")
        assert is_reset(client)
        assert is_reset(at_server)
        found = relay.ended()
    assert [each.kind for each in found] == ["open", "data", "reset"]


def test_a_limit_closes_after_so_many_bytes(relay: RelayUnderTest, via: Address) -> None:
    """And not one more comes through."""
    relay.add_toxic("p", "limit_data", DOWN, bytes=1000)
    with connect(via) as client:
        client.sendall(bytes(3000))
        with suppress(ConnectionResetError):
            assert len(rest_of(client)) == 1000


def test_a_half_close_leaves_the_other_half(relay: RelayUnderTest) -> None:
    """The server gets a FIN, and can still answer."""
    with pair(relay) as (client, at_server):
        relay.add_toxic("p", "half_close", UP, bytes=3)
        client.sendall(b"question")
        assert rest_of(at_server) == b"que"
        at_server.sendall(b"what?")
        assert receive(client, 5) == b"what?"


def test_the_first_connections_fail(relay: RelayUnderTest, via: Address) -> None:
    """As many as it says, counted from when it was added."""
    assert exchange(via, b"0") == b"0"
    relay.add_toxic("p", "fail_first", connections=2)
    assert [fails(via), fails(via)] == [True, True]
    assert exchange(via, b"3") == b"3"
    found = relay.ended(4)
    whats = [each.actions[0].what for each in found if each.actions]
    assert whats == ["failed: connection 1 of 2 that fail", "failed: connection 2 of 2 that fail"]
    relay.update("p", seed=9)  # and from when the connections are numbered anew
    assert [fails(via), fails(via)] == [True, True]
    assert exchange(via, b"7") == b"7"


def test_a_loss_is_a_delay(relay: RelayUnderTest, via: Address) -> None:
    """All bytes arrive, in order."""
    relay.add_toxic("p", "packet_loss", UP, loss_rate=0.2)
    data = os.urandom(20_000)
    assert exchange(via, data, FAR) == data
    found = faults(relay.ended())
    assert found
    assert all("sent again after" in fault[-1] for fault in found)


def test_a_toxicity_is_a_share_of_the_connections(relay: RelayUnderTest, via: Address) -> None:
    """And the same ones each time."""
    relay.add_toxic("p", "reset_peer", UP, toxicity=0.5)

    def fates() -> list[bool]:
        found = []
        for _ in range(30):
            with connect(via) as client:
                client.sendall(b"x")
                found.append(is_ended(client))
        return found

    first = fates()
    assert 5 <= sum(first) <= 25
    relay.reset()  # which numbers the connections anew for the draws
    relay.add_toxic("p", "reset_peer", UP, toxicity=0.5)
    assert fates() == first


def is_ended(client: socket.socket) -> bool:
    """Whether a connection is reset rather than that it has an answer."""
    try:
        return not client.recv(1)
    except ConnectionResetError:
        return True


TOXICS: list[dict[str, Any]] = [
    {"type": "latency", "stream": UP, "attributes": {"latency": 2, "jitter": 2}},
    {"type": "slicer", "stream": DOWN, "attributes": {"average_size": 200, "size_variation": 50}},
    {"type": "packet_loss", "stream": DOWN, "attributes": {"loss_rate": 0.4}},
    {"type": "limit_data", "stream": DOWN, "toxicity": 0.3, "attributes": {"bytes": 2000}},
]


def test_a_hundred_runs_have_the_same_faults(relay: RelayUnderTest, server: Server) -> None:
    """With the same seed and the same traffic, though each run divides it in its own way."""
    runs = []
    for run in range(100):
        toxics = [each for each in TOXICS if run < 3 or each["type"] != "packet_loss"]
        with relay.proxied(server.address, seed=5, toxics=toxics) as address:
            for _ in range(3):
                data, size = bytes(3000), 3000 // (run % 7 + 1)
                with connect(address) as client, suppress(ConnectionError):
                    for at in range(0, len(data), size):
                        client.sendall(data[at : at + size])
                    client.shutdown(socket.SHUT_WR)
                    rest_of(client)
            found = faults(relay.ended(3))
        runs.append([fault for fault in found if fault[4] != "packet_loss_downstream"])
        assert any(fault[4] == "packet_loss_downstream" for fault in found) == (run < 3)
    assert len(runs[0]) > 30
    assert runs.count(runs[0]) == 100
    with relay.proxied(server.address, seed=6, toxics=TOXICS) as address:
        exchange(address, bytes(1000), FAR)
        assert faults(relay.ended())[:3] != runs[0][:3]


def test_a_toxic_that_comes_and_goes_disturbs_no_byte(relay: RelayUnderTest, via: Address) -> None:
    """While 2 MiB go through, toxics of all kinds are added, changed and removed."""
    data = os.urandom(2 * 1024 * 1024)
    done: list[bytes] = []
    thread = Thread(target=lambda: done.append(echo(via, data, FAR)))
    thread.start()
    while thread.is_alive():
        for kind, values in (("latency", {"latency": 5, "jitter": 5}), ("bandwidth", {"rate": 900}),
                             ("slicer", {"average_size": 700, "size_variation": 90}),
                             ("packet_loss", {"loss_rate": 0.01})):  # fmt: skip
            relay.add_toxic("p", kind, UP, **values)
            relay.change_toxic("p", f"{kind}_upstream", **values)
        for kind in ("slicer", "latency", "packet_loss", "bandwidth"):
            relay.remove_toxic("p", f"{kind}_upstream")
    thread.join()
    assert done == [data]


def test_many_clients_at_once_keep_apart(via: Address) -> None:
    """Each with its own half MiB."""

    def client(_: int) -> bool:
        data = os.urandom(512 * 1024)
        return echo(via, data, FAR) == data

    with ThreadPoolExecutor(16) as threads:
        assert all(threads.map(client, range(32)))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_stops_it_whoever_is_connected(server: Server, number: signal.Signals) -> None:
    """Within two seconds and with status 0: with idle clients, waiting bytes, and a reader."""
    with processes.running(COMMAND, **ANY_PORTS) as stopped:
        relay = RelayUnderTest(stopped.address, FAR)
        relay.create("p", str(server.address))
        reader = relay.journal(follow=True)
        with connect(relay.listening("p")) as client:
            client.sendall(b"x")
            assert receive(client, 1) == b"x"
            assert next(reader).kind == "open"
            relay.add_toxic("p", "latency", latency=60_000)
            client.sendall(b"y")
            until(lambda: held(relay), "it waits")
            stopped.process.send_signal(number)
            assert stopped.ended() == 0
        assert stopped.log.count(f"stopped by {number.name}") == 1
        assert "Traceback" not in stopped.log


def test_its_ports_are_free_at_once(server: Server) -> None:
    """A relay that is started again listens where the first one did, and is clean."""
    upstream = f"tcp-echo={server.address}"
    with processes.running(COMMAND, WIRELAB_RELAY_UPSTREAMS=upstream, **ANY_PORTS) as first:
        relay = RelayUnderTest(first.address, FAR)
        places = {name: proxy["listen"] for name, proxy in relay.proxies().items()}
        with connect(relay.listening("tcp-echo")):
            relay.set_profile("cut")
            assert first.stop() == 0
    ports = {
        f"WIRELAB_RELAY_{name.upper().replace('-', '_')}_PORT": place.rpartition(":")[2]
        for name, place in places.items()
    }
    with processes.running(COMMAND, WIRELAB_RELAY_UPSTREAMS=upstream, **ports) as second:
        relay = RelayUnderTest(second.address, FAR)
        assert relay.proxy("tcp-echo")["listen"] == places["tcp-echo"]
        assert relay.profile()["name"] == "clean"
        assert exchange(relay.listening("tcp-echo"), b"x") == b"x"
