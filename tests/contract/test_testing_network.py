"""The fixtures `relay` and `wire` of the pytest plugin, with a relay that is a process."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from clients import rest, tcp_echo, udp_time
from clients.addresses import Address
from clients.relay import Relay
from clients.udp_time import TimeClient
from lab import LabError
from lab.testing.network import CONTROL, Network, Reach, Wire
from tests.support.drivers import DRIVERS, serving
from tests.support.relay import relaying

LOSES_THE_FIRST = 4  # a seed with which a loss of a half takes the first, not the second
SERVICES = ("tcp-echo", "udp-time", "rest")


@pytest.fixture(scope="module")
def control() -> Iterator[Relay]:
    """Run some servers, and a relay that leads to them."""
    with ExitStack() as stack:
        leads = " ".join(
            f"{service}={stack.enter_context(serving(DRIVERS[service][0])).address}"
            for service in SERVICES
        )
        relay, _ = stack.enter_context(relaying(WIRELAB_RELAY_UPSTREAMS=leads))
        yield relay


@pytest.fixture
def reach_relay(control: Relay) -> Reach:
    """Return where a port of the relay is: here all of them are on loopback."""
    return lambda port, _: control.address if port == CONTROL else Address("127.0.0.1", port)


@pytest.fixture
def _clean_before_and_after(control: Relay) -> Iterator[None]:
    """Hold the fixture `relay`, which ends before this one, to leaving no toxic."""
    yield
    assert [each["toxics"] for each in control.proxies().values()] == [[]] * len(SERVICES)


@pytest.mark.usefixtures("_clean_before_and_after")
def test_toxics_are_removed_in_any_case(relay: Network, control: Relay) -> None:
    """Those of this test, and of one that has removed some itself, or all."""
    relay.add("rest", "latency", latency=10)
    relay.add("rest", "latency", "upstream", latency=10)
    control.remove_toxic("tcp-echo", relay.add("tcp-echo", "slicer", average_size=1))

    def fails() -> None:
        with relay.toxic("udp-time", "blackhole", "upstream"):
            assert len(control.proxy("udp-time")["toxics"]) == 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert control.proxy("udp-time")["toxics"] == []
    assert len(control.proxy("rest")["toxics"]) == 2


def test_a_service_that_there_is_not_is_an_error(relay: Network, wire: Wire) -> None:
    """Wherever it is named: a check that nothing was sent would otherwise pass for ever."""
    error = "the relay does not lead to 'nope'; it leads to rest, tcp-echo, udp-time"
    for asks in (
        lambda: relay.address("nope"),
        lambda: relay.add("nope", "latency", seed=1),
        lambda: wire.requests("nope"),
        lambda: wire.assert_nothing_sent_after("nope", 0),
    ):
        with pytest.raises(LabError, match=f"^{error}$"):
            asks()


@pytest.mark.parametrize(
    ("service", "kind", "error"),
    [
        ("rest", "latensy", "toxic 'latensy' of 'rest', by TCP: invalid toxic type"),
        ("udp-time", "slicer", "toxic 'slicer' of 'udp-time', by UDP: invalid toxic type"),
        ("rest", "latency", "toxic 'latency' of 'rest', by TCP: .* which are: latency, jitter"),
    ],
    ids=["type", "protocol", "attribute"],
)
def test_a_toxic_that_there_is_not_is_named(
    relay: Network, service: str, kind: str, error: str
) -> None:
    """With its service and protocol: TCP and UDP have others."""
    with pytest.raises(LabError, match=f"^{error}$"):
        relay.add(service, kind, delay=1)


def test_a_connection_that_fails_once(relay: Network, wire: Wire) -> None:
    """A client that tries again has its echo, and the wire shows both connections."""
    relay.add("tcp-echo", "fail_first", connections=1)
    where = relay.address("tcp-echo")
    with pytest.raises(ConnectionError):
        tcp_echo.exchange(where, b"one")
    assert tcp_echo.exchange(where, b"two") == b"two"
    first, second = wire.conversations("tcp-echo")
    assert "reset the connection" in first.ending
    assert [each.summary for each in second.events if each.kind == "message"] == (
        ["'two' (3 bytes)"] * 2
    )


def ask_again(address: Address, *requests: bytes) -> bytes:
    """Send one request after the other until there is a reply."""
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.settimeout(0.2)
        for request in requests:
            client.sendto(request, address)
            try:
                return client.recv(100)
            except TimeoutError:
                pass
    raise TimeoutError


@pytest.mark.parametrize("again", [b"id-1", b"id-2"], ids=["same", "another"])
def test_the_id_of_a_retry_is_seen(relay: Network, wire: Wire, again: bytes) -> None:
    """The same one, or not; and that the first request was lost."""
    with relay.toxic("udp-time", "packet_loss", "upstream", seed=LOSES_THE_FIRST, loss_rate=0.5):
        assert ask_again(relay.address("udp-time"), b"id-1", again).startswith(again)
    lost, answered = wire.requests("udp-time")
    assert (lost.arrived, lost.name) == (None, "id-1")
    assert answered.arrived is not None
    if again == b"id-1":
        wire.assert_retried_with_same_id("udp-time")
    else:
        with pytest.raises(AssertionError, match=r"other IDs than the first:\n.*ID id-1\n"):
            wire.assert_retried_with_same_id("udp-time")


def test_nothing_is_sent_after_the_deadline(relay: Network, wire: Wire) -> None:
    """A client that gives up is quiet from then on; one that does not is seen."""
    relay.add("udp-time", "blackhole")
    where = relay.address("udp-time")
    with TimeClient(where, 0.01, attempts=3) as client, pytest.raises(TimeoutError):
        client.ask()
    deadline = time.time()
    assert len(wire.requests("udp-time")) == 3
    wire.assert_nothing_sent_after("udp-time", deadline)
    with pytest.raises(TimeoutError):
        ask_again(where, b"late")
    with pytest.raises(AssertionError, match=r"sent after the deadline:\n.*ID late"):
        wire.assert_nothing_sent_after("udp-time", deadline)


def test_the_wire_begins_with_the_test(relay: Network, wire: Wire) -> None:
    """What another test has sent is not on it; what is said is decoded."""
    assert wire.requests("rest") == []
    rest.health(relay.address("rest"), 5)
    (request,), (answer,) = wire.requests("rest"), wire.answers("rest")
    assert request.summary.startswith("GET /")
    assert answer.summary.startswith("200 OK")
    assert wire.requests("udp-time") == []
    udp_time.health(relay.address("udp-time"), 5)
    assert len(wire.answers("udp-time")) == 1
