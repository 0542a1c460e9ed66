"""Where proxies may lead to: the hosts of `WIRELAB_RELAY_UPSTREAMS`, and never to the relay itself.

A proxy that reached its own control could be told anything by whoever uses it (so it was in
mitmproxy, CVE-2025-23217). The name of an upstream is not enough to see that: any name can resolve
to this machine. So the address of each connection is checked too, once it is known.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import NamedTuple, cast

from services import addresses
from services.wire.record import Protocol

CONSOLE = ("console", 8090)
LOCAL = ("localhost", "relay", "")  # names that stand for this machine
Ports = set[int]


class Default(NamedTuple):
    """Where a proxy leads from the start; None is the protocol of the service of its name."""

    upstream: str
    protocol: Protocol | None = None


@dataclass
class Upstreams:
    """The hosts that are allowed, `defaults` by their proxies' names, and the ports of our own."""

    hosts: frozenset[str]
    defaults: Mapping[str, Default]
    own: Ports = field(default_factory=set)

    def problem(self, upstream: str) -> str:
        """Return why a proxy may not lead to `host:port`, or nothing; ValueError if it is none."""
        host, port = addresses.split(upstream)
        if host.lower() not in self.hosts:
            return (
                f"upstream {upstream!r} is not allowed:"
                f" WIRELAB_RELAY_UPSTREAMS has no host {host!r}"
            )
        local = host.lower() in LOCAL or is_loopback(host)
        if (local and port in {*self.own, CONSOLE[1]}) or host.lower() == CONSOLE[0]:
            return f"upstream {upstream!r} is not allowed: it is the relay's own, or the console's"
        return ""

    def check(self, here: tuple[str, int], there: tuple[str, int]) -> None:
        """Raise PermissionError if a connection from `here` to `there` leads back to the relay."""
        (host, _), (peer, port) = here[:2], there[:2]
        if port in {*self.own, CONSOLE[1]} and (host == peer or is_loopback(peer)):
            raise PermissionError(f"{addresses.join(peer, port)} is the relay's own")


def is_loopback(host: str) -> bool:
    """Whether it is an address that stands for this machine."""
    try:
        address = ip_address(addresses.unmapped(host))
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def parse(text: str) -> Upstreams:
    """Parse words with spaces between them: `name=host:port`, and hosts that are allowed too.

    With /udp or /tcp behind the port a proxy is one of that protocol.
    """
    defaults, hosts = {}, set()
    for word in text.split():
        name, equals, place = word.rpartition("=")
        if equals:
            place, slash, protocol = place.partition("/")
            if not name or name in defaults or (slash and protocol not in ("tcp", "udp")):
                raise ValueError(f"name=host:port or name=host:port/udp, each name once: {word!r}")
            host, _ = addresses.split(place)
            defaults[name] = Default(place, cast("Protocol", protocol) if slash else None)
            hosts.add(host.lower())
        else:
            with suppress(ValueError):
                word, _ = addresses.split(word)  # noqa: PLW2901 - the port makes no difference
            hosts.add(word.lower())
    return Upstreams(frozenset(hosts), defaults)


def split(listen: str, default_host: str) -> tuple[str, int]:
    """Parse where a proxy listens: host:port, :port or nothing; port 0 is for any free one."""
    host, colon, port = listen.rpartition(":")
    if listen and (not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535):
        raise ValueError(f"listen has value {listen!r}. Not host:port")
    return host.removeprefix("[").removesuffix("]") or default_host, int(port or 0)
