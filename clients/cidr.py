"""CIDR: the addresses of a network, counted, indexed, divided and walked, without listing them.

`ipaddress` computes an address when it is asked for. So a /8 or an IPv6 /64 answers at once,
and is only ever walked as far as someone reads.
"""

import errno
import fcntl
import ipaddress
import os
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from clients.addresses import PORTS, Address, address
from clients.checks import Check, expect
from clients.client import client

if TYPE_CHECKING:
    import argparse

SERVICE = "cidr"
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

# ioctl requests, netdevice(7)
SIOCGIFADDR = 0x8915
SIOCGIFNETMASK = 0x891B

SWEEP_LIMIT = 256  # addresses; an engine gives them out from the bottom of the network
SWEEP_THREADS = 32
KNOCK_TIMEOUT = 0.3  # seconds; the lab's network is a bridge in one machine
SERVICE_TIMEOUT = 1.0  # seconds


def network(text: str) -> Network:
    """Return the network that `text` names; ValueError says what is wrong with it.

    Bits set after the prefix are refused: "123.45.67.65/26" names an address in a network.
    """
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        try:
            meant = ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise ValueError(f"{text!r} is not a network in CIDR notation: {error}") from None
        raise ValueError(f"{text!r} has host bits set; its network is {meant}") from None


def at(net: Network, index: int) -> IPAddress:
    """Return the address at `index`, from the end where negative; IndexError outside."""
    if not -net.num_addresses <= index < net.num_addresses:
        raise IndexError(f"{net} has {net.num_addresses:,} addresses, and none at index {index:,}")
    return net[index]


def ip_of(host: str) -> IPAddress:
    """Return the address of a host, the IPv4 one where it has both; raises OSError for none."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    _, *_, where = min(found, key=lambda each: each[0])  # AF_INET is 2, and AF_INET6 is 10
    return ipaddress.ip_address(where[0])


def lab_network() -> Network:
    """Return the network that the lab is on, the only one that may be swept.

    It is the one of the interface that `WIRELAB_INTERFACE` names, which compose.yaml sets in the
    clients container; elsewhere it is nothing but the address that tcp-echo has.
    """
    interface = os.environ.get("WIRELAB_INTERFACE")
    if not interface:
        return ipaddress.ip_network(ip_of(address("tcp-echo").host))
    request = struct.pack("256s", interface.encode()[:15])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        try:
            # A struct ifreq: 16 bytes of name, then a sockaddr_in with the address at 4.
            ip, mask = (
                socket.inet_ntoa(fcntl.ioctl(any_socket, code, request)[20:24])
                for code in (SIOCGIFADDR, SIOCGIFNETMASK)
            )
        except OSError as error:
            raise ValueError(
                f"WIRELAB_INTERFACE has value {interface!r}. Not an interface with an IPv4 address"
                f" ({error.strerror})"
            ) from None
    return ipaddress.IPv4Network(f"{ip}/{mask}", strict=False)


@dataclass(frozen=True)
class Found:
    """A service that answered in its own protocol, and how long that took in seconds."""

    service: str
    address: Address
    seconds: float


def sweep(
    net: Network, limit: int = SWEEP_LIMIT, progress: Callable[[str], object] = lambda _: None
) -> Iterator[Found]:
    """Walk the first `limit` addresses of `net` and yield the services found there.

    Raises ValueError unless `net` is in the lab's own network: knocking on the doors of others
    is not for a lab to do. `progress` is called with each address walked.
    """
    own = lab_network()
    if net.version != own.version or not net.subnet_of(own):  # type: ignore[arg-type]
        raise ValueError(f"{net} is not in the lab's own network, {own}; no other one is swept")
    hosts = islice(net, limit)
    with ThreadPoolExecutor(SWEEP_THREADS) as threads:
        # In batches: map() reads all that it is given before it returns, and a /8 is too much.
        while batch := [str(ip) for ip in islice(hosts, SWEEP_THREADS)]:
            for ip, services in zip(batch, threads.map(services_at, batch), strict=True):
                progress(ip)
                yield from services


def services_at(ip: str) -> list[Found]:
    """Return the services that answer at an address."""
    found = []
    for service in PORTS if is_up(ip) else ():
        where = Address(ip, address(service).port)
        started = time.perf_counter()
        try:
            client(service).health(where, SERVICE_TIMEOUT)
        except (Exception, SystemExit):  # noqa: BLE001, S112 - so this one is not there
            continue
        found.append(Found(service, where, time.perf_counter() - started))
    return found


def is_up(ip: str) -> bool:
    """Whether anything has this address: even its refusal of a connection says so."""
    with socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET) as probe:
        probe.settimeout(KNOCK_TIMEOUT)
        return probe.connect_ex((ip, 1)) in (0, errno.ECONNREFUSED)


def check_networks(_address: Address) -> None:
    """Hold the arithmetic to known networks."""
    net = network("123.45.67.64/31")
    expect("its addresses", [str(ip) for ip in net], ["123.45.67.64", "123.45.67.65"])
    expect("the last of them", str(at(net, -1)), "123.45.67.65")
    net6 = network("12:3456:78:90ab:cd:ef01:23:30/124")
    expect("the size of a /124", net6.num_addresses, 16)
    expect("membership", ipaddress.ip_address("12:3456:78:90ab:cd:ef01:23:3f") in net6, True)


def check_large(_address: Address) -> None:
    """Hold it to large networks, which nobody has the memory to list."""
    expect("addresses in a /8", network("10.0.0.0/8").num_addresses, 2**24)
    expect("the last of a /64", str(at(network("fd00::/64"), -1)), "fd00::ffff:ffff:ffff:ffff")
    expect(
        "the first subnets of a /8",
        [str(net) for net in islice(network("10.0.0.0/8").subnets(new_prefix=24), 2)],
        ["10.0.0.0/24", "10.0.1.0/24"],
    )


def check_sweep(_address: Address) -> None:
    """Hold the lab's own network to having the services that have an address in it."""
    net = lab_network()
    hosts = {service: ip_of(address(service).host) for service in PORTS}
    wanted = {service: ip for service, ip in hosts.items() if ip in net}
    # From the bottom, but a swarm gives each new replica the next address.
    highest = max((int(ip) - int(net.network_address) for ip in wanted.values()), default=0)
    found = {found.service for found in sweep(net, limit=min(max(64, highest + 1), SWEEP_LIMIT))}
    expect("the services found", sorted(found), sorted(wanted))


CHECKS = (
    Check("networks of IPv4 and IPv6", check_networks),
    Check("a /8 and a /64 at once", check_large),
    Check("a sweep of its network finds the services", check_sweep),
)


def configure(parser: "argparse.ArgumentParser") -> None:
    """Describe the subcommand's arguments."""
    from clients.cli.options import number_from

    parser.epilog = (
        "try:\n"
        "  clients cidr 123.45.67.64/27\n"
        "  clients cidr 10.0.0.0/8 --list --limit 3\n"
        "  clients cidr 10.0.0.0/8 --subnets 24 --limit 3\n"
        "  clients cidr fd00::/64 --at -1\n"
        "  clients cidr 10.0.0.0/8 --contains 10.1.2.3\n"
        "  clients cidr --sweep"
    )
    parser.add_argument("network", nargs="?", help="a network such as 10.1.0.0/16 or fd00::/64")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--list", action="store_true", help="print the addresses, first to last")
    what.add_argument("--at", type=int, metavar="INDEX", help="print one address; -1 is the last")
    what.add_argument("--contains", metavar="ADDRESS", help="say whether an address is in it")
    what.add_argument(
        "--subnets", type=number_from(0, 128), metavar="PREFIX", help="divide it into networks"
    )
    what.add_argument(
        "--sweep",
        action="store_true",
        help="walk the lab's own network, or the part of it given, and name the services there",
    )
    parser.add_argument(
        "--limit",
        type=number_from(1, 2**32),
        metavar="N",
        help=f"stop after so many addresses or subnets (default with --sweep: {SWEEP_LIMIT})",
    )


def command(options: "argparse.Namespace", _address: Address) -> None:
    """Answer one question about a network, or walk the lab's own."""
    if options.sweep:
        report_sweep(options)
        return
    if options.network is None:
        raise ValueError("a network is needed, such as 10.1.0.0/16, or --sweep")
    net = network(options.network)
    if options.list:
        print_each(islice(net, options.limit))
    elif options.at is not None:
        print(at(net, options.at))
    elif options.contains is not None:
        print("yes" if ipaddress.ip_address(options.contains) in net else "no")
    elif options.subnets is not None:
        if not net.prefixlen <= options.subnets <= net.max_prefixlen:
            raise ValueError(
                f"--subnets has value {options.subnets}. Not a prefix in {net}"
                f" ({net.prefixlen} to {net.max_prefixlen})"
            )
        print_each(islice(net.subnets(new_prefix=options.subnets), options.limit))
    else:
        print(f"network    {net}")
        print(f"addresses  {net.num_addresses:,}")
        print(f"first      {net[0]}")
        print(f"last       {net[-1]}")
        print(f"netmask    {net.netmask}")


def print_each(values: Iterator[object]) -> None:
    """Print values, a line each, as long as somebody reads (`| head`)."""
    for value in values:
        print(value)


def report_sweep(options: "argparse.Namespace") -> None:
    """Sweep, print what is found as it is found, and say how far the walk went."""
    net = network(options.network) if options.network else lab_network()
    limit = options.limit or SWEEP_LIMIT
    walked = min(limit, net.num_addresses)
    count = 0

    def progress(ip: str) -> None:
        nonlocal count
        count += 1
        if sys.stderr.isatty():
            print(f"\r{count}/{walked} {ip:15}", end="\r", file=sys.stderr, flush=True)

    for found in sweep(net, limit, progress):
        print(f"{found.address!s:21} {found.service:12} {1000 * found.seconds:.1f} ms", flush=True)
    print(f"{count:,} of {net.num_addresses:,} addresses of {net} walked")
