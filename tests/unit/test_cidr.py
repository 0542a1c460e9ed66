"""CIDR: networks of any size, and the sweep of the lab's own."""

import argparse
import ipaddress
import tracemalloc
from collections.abc import Callable
from itertools import islice

import pytest

from clients import cidr
from clients.addresses import PORTS, Address, variable
from clients.checks import WrongAnswer
from clients.cidr import Found, at, lab_network, network, services_at, sweep
from tests.support.sockets import closed_port

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("123.45.67.64/32", ["123.45.67.64"]),
        ("123.45.67.64/31", ["123.45.67.64", "123.45.67.65"]),
        ("123.45.67.64/30", [f"123.45.67.{n}" for n in range(64, 68)]),
        ("123.45.67.64/26", [f"123.45.67.{n}" for n in range(64, 128)]),
        ("12:3456:78:90ab:cd:ef01:23:30/128", ["12:3456:78:90ab:cd:ef01:23:30"]),
        (
            "12:3456:78:90ab:cd:ef01:23:30/127",
            ["12:3456:78:90ab:cd:ef01:23:30", "12:3456:78:90ab:cd:ef01:23:31"],
        ),
        (
            "12:3456:78:90ab:cd:ef01:23:30/124",
            [f"12:3456:78:90ab:cd:ef01:23:3{digit}" for digit in "0123456789abcdef"],
        ),
    ],
)
def test_a_network_is_its_addresses(text: str, addresses: list[str]) -> None:
    """Counted, listed, indexed from both ends, and asked for membership."""
    net = network(text)
    assert net.num_addresses == len(addresses)
    assert [str(address) for address in net] == addresses
    assert [str(at(net, index)) for index in range(len(addresses))] == addresses
    assert (str(at(net, -1)), str(at(net, -len(addresses)))) == (addresses[-1], addresses[0])
    assert all(ipaddress.ip_address(address) in net for address in addresses)
    assert ipaddress.ip_address("123.45.67.63") not in net


LARGE: dict[str, Callable[[Network], object]] = {
    "the last": lambda net: at(net, -1),
    "one in the middle": lambda net: at(net, net.num_addresses // 2),
    "the first few": lambda net: list(islice(net, 3)),
    "membership": lambda net: net[7] in net,
    "the first subnets": lambda net: list(islice(net.subnets(prefixlen_diff=8), 3)),
}


@pytest.mark.parametrize("text", ["10.0.0.0/8", "0.0.0.0/0", "fd00::/64", "::/0"])
@pytest.mark.parametrize("question", LARGE.values(), ids=LARGE)
def test_a_large_network_costs_no_memory(text: str, question: Callable[[Network], object]) -> None:
    """Nothing is listed to answer a question about it."""
    tracemalloc.start()
    try:
        assert question(network(text))
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("index", [2, -3, 10**30])
def test_an_index_outside_is_an_error_that_says_so(index: int) -> None:
    """The message has the size of the network."""
    with pytest.raises(IndexError, match=f"has 2 addresses, and none at index {index:,}$"):
        at(network("10.0.0.0/31"), index)


def test_host_bits_are_refused_with_the_network_that_was_meant() -> None:
    """An address in a network is not a network."""
    with pytest.raises(ValueError, match=r"has host bits set; its network is 123\.45\.67\.64/26$"):
        network("123.45.67.65/26")


@pytest.mark.parametrize("text", ["", "10.0.0.0/33", "::/129", "10.0.0/8", "lab", "10.0.0.0/-1"])
def test_what_is_no_network_is_refused(text: str) -> None:
    """The message quotes it."""
    with pytest.raises(ValueError, match="is not a network in CIDR notation") as caught:
        network(text)
    assert str(caught.value).startswith(repr(text))


@pytest.fixture
def _outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be on the host: no interface is named."""
    monkeypatch.delenv("WIRELAB_INTERFACE", raising=False)


@pytest.mark.usefixtures("_outside")
def test_on_the_host_the_lab_is_one_address() -> None:
    """Servers without containers listen there."""
    assert lab_network() == ipaddress.ip_network("127.0.0.1/32")


def test_in_a_container_the_lab_is_the_network_of_its_interface(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Address and mask are those that the kernel has for it."""
    monkeypatch.setenv("WIRELAB_INTERFACE", "lo")
    assert lab_network() == ipaddress.ip_network("127.0.0.0/8")


def test_an_interface_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """So is the variable."""
    monkeypatch.setenv("WIRELAB_INTERFACE", "none0")
    with pytest.raises(ValueError, match=r"^WIRELAB_INTERFACE has value 'none0'\. Not an inter"):
        lab_network()


@pytest.mark.usefixtures("_outside")
@pytest.mark.parametrize("text", ["10.0.0.0/8", "127.0.0.0/8", "127.0.0.2/32", "::1/128"])
def test_no_other_network_is_swept(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Not even the lab's with something around it; nobody is knocked at."""
    monkeypatch.setattr(cidr, "services_at", lambda _: pytest.fail("knocked"))
    with pytest.raises(ValueError, match="is not in the lab's own network, 127"):
        next(sweep(network(text)))


def test_a_sweep_walks_no_further_than_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lab as large as a /8 does not matter, and what is found comes in order."""
    monkeypatch.setenv("WIRELAB_INTERFACE", "lo")

    def one_each(ip: str) -> list[Found]:
        return [Found("rest", Address(ip, 8080), 0.1)]

    monkeypatch.setattr(cidr, "services_at", one_each)
    walked: list[str] = []
    found = list(sweep(network("127.0.0.0/8"), limit=70, progress=walked.append))
    assert walked == [f"127.0.0.{n}" for n in range(70)]
    assert [service.address.host for service in found] == walked


def test_a_service_is_found_only_if_it_answers_as_it_should(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that refuses, one that is silent and one that answers wrongly are not named."""
    outcomes: dict[str, BaseException | None] = dict.fromkeys(PORTS, ConnectionRefusedError())
    outcomes |= {"rest": None, "kv": WrongAnswer("x"), "rpc": EOFError(), "httpbin": TimeoutError()}
    outcomes |= {"udp-time": None}

    def client(service: str) -> object:
        class Client:
            @staticmethod
            def health(where: Address, timeout: float) -> None:
                assert (where.host, timeout) == ("127.0.0.1", cidr.SERVICE_TIMEOUT)
                if error := outcomes[service]:
                    raise error

        return Client

    monkeypatch.setattr(cidr, "client", client)
    monkeypatch.setattr(cidr, "is_up", lambda _: True)
    for service in PORTS:
        monkeypatch.delenv(variable(service), raising=False)
    found = services_at("127.0.0.1")
    assert [(one.service, one.address.port) for one in found] == [
        ("udp-time", 20000),
        ("rest", 8080),
    ]


def test_an_address_that_refuses_a_connection_is_up() -> None:
    """A refusal comes from somebody; port 1 of loopback has nobody else."""
    with closed_port():
        assert cidr.is_up("127.0.0.1")


@pytest.mark.parametrize("arguments", [["--list"], ["--subnets", "26"]], ids=["list", "subnets"])
def test_only_what_is_printed_is_made(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Two of a million addresses do not take the memory of a million."""
    parser = argparse.ArgumentParser()
    cidr.configure(parser)
    options = parser.parse_args(["10.0.0.0/12", *arguments, "--limit", "2"])
    tracemalloc.start()
    try:
        cidr.command(options, Address("127.0.0.1", 1))
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert len(capsys.readouterr().out.splitlines()) == 2
