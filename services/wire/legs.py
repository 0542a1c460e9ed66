"""The packets of both connections that meet in the relay, made from its records.

The relay sees no packets: it receives and sends pieces of streams, and datagrams. What they were,
when, and in which order is what its records say. The rest is made up here: headers, handshakes,
acknowledgments, and the relay's own addresses and ports. The segments that the kernels really
exchanged are in a capture (`make capture`).

On the client's leg the client talks to the relay, on the server's leg the relay to the server. What
was received is on the leg of its sender, what was sent on that of its receiver; so what was lost
is on one leg only, and what was delayed is on one leg later. What the relay has changed is changed
on both.
"""

import zlib
from collections.abc import Iterable, Iterator
from enum import IntEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import NamedTuple

from services.wire import packets
from services.wire.packets import ACK, FIN, PSH, RST, SYN, Endpoint
from services.wire.record import Record

RELAY_PORT = 20  # by default, the relay's ports are those of the services and 20
# Bytes; acknowledgments are otherwise in the packets of the other direction (RFC 9293, 3.8.6.3:
# one for at least every second full-sized segment).
MAX_UNACKNOWLEDGED = 2 * packets.MAX_SEGMENT
# Whose address says nothing gets one for documentation or benchmarks (RFC 3849; RFC 2544, C.2.2).
MADE_UP: dict[int, IPv4Network | IPv6Network] = {
    4: IPv4Network("198.18.0.0/15"),
    6: IPv6Network("2001:db8::/32"),
}

Address = IPv4Address | IPv6Address
Connection = tuple[str, int]  # a proxy, and the number of a connection of it


class Leg(IntEnum):
    """One of the two connections."""

    CLIENT = 0
    SERVER = 1


class Packet(NamedTuple):
    """A packet: when, on which leg, and its bytes; the record that it was made from.

    `first` is whether it is the first packet of this record on this leg, and `carries` whether the
    record's data, or a part of it, is read back from it.
    """

    time: float
    leg: Leg
    data: bytes
    record: Record
    first: bool
    carries: bool


def packets_of(records: Iterable[Record]) -> tuple[list[Packet], dict[Address, str]]:
    """Return the packets of some records of a relay, in order, and the names of addresses.

    ValueError for a record that cannot be right, as its client has no address or port.
    """
    ordered = sorted(records, key=lambda record: record.number)
    network = Network()
    legs = Legs(network)
    found = [packet for event in sorted(_events(ordered)) for packet in legs.packets(event)]
    return found, network.names


class Event(NamedTuple):
    """What a record means for one leg; `forward` is the direction, towards the server."""

    time: float
    order: int
    leg: Leg
    forward: bool
    what: str  # connect, refuse, data, fin, reset
    record: Record


def _events(records: Iterable[Record]) -> Iterator[Event]:
    latest: dict[tuple[Connection, Leg, bool], float] = {}
    copied: set[tuple[Connection, str, int]] = set()
    order = 0
    for record in records:
        of = record.proxy, record.connection
        for noted, leg, forward, what in _meaning(record):
            # A clock that was set back does not change the order of a stream.
            stream = of, leg, forward
            time = max(noted, latest.get(stream, noted)) if record.protocol == "tcp" else noted
            if record.protocol == "tcp":
                latest[stream] = time
            elif forward == (leg == Leg.CLIENT):
                # Each copy of a datagram has a record; it was received once.
                if (of, record.stream, record.offset) in copied:
                    continue
                copied.add((of, record.stream, record.offset))
            order += 1
            yield Event(time, order, leg, forward, what, record)


def _meaning(record: Record) -> Iterator[tuple[float, Leg, bool, str]]:
    """Yield time, leg, direction (towards the server) and event."""
    tcp, upstream = record.protocol == "tcp", record.stream == "upstream"
    sender, receiver = (Leg.CLIENT, Leg.SERVER) if upstream else (Leg.SERVER, Leg.CLIENT)
    match record.kind:
        case "open" if tcp:
            yield record.arrived, Leg.CLIENT, True, "connect"
            if record.left is not None:
                yield record.left, Leg.SERVER, True, "connect"
        case "refused" if tcp:
            yield record.arrived, Leg.SERVER, True, "refuse"
            yield record.arrived, Leg.CLIENT, False, "fin"
        case "close" if tcp:
            yield record.arrived, Leg.CLIENT, False, "fin"
            yield record.arrived, Leg.SERVER, True, "fin"
        case "reset" if tcp and record.actions:  # by the relay, which resets both
            yield record.arrived, Leg.CLIENT, False, "reset"
            yield record.arrived, Leg.SERVER, True, "reset"
        case "data" | "fin" | "reset" if tcp or record.kind == "data":
            yield record.arrived, sender, upstream, record.kind
            if record.left is not None:
                yield record.left, receiver, upstream, record.kind


class Legs:
    """Makes the packets of events, one after the other."""

    def __init__(self, network: "Network") -> None:
        self._network = network
        self._connections: dict[tuple[Connection, int], Tcp] = {}
        self._described: dict[int, Leg] = {}

    def packets(self, event: Event) -> Iterator[Packet]:
        """Yield the packets that an event is on the wire: none if the connection is over."""
        record = event.record
        if record.protocol == "udp":
            ends = self._network.ends(record, event.leg)
            made = [packets.udp(*(ends if event.forward else ends[::-1]), record.data)]
        else:
            made = list(self._tcp(event))
        for number, packet in enumerate(made):
            leg = self._described.setdefault(record.number, event.leg)
            yield Packet(
                event.time,
                event.leg,
                packet,
                record,
                first=number == 0,
                # A record without data is one packet; acknowledgments carry nothing either way.
                carries=leg == event.leg and (number == 0 or packets.payload(packet) != b""),
            )

    def _tcp(self, event: Event) -> Iterator[bytes]:
        record = event.record
        of = record.proxy, record.connection
        connection = self._connections.get((of, event.leg))
        if connection is None:
            if record.kind in ("close", "reset") and (of, 1 - event.leg) in self._connections:
                return iter(())  # this side was never connected
            connection = self._connections[of, event.leg] = Tcp(
                self._network.ends(record, event.leg),
                zlib.crc32(f"{of} {event.leg}".encode()),
            )
        match event.what:
            case "connect":
                return connection.connect()
            case "refuse":
                return connection.refuse()
            case "fin":
                return connection.finish(event.forward)
            case "reset":
                return connection.reset(event.forward)
        return connection.send(event.forward, record.data)


class Tcp:
    """One TCP connection: what was sent so far, and so what the next packet says (RFC 9293, 3).

    `forward` is from the one who connects to the one who listens. After a reset nothing is sent,
    after a FIN nothing in this direction. A connection whose beginning is not known (its records
    are gone) has no handshake.
    """

    def __init__(self, ends: tuple[Endpoint, Endpoint], first: int) -> None:
        self._ends = {True: ends[0], False: ends[1]}
        # The sequence number of the next byte; that of a SYN is the one before the first byte's.
        self._next = {True: first, False: ~first % 2**32}
        self._acknowledged = {True: self._next[True], False: self._next[False]}
        self._open = {True, False}

    def connect(self) -> Iterator[bytes]:
        """Yield the handshake."""
        yield self._packet(True, SYN, before=1)
        yield self._packet(False, SYN | ACK, before=1)
        yield self._packet(True, ACK)

    def refuse(self) -> Iterator[bytes]:
        """Yield the attempt to connect, and the answer of a host where nobody listens."""
        yield self._packet(True, SYN, before=1)
        yield self._packet(False, RST | ACK, before=1)
        self._open.clear()

    def send(self, forward: bool, data: bytes) -> Iterator[bytes]:
        """Yield segments with `data`, the last of them pushed."""
        if forward not in self._open:
            return
        for at in range(0, len(data), packets.MAX_SEGMENT):
            part = data[at : at + packets.MAX_SEGMENT]
            flags = PSH | ACK if at + len(part) == len(data) else ACK
            yield self._packet(forward, flags, part)
            if self._next[forward] - self._acknowledged[forward] >= MAX_UNACKNOWLEDGED:
                yield self._packet(not forward, ACK)

    def finish(self, forward: bool) -> Iterator[bytes]:
        """Yield the end of a direction, and its acknowledgment."""
        if forward not in self._open:
            return
        self._open.remove(forward)
        yield self._packet(forward, FIN | ACK)
        self._next[forward] += 1
        yield self._packet(not forward, ACK)

    def reset(self, forward: bool) -> Iterator[bytes]:
        """Yield a reset, unless the connection is over."""
        if self._open:
            self._open.clear()
            yield self._packet(forward, RST | ACK)

    def _packet(self, forward: bool, flags: int, data: bytes = b"", before: int = 0) -> bytes:
        """Return a packet; `before` is 1 for one that comes in front of the first byte."""
        sequence = self._next[forward] - before
        if flags & ACK:
            self._acknowledged[not forward] = self._next[not forward]
        self._next[forward] += len(data)
        return packets.tcp(
            self._ends[forward],
            self._ends[not forward],
            flags,
            sequence,
            self._next[not forward],
            data,
        )


class Network:
    """Who has which address and port. The relay's own are made up: its records do not say them.

    So are those of hosts that a record names, and of those on the loopback interface, where the
    clients and all servers would be one host.
    """

    def __init__(self) -> None:
        self.names: dict[Address, str] = {}
        self._made_up: dict[tuple[str, str, int], Address] = {}
        self._ports: dict[tuple[object, ...], int] = {}
        self._taken: set[tuple[object, int]] = set()

    def ends(self, record: Record, leg: Leg) -> tuple[Endpoint, Endpoint]:
        """Return the ends of a leg, the one who connects first; ValueError for a bad address."""
        client, client_port = _split(record.client)
        server, server_port = _split(record.server)
        of = record.protocol, record.proxy
        if leg == Leg.CLIENT:
            address = self._address(client, "client")
            relay = self._relay(address.version)
            port = self._port(of, (record.protocol, relay), server_port + RELAY_PORT)
            return Endpoint(address, client_port), Endpoint(relay, port)
        address = self._address(server, record.proxy)
        relay = self._relay(address.version)
        # The client's port where that is free: then one number finds both legs.
        among = record.protocol, relay, address, server_port
        port = self._port((*of, record.connection), among, client_port)
        return Endpoint(relay, port), Endpoint(address, server_port)

    def _address(self, host: str, name: str) -> Address:
        """Return the address of a client or server, and note its name where that helps."""
        try:
            address = ip_address(host)
        except ValueError:
            return self._make_up(host, host, 4)
        if isinstance(address, IPv6Address):
            address = address.ipv4_mapped or IPv6Address(address.packed)  # without its zone
        if address.is_loopback or address.is_unspecified:
            return self._make_up(host, name, address.version)
        if name != "client":  # there may be many, and an address says more
            self.names.setdefault(address, name)
        return address

    def _relay(self, version: int) -> Address:
        return self._make_up("", "relay", version)

    def _make_up(self, host: str, name: str, version: int) -> Address:
        key = host, name, version
        if key not in self._made_up:
            self._made_up[key] = MADE_UP[version][len(self._made_up) + 1]
            self.names[self._made_up[key]] = name
        return self._made_up[key]

    def _port(self, key: tuple[object, ...], among: object, wanted: int) -> int:
        """Return the port of `key`: the one wanted, or the next that is free `among` some."""
        if key not in self._ports:
            while not 0 < wanted < 2**16 or (among, wanted) in self._taken:
                wanted = wanted % (2**16 - 1) + 1
            self._taken.add((among, wanted))
            self._ports[key] = wanted
        return self._ports[key]


def _split(where: str) -> tuple[str, int]:
    host, _, port = where.rpartition(":")
    if not (host and port.isascii() and port.isdigit() and int(port[:6]) < 2**16):
        raise ValueError(f"An address is {where!r}. Not a host and a port (0 to 65535)")
    return host.removeprefix("[").removesuffix("]"), int(port)
