"""Where the clients look for the services."""

import pytest

from clients.addresses import (
    BEYOND,
    DISCOVERY,
    PORTS,
    Address,
    address,
    known,
    through_relay,
    variable,
    variables,
)
from services.relay.server import PROXIES


@pytest.mark.parametrize("service", PORTS)
def test_a_service_is_on_loopback_unless_said_otherwise(service: str) -> None:
    """Unset and empty both mean that."""
    for environ in ({}, {variable(service): ""}):
        assert address(service, environ) == Address("127.0.0.1", PORTS[service])


@pytest.mark.parametrize("service", PORTS)
def test_with_dns_a_service_is_the_host_of_its_name(service: str) -> None:
    """A variable of its own goes first."""
    environ = {DISCOVERY: "dns"}
    assert address(service, environ) == Address(service, PORTS[service])
    assert known(f"{service}-single", service, environ) == (f"{service}-single", PORTS[service])
    assert address(service, {**environ, variable(service): "there:1"}) == Address("there", 1)


def test_another_way_to_find_servers_is_an_error_that_names_it() -> None:
    """The message has variable and value."""
    with pytest.raises(ValueError, match=r"WIRELAB_DISCOVERY has value 'mdns'\. Not 'dns'"):
        address("kv", {DISCOVERY: "mdns"})


def test_the_variable_is_named_after_the_service() -> None:
    """With underscores, as shells want it."""
    assert variable("object-echo") == "WIRELAB_OBJECT_ECHO_ADDRESS"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("kv:15000", Address("kv", 15000)),
        ("10.0.0.1:1", Address("10.0.0.1", 1)),
        ("kv.lab.example:65535", Address("kv.lab.example", 65535)),
        ("[::1]:15000", Address("::1", 15000)),
        ("[fe80::1%eth0]:15000", Address("fe80::1%eth0", 15000)),
    ],
)
def test_an_address_is_host_and_port(value: str, expected: Address) -> None:
    """It is written as it is read."""
    assert address("kv", {"WIRELAB_KV_ADDRESS": value}) == expected
    assert str(expected) == value


@pytest.mark.parametrize(
    "value",
    [
        "kv", "kv:", ":15000", "15000", "kv:http", "kv:0", "kv:65536", "kv:-1", "kv: 1",
        "[]:1", "[kv]:1", "[::1]", "[::1]15000",
    ],
)  # fmt: skip
def test_anything_else_is_an_error_that_names_it(value: str) -> None:
    """The message has variable and value."""
    with pytest.raises(ValueError, match="Not a host:port") as caught:
        address("kv", {"WIRELAB_KV_ADDRESS": value})
    assert str(caught.value).startswith(f"WIRELAB_KV_ADDRESS has value {value!r}. Not a host:port")


@pytest.mark.parametrize("value", ["::1", "::1:15000", "fe80::1%eth0:15000"])
def test_an_ipv6_address_without_brackets_is_ambiguous(value: str) -> None:
    """What follows the last colon may be a port, or belong to the address."""
    with pytest.raises(ValueError, match="an IPv6 address has to stand in brackets"):
        address("kv", {"WIRELAB_KV_ADDRESS": value})


@pytest.mark.parametrize("service", PROXIES)
def test_through_the_relay_a_service_is_where_its_control_is(service: str) -> None:
    """On the port that the relay listens on for it, unless said otherwise."""
    port, _ = PROXIES[service]
    assert port == PORTS[service] + BEYOND
    for environ, host in (
        ({}, "127.0.0.1"),
        ({DISCOVERY: "dns"}, "relay"),
        ({"WIRELAB_RELAY_ADDRESS": "10.0.0.9:8474"}, "10.0.0.9"),
    ):
        assert through_relay(service, environ) == Address(host, port)
    said = variables({}, {service: Address("there", 1)})
    assert through_relay(service, said) == Address("there", 1)


def test_a_bad_way_through_the_relay_is_named() -> None:
    """With its variable."""
    with pytest.raises(ValueError, match=r"WIRELAB_RELAY_RPC_ADDRESS has value 'x'\. Not a host"):
        through_relay("rpc", {"WIRELAB_RELAY_RPC_ADDRESS": "x"})
