"""Files for Wireshark, made of a relay's records: their packets, and that they are read back.

tests/interop has Wireshark itself look at them.
"""

import random
import struct
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from services.wire import packets, pcapng
from services.wire.legs import Leg, Packet, packets_of
from services.wire.packets import ACK, FIN, PSH, RST, SYN, Endpoint
from services.wire.record import Action, Record

DROPPED = Action("packet_loss_upstream", "packet_loss", 7, 0.03125, "dropped")
SLOW = Action("slow", "latency", 7, None, "delayed by 40 ms")
NAMES = {FIN: "FIN", SYN: "SYN", RST: "RST", PSH: "PSH", ACK: "ACK"}


def records(*parts: dict[str, Any], protocol: str = "tcp", **common: Any) -> list[Record]:
    """Return records, numbered, one a second, each on its way for a tenth of one."""
    made = []
    for number, part in enumerate(parts):
        values = {
            "number": number, "proxy": "rpc", "protocol": protocol, "connection": 1,
            "kind": "data", "stream": "upstream", "offset": 0, "data": b"",
            "arrived": 1_800_000_000.0 + number, "left": 1_800_000_000.1 + number,
            "client": "172.18.0.9:40000", "server": "172.18.0.3:17000", "actions": (),
        }  # fmt: skip
        made.append(Record(**{**values, **common, **part}))
    return made


def whole(**common: Any) -> list[Record]:
    """Return the records of a connection: a request, a reply, and both ends."""
    return records(
        {"kind": "open"},
        {"data": b"ping"},
        {"stream": "downstream", "data": b"pong!"},
        {"kind": "fin", "offset": 4},
        {"kind": "fin", "stream": "downstream", "offset": 5},
        **common,
    )


def segment(packet: Packet) -> tuple[str, int, int, bytes]:
    """Return flags, sequence number, acknowledged number and data of a TCP segment."""
    at = packets.IP_HEADER[packet.data[0] >> 4].size
    _, _, sequence, acknowledged, _, flags, *_ = packets.TCP_HEADER.unpack_from(packet.data, at)
    named = " ".join(name for flag, name in NAMES.items() if flags & flag)
    return named, sequence, acknowledged, packets.payload(packet.data)


def on(leg: Leg, made: list[Packet]) -> Iterator[Packet]:
    """Yield the packets on a leg."""
    return (packet for packet in made if packet.leg == leg)


@pytest.mark.parametrize("leg", Leg)
@pytest.mark.parametrize("host", ["172.18.0.9", "[fd00::9]"], ids=["IPv4", "IPv6"])
def test_a_connection_is_whole_on_both_legs(leg: Leg, host: str) -> None:
    """Handshake, data, and both ends, each byte and flag with its sequence number."""
    made = packets_of(whole(client=f"{host}:40000", server=f"{host}:17000"))[0]
    segments = [segment(packet) for packet in on(leg, made)]
    found = []
    for number, (flags, sequence, acknowledged, data) in enumerate(segments):
        # By the numbers of the two SYNs, as Wireshark shows them.
        mine, other = (0, 1) if number in (0, 2, 3, 5, 8) else (1, 0)
        relative = acknowledged - segments[other][1] if "ACK" in flags else 0
        found.append((flags, (sequence - segments[mine][1]) % 2**32, relative % 2**32, data))
    assert found == [
        ("SYN", 0, 0, b""),
        ("SYN ACK", 0, 1, b""),
        ("ACK", 1, 1, b""),
        ("PSH ACK", 1, 1, b"ping"),
        ("PSH ACK", 1, 5, b"pong!"),
        ("FIN ACK", 5, 6, b""),
        ("ACK", 6, 6, b""),
        ("FIN ACK", 6, 6, b""),
        ("ACK", 6, 7, b""),
    ]


def test_what_is_on_which_leg_and_when() -> None:
    """What was received is on the sender's, what was sent later on the receiver's."""
    made = packets_of(whole())[0]
    data = [
        (packet.leg, round(packet.time - 1_800_000_000, 1), segment(packet)[3])
        for packet in made
        if segment(packet)[3]
    ]
    assert data == [
        (Leg.CLIENT, 1.0, b"ping"),
        (Leg.SERVER, 1.1, b"ping"),
        (Leg.SERVER, 2.0, b"pong!"),
        (Leg.CLIENT, 2.1, b"pong!"),
    ]


def internet_checksum(data: bytes) -> int:
    """Return the folded sum of 16-bit words, as RFC 1071 prints it: 0xFFFF if all is well."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data[: len(data) // 2 * 2]))
    total += data[-1] << 8 if len(data) % 2 else 0
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


@pytest.mark.parametrize("size", [0, 1, 2, 3, 1000, 65_000])
@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("protocol", [packets.TCP, packets.UDP], ids=["TCP", "UDP"])
def test_checksums_are_right(size: int, address: str, protocol: int) -> None:
    """Of the IP header, and of TCP or UDP with the addresses."""
    ends = Endpoint(ip_address(address), 40000), Endpoint(ip_address(address) + 1, 17000)
    data = random.Random(size).randbytes(size)  # noqa: S311 - any bytes
    if protocol == packets.TCP:
        packet = packets.tcp(*ends, PSH | ACK, 2**32 + 1, 5, data)
    else:
        packet = packets.udp(*ends, data)
    version = packet[0] >> 4
    header = packets.IP_HEADER[version].size
    if version == 4:
        assert internet_checksum(packet[:header]) == 0xFFFF
    addresses = packet[12:20] if version == 4 else packet[8:40]
    pseudo = addresses + struct.pack("!HH", protocol, len(packet) - header)
    assert internet_checksum(pseudo + packet[header:]) == 0xFFFF
    assert packets.payload(packet) == data


def test_no_checksum_is_the_value_that_says_there_is_none() -> None:
    """A UDP checksum of 0 is sent as 0xFFFF (RFC 768)."""
    ends = Endpoint(ip_address("192.0.2.1"), 1), Endpoint(ip_address("192.0.2.2"), 2)
    found = {packets.udp(*ends, struct.pack("!H", word))[26:28] for word in range(2**16)}
    assert b"\0\0" not in found
    assert b"\xff\xff" in found


def test_a_large_piece_is_cut_into_segments_that_fit_into_ip() -> None:
    """All of it is there, at least every second segment is acknowledged, the last is pushed."""
    data = random.Random(1).randbytes(300_000)  # noqa: S311 - any bytes
    made = packets_of(records({"kind": "open"}, {"data": data}))[0]
    segments = [segment(packet) for packet in on(Leg.SERVER, made)][3:]
    assert b"".join(part for _, _, _, part in segments) == data
    assert max(len(packet.data) for packet in made) <= 65_535
    assert [flags for flags, *_ in segments] == ["ACK"] * 6 + ["PSH ACK"]
    assert [bool(part) for *_, part in segments] == [True, True, False, True, True, False, True]


def comments(file: bytes) -> list[tuple[int, bytes, list[str]]]:
    """Return for each packet with comments its interface, its payload and these."""
    found = []
    for kind, body in pcapng._blocks(file):
        if kind == pcapng.PACKET:
            leg, _, _, size, _ = pcapng.PACKET_HEADER.unpack_from(body)
            options = pcapng._options(body[20 + size + -size % 4 :])
            said = [value.decode() for code, value in options if code == pcapng.COMMENT]
            if said:
                found.append((leg, packets.payload(body[20 : 20 + size]), said))
    return found


def test_a_lost_datagram_is_on_the_senders_leg_only() -> None:
    """Its comment names the toxic, its type, seed and draw; the others have none."""
    made = records(
        {"data": b"kept"}, {"data": b"lost", "offset": 1, "left": None, "actions": (DROPPED,)},
        {"data": b"", "offset": 2}, protocol="udp",
    )  # fmt: skip
    legs = [(packet.leg, packets.payload(packet.data)) for packet in packets_of(made)[0]]
    assert legs == [
        (Leg.CLIENT, b"kept"), (Leg.SERVER, b"kept"), (Leg.CLIENT, b"lost"),
        (Leg.CLIENT, b""), (Leg.SERVER, b""),
    ]  # fmt: skip
    assert comments(pcapng.encode(made)) == [
        (
            Leg.CLIENT,
            b"lost",
            [
                "packet_loss_upstream: dropped (packet_loss, seed 7, draw 0.0312)",
                "never sent on to the server",
            ],
        )
    ]


def test_a_delay_is_a_comment_on_both_legs_and_on_the_first_packet_of_a_piece() -> None:
    """Whoever looks at one leg only sees it, and sees it once."""
    large = bytes(packets.MAX_SEGMENT + 1)
    made = records({"kind": "open"}, {"data": large, "actions": (SLOW,)})
    found = comments(pcapng.encode(made))
    assert [(leg, len(data)) for leg, data, _ in found] == [(leg, len(large) - 1) for leg in Leg]
    assert [said for _, _, said in found] == [["slow: delayed by 40 ms (latency, seed 7)"]] * 2


def test_a_copy_of_a_datagram_was_received_once() -> None:
    """And sent twice: it has two records."""
    copy = Action("copies", "duplicate", 7, 0.5, "duplicated")
    made = records({"data": b"x"}, {"data": b"x", "actions": (copy,)}, protocol="udp")
    assert [packet.leg for packet in packets_of(made)[0]] == [Leg.CLIENT, Leg.SERVER, Leg.SERVER]
    assert pcapng.decode(pcapng.encode(made)) == made


def test_datagrams_may_overtake_each_other_and_a_stream_never_does() -> None:
    """Also where the clock was set back meanwhile."""
    parts: list[dict[str, Any]] = [
        {"kind": "open"},
        {"data": b"a", "left": 1_800_000_009.0},
        {"data": b"b", "offset": 1},
    ]
    for protocol, expected in (("tcp", [b"a", b"b"]), ("udp", [b"b", b"a"])):
        made = packets_of(records(*parts, protocol=protocol))[0]
        data = [packets.payload(packet.data) for packet in on(Leg.SERVER, made)]
        assert [part for part in data if part] == expected


def test_a_stream_whose_beginning_is_gone() -> None:
    """Older records may have been dropped: there is no handshake, and the numbers go on."""
    made = records({"data": b"abc", "offset": 10**10}, {"data": b"d", "offset": 10**10 + 3})
    first, second = map(segment, on(Leg.CLIENT, packets_of(made)[0]))
    assert (first[3], second[3]) == (b"abc", b"d")
    assert (second[1] - first[1]) % 2**32 == 3


def test_a_reset_ends_a_connection() -> None:
    """One that came from a peer goes through the relay; the relay's own goes to both sides."""
    for actions, sources in ((), [True, True]), ((SLOW,), [False, True]):
        made = records(
            {"kind": "open"}, {"kind": "reset", "actions": actions}, {"data": b"late"},
            {"kind": "fin"}, {"kind": "close"},
        )  # fmt: skip
        last = {leg: [segment(packet) for packet in on(leg, packets_of(made)[0])] for leg in Leg}
        assert [last[leg][-1][0] for leg in Leg] == ["RST ACK", "RST ACK"]
        forward = [last[leg][-1][1] == last[leg][2][1] for leg in Leg]  # the number of the client
        assert forward == sources


def test_a_server_that_refuses_the_connection() -> None:
    """Its host answers with a reset; the relay closes the client's connection."""
    made = packets_of(records({"kind": "open", "left": None}, {"kind": "refused"}))[0]
    flags = {leg: [segment(packet)[0] for packet in on(leg, made)] for leg in Leg}
    assert flags[Leg.SERVER] == ["SYN", "RST ACK"]
    assert flags[Leg.CLIENT] == ["SYN", "SYN ACK", "ACK", "FIN ACK", "ACK"]


def test_closing_ends_what_is_open_and_nothing_else() -> None:
    """The relay's FIN where it has sent none; no packets for a side that was never connected."""
    open_ended = packets_of(records({"kind": "open"}, {"kind": "close"}))[0]
    assert [segment(packet)[0] for packet in open_ended][-4:] == ["FIN ACK", "ACK"] * 2
    assert len(packets_of(whole())[0]) == 18
    assert len(packets_of([*whole(), replace(whole()[0], number=9, kind="close")])[0]) == 18
    made = packets_of(records({"kind": "open", "left": None}, {"kind": "close"}))[0]
    assert {packet.leg for packet in made} == {Leg.CLIENT}


def test_connections_do_not_share_addresses_and_ports() -> None:
    """Whatever the proxies and clients are called: Wireshark would take them for one."""
    made = []
    for number, (proxy, client, server) in enumerate(
        [
            ("a", "127.0.0.1:65535", "127.0.0.1:65535"),
            ("b", "127.0.0.1:65535", "127.0.0.1:65535"),
            ("b", "127.0.0.2:65535", "127.0.0.1:65535"),
            ("a", "172.18.0.2:65535", "rpc:65535"),
            ("a", "172.18.0.3:65535", "rpc:65535"),
        ]
    ):
        (record,) = records({"kind": "open", "number": number})
        made.append(replace(record, proxy=proxy, client=client, server=server, connection=number))
    found = packets_of(made)[0]
    headers = [packet.data[12:24] for packet in found if segment(packet)[0] == "SYN"]
    assert len(headers) == len(set(headers)) == 10


@pytest.mark.parametrize(
    ("client", "server", "names"),
    [
        ("172.18.0.9:1", "172.18.0.3:2", {"172.18.0.3": "rpc", "198.18.0.1": "relay"}),
        ("127.0.0.1:1", "127.0.0.1:2",
         {"198.18.0.1": "client", "198.18.0.2": "relay", "198.18.0.3": "rpc"}),
        ("[::ffff:172.18.0.9]:1", "rpc-coroutines:2",
         {"198.18.0.1": "relay", "198.18.0.2": "rpc-coroutines"}),
        ("[fe80::1%eth0]:1", "[::1]:2", {"2001:db8::1": "relay", "2001:db8::2": "rpc"}),
    ],
    ids=["containers", "processes", "a name", "IPv6"],
)  # fmt: skip
def test_names_of_addresses(client: str, server: str, names: dict[str, str]) -> None:
    """The servers', and of all whose address had to be made up."""
    found = packets_of(records({"data": b"x"}, client=client, server=server))[1]
    assert {str(address): name for address, name in found.items()} == names


def test_everything_is_read_back() -> None:
    """All records that are packets, whatever order they are in, with data, times and actions."""
    made = [
        *whole(actions=(SLOW, DROPPED)),
        *records({"data": bytes(200_000), "number": 5, "connection": 2}),
        *records({"kind": "reset", "number": 6, "connection": 2}),
        *records({"data": b"", "number": 7}, protocol="udp", proxy="☃\0"),
    ]
    shuffled = random.Random(1).sample(made, len(made))  # noqa: S311 - any order
    assert pcapng.decode(pcapng.encode(shuffled)) == made
    assert pcapng.decode(pcapng.encode([])) == []


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"client": "nobody"}, "'nobody'. Not a host and a port"),
        ({"server": "rpc:65536"}, "'rpc:65536'. Not a host and a port"),
        ({"server": "rpc:²"}, "Not a host and a port"),
        ({"data": bytes(65_508), "protocol": "udp"}, "65508 bytes: IP has room for 65507"),
        ({"data": b"x", "proxy": "x" * 70_000}, "bytes: 65535 are possible"),
    ],
    ids=["no port", "no such port", "no number", "too large", "too long a name"],
)
def test_a_record_that_cannot_be_written(part: dict[str, Any], said: str) -> None:
    """The error says what it is."""
    with pytest.raises(ValueError, match=said):
        pcapng.encode(records(part))


def test_of_very_many_actions_the_first_are_read_back() -> None:
    """So that a proxy with very many toxics does not prevent the file."""
    actions = tuple(replace(SLOW, toxic=f"toxic {number}") for number in range(5000))
    made = records({"data": b"x", "actions": actions})
    (found,) = pcapng.decode(pcapng.encode(made))
    assert found == replace(made[0], actions=actions[: len(found.actions)])
    assert len(found.actions) > 100


def test_names_that_toxics_and_proxies_may_have() -> None:
    """Whatever JSON can say: long, empty, half of a surrogate pair."""
    odd = Action("\ud800" + "x" * 2000, "", 0, 1.0, "\n")
    for proxy in ("", "\ud800", "x" * 5000):
        made = records({"data": b"x", "actions": (odd,)}, proxy=proxy)
        assert pcapng.decode(pcapng.encode(made)) == made


def test_damaged_files_are_an_error() -> None:
    """Each is a ValueError that says so, or has records; none is a crash, and none takes long."""
    file = pcapng.encode(whole(actions=(SLOW,)))
    chance = random.Random(1)  # noqa: S311 - the same damage each time
    damaged = [file[:size] for size in range(0, len(file), 7)]
    for _ in range(2000):
        changed = bytearray(file)
        for _ in range(chance.randrange(1, 4)):
            changed[chance.randrange(len(file))] = chance.choice((0, 1, 127, 255, ord('"')))
        damaged.append(bytes(changed))
    failed = 0
    for each in (b"", b"\n\r\r\n", bytes(64), *damaged):
        try:
            assert isinstance(pcapng.decode(each), list)
        except ValueError as error:
            assert str(error).startswith("Not a pcapng file of the relay: ")  # noqa: PT017
            failed += 1
    assert failed > 500
