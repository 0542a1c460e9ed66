"""Each port that compose.yaml publishes: its setting, and what is said where it cannot be had."""

import os
import socket

import psutil
import pytest
import yaml

from clients.addresses import PORTS, Address
from lab import ROOT, LabError, listing, ports
from lab.description import REFERENCE, Port, Service, services
from tests.support.relay import ANY_PORTS

ALL = services({}, "*")
RELAYED = [service for service in PORTS if service not in ("relay", "console")]


def ports_of(server: str, **settings: str) -> dict[str, Port]:
    """Return the ports of a server by their settings, all others being 0."""
    (found,) = [each for each in services({**ANY_PORTS, **settings}) if each.name == server]
    return {port.setting: port for port in found.ports}


def relay_port(service: str) -> str:
    """Return the setting of the port that the relay has for a service."""
    return f"WIRELAB_RELAY_{service.upper().replace('-', '_')}_PORT"


def bound(protocol: str) -> socket.socket:
    """Return a socket that has a port of loopback."""
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    other = socket.socket(socket.AF_INET, kind)
    other.bind(("127.0.0.1", 0))
    if kind is socket.SOCK_STREAM:
        other.listen()
    return other


@pytest.mark.parametrize("server", [pytest.param(each, id=each.name) for each in ALL])
def test_every_published_port_has_its_settings(server: Service) -> None:
    """Those of compose.yaml, for the number and for the address, in its order."""
    published = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"][server.name][
        "ports"
    ]
    written = [[name for name, _ in REFERENCE.findall(each)] for each in published]
    known = [[port.bind, port.setting] if port.bind else [port.setting] for port in server.ports]
    assert known == written
    assert all(port.bind or port.host == "127.0.0.1" for port in server.ports)
    assert server.port == server.ports[0]
    assert server.port.speaks == server.speaks
    assert {port.server for port in server.ports} == {server.name}


def test_the_relay_has_a_port_for_each_service() -> None:
    """Which its setting names; the first one is its own."""
    found = ports_of("relay")
    assert {port.speaks: name for name, port in found.items()} == {
        "relay": "WIRELAB_RELAY_PORT",
        **{service: relay_port(service) for service in RELAYED},
    }


def test_the_address_is_that_of_each_port() -> None:
    """WIRELAB_BIND is for the relay's traffic, without httpbin's, and not for its control."""
    found = ports_of("relay", WIRELAB_BIND="127.0.0.3")
    on_loopback = {port.speaks for port in found.values() if port.host == "127.0.0.1"}
    assert on_loopback == {"relay", "httpbin"}
    assert {port.host for port in found.values()} == {"127.0.0.1", "127.0.0.3"}


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        pytest.param(
            {"WIRELAB_RELAY_KV_PORT": "18080", "WIRELAB_RELAY_REST_PORT": "18080"},
            {"WIRELAB_RELAY_KV_PORT", "WIRELAB_RELAY_REST_PORT"},
            id="both of the relay",
        ),
        pytest.param(
            {"WIRELAB_REST_PORT": "18080", "WIRELAB_RELAY_KV_PORT": "18080"},
            {"WIRELAB_REST_PORT", "WIRELAB_RELAY_KV_PORT"},
            id="of the relay and of a service",
        ),
        pytest.param(
            {"WIRELAB_KV_PORT": "15020", "WIRELAB_RELAY_KV_PORT": ""},
            {"WIRELAB_KV_PORT", "WIRELAB_RELAY_KV_PORT"},
            id="of a service, and the relay's default",
        ),
        pytest.param(
            {"WIRELAB_RELAY_PORT": "18080", "WIRELAB_RELAY_HTTPBIN_PORT": "18080"},
            {"WIRELAB_RELAY_PORT", "WIRELAB_RELAY_HTTPBIN_PORT"},
            id="control and traffic",
        ),
        pytest.param(
            {"WIRELAB_RELAY_UDP_TIME_PORT": "18080", "WIRELAB_UDP_TIME_FORKED_PORT": "18080"},
            {"WIRELAB_RELAY_UDP_TIME_PORT", "WIRELAB_UDP_TIME_FORKED_PORT"},
            id="of the relay and of a variant",
        ),
    ],
)
def test_one_port_for_two_names_both(settings: dict[str, str], named: set[str]) -> None:
    """Whoever's they are."""
    with pytest.raises(LabError) as caught:
        services({**ANY_PORTS, **settings})
    one, _, other, *_ = str(caught.value).split()
    value = "15020" if "15020" in settings.values() else "18080"
    assert {one, other} == named
    assert str(caught.value) == (
        f"{one} and {other} both have value {value}: each needs a port of its own"
    )


def test_one_number_for_tcp_and_udp_is_two_ports() -> None:
    """As the defaults have it, and on two addresses as well."""
    same = {"WIRELAB_RELAY_TCP_ECHO_PORT": "18080", "WIRELAB_RELAY_UDP_TIME_PORT": "18080"}
    assert services({**ANY_PORTS, **same})
    other = {"WIRELAB_BIND": "127.0.0.3", "WIRELAB_RELAY_PORT": "18080"}
    assert services({**ANY_PORTS, **other, "WIRELAB_RELAY_KV_PORT": "18080"})


@pytest.mark.parametrize("service", RELAYED)
def test_a_value_that_is_no_port_is_named(service: str) -> None:
    """With the setting of that port."""
    with pytest.raises(LabError) as caught:
        services({**ANY_PORTS, relay_port(service): "80800"})
    assert str(caught.value) == (
        f"{relay_port(service)} has value '80800'. Not a port number (0 to 65535)"
    )


@pytest.mark.parametrize("service", RELAYED)
def test_a_port_of_the_relay_in_use_is_named(service: str) -> None:
    """With its setting, and who has it."""
    setting = relay_port(service)
    with bound(ports_of("relay")[setting].protocol) as other:
        number = other.getsockname()[1]
        wanted = services({**ANY_PORTS, setting: str(number)})
        found = ports.problems(wanted, {}, containers=True)
    protocol = "udp" if service == "udp-time" else "tcp"
    assert found == {
        setting: (
            f"127.0.0.1:{number}/{protocol}, which relay is to be published on, is in use by"
            f" {psutil.Process().name()} (process {os.getpid()}): free it, or set {setting} (0:"
            " any free port)"
        )
    }


def test_a_foreign_address_is_named_by_its_setting() -> None:
    """For each port that is to be published there, and for no other."""
    wanted = services({**ANY_PORTS, "WIRELAB_BIND": "192.0.2.1"})
    found = ports.problems(wanted, {}, containers=True)
    assert set(found) == {port.setting for each in wanted for port in each.ports if port.bind}
    assert {problem.partition(":")[0] for problem in found.values()} == {
        "WIRELAB_BIND has value '192.0.2.1'. Not an address of this machine"
    }


def test_ports_of_this_lab_are_not_in_use() -> None:
    """Neither one that stays, nor one that another server leaves, tcp and udp at the same time."""
    kv, rest, udp = (relay_port(name) for name in ("kv", "rest", "udp-time"))
    with bound("tcp") as stream, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        where = Address(*stream.getsockname())
        datagrams.bind(where)
        has = {kv: where, udp: where}
        number = str(where.port)
        for settings in (
            {kv: number, udp: number},
            {rest: number, udp: number},
            {"WIRELAB_TCP_ECHO_PORT": number, "WIRELAB_UDP_TIME_PORT": number},
        ):
            wanted = services({**ANY_PORTS, **settings})
            assert ports.problems(wanted, has, containers=True) == {}
        # Who leaves the number with udp makes no room for one with tcp.
        wanted = services({**ANY_PORTS, kv: number})
        assert list(ports.problems(wanted, {udp: where}, containers=True)) == [kv]


def test_the_relay_is_in_the_way_of_who_gets_one_of_its_ports() -> None:
    """It is stopped before; but not for ports that it exchanges itself."""
    kv, rest = relay_port("kv"), relay_port("rest")
    has = {kv: Address("127.0.0.1", 18080), rest: Address("127.0.0.1", 18081)}
    exchanged = services({**ANY_PORTS, kv: "18081", rest: "18080"})
    assert ports.in_the_way(exchanged, has) == []
    given = services({**ANY_PORTS, "WIRELAB_RPC_PORT": "18080", kv: "0", rest: "18081"})
    assert ports.in_the_way(given, has) == ["relay"]
    taken = services({**ANY_PORTS, "WIRELAB_RPC_PORT": "0", kv: "18082", rest: "18081"})
    assert ports.in_the_way(taken, {"WIRELAB_RPC_PORT": Address("127.0.0.1", 18082)}) == ["rpc"]


def test_the_list_has_both_ways_to_a_service() -> None:
    """Itself, and through the relay; as URLs where that is of use."""
    where = {
        "WIRELAB_KV_PORT": Address("127.0.0.1", 1),
        "WIRELAB_RELAY_KV_PORT": Address("127.0.0.1", 2),
        "WIRELAB_RPC_PORT": Address("127.0.0.1", 3),
        "WIRELAB_RELAY_PORT": Address("127.0.0.1", 4),
    }
    assert [line.split() for line in listing.addresses(where).splitlines()] == [
        ["server", "directly", "via", "the", "relay"],
        ["kv", "http://127.0.0.1:1/", "http://127.0.0.1:2/"],
        ["rpc", "127.0.0.1:3"],
        ["relay", "127.0.0.1:4"],
    ]


def test_the_list_has_who_does_not_run() -> None:
    """Those that run by default; a variant only where it has been started."""
    states = {"rpc": "Up (healthy)", "kv-single": "Exited (0)"}
    listed = listing.states(states, {"WIRELAB_RPC_PORT": Address("0.0.0.0", 3)}).splitlines()
    assert [line.split()[0] for line in listed[1:]] == sorted(
        [*PORTS, "kv-single"], key=[each.name for each in ALL].index
    )
    assert listed[0].split() == ["server", "state", "directly", "via", "the", "relay"]
    assert "rpc          Up (healthy)  0.0.0.0:3" in listed
    assert "rest         not running" in listed


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        ("Up 59 minutes (unhealthy)", "unhealthy, 59 minutes"),
        ("Up About a minute (healthy)", "healthy, a minute"),
        ("Up Less than a second (health: starting)", "starting, a second"),
        ("Exited (137) 5 hours ago", "Exited (137) 5 hours ago"),
    ],
)
def test_the_list_of_all_variants_fits_a_terminal(status: str, shown: str) -> None:
    """Of 80 columns, however the servers do, on ports of five digits."""
    assert listing.short(status) == shown
    where = {port.setting: Address("127.0.0.1", 20000) for each in ALL for port in each.ports}
    up = {each.name: shown if shown != status else "healthy" for each in ALL}
    assert max(map(len, listing.states(up, where).splitlines())) <= 80
