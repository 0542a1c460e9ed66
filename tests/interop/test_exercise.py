"""The whole exercise through the relay: Wireshark and the lab read the same of what it recorded."""

import pickle
import re
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from clients.addresses import BEYOND, PORTS
from clients.relay import Relay
from lab.stack import Stack
from lab.testing.network import RECORDS
from services.connection.frames import HEADER
from services.relay.server import PROXIES
from services.wire import pcapng, pickle_opcodes
from services.wire.conversation import Conversation, conversations
from services.wire.event import Event
from services.wire.legs import Leg
from services.wire.record import Record, Stream
from tests.interop.test_wireshark import DANGEROUS
from tests.interop.tshark import Tshark
from tests.interop.wireshark_page import Evil
from tests.support.clients import stock
from tests.support.pace import FAR, until

STREAMS: tuple[Stream, Stream] = ("upstream", "downstream")
HTTP = ("rest", "kv", "httpbin")
OBJECTS = ("object-echo", "rpc")
ENDS = ("close", "reset", "refused")
# Wireshark guesses what is on ports that it does not know.
AS_HTTP = [
    word
    for service in HTTP
    for port in (PORTS[service], PORTS[service] + BEYOND)
    for word in ("-d", f"tcp.port=={port},http")
]


@pytest.fixture(scope="module")
def file(stack: Stack, key: bytes) -> bytes:
    """Exercise everything, with a delay each way, and send a pickle that would run a command."""
    relay = Relay(stack.address("relay"), FAR)
    for service in PROXIES:
        for stream in STREAMS:
            relay.add_toxic(service, "latency", stream, latency=1)
    try:
        with recording(relay) as records:
            arguments = ("clients", "--json", "--via", "relay")
            done = stack.run("run", "--rm", "--no-TTY", *arguments, capture=True)
            assert done.returncode == 0, done.stdout + done.stderr
            with stock(stack.relayed()["object-echo"], key) as client:
                client.send_bytes(pickle.dumps(Evil()))
                assert "not plain data" in client.recv()["error"]
    finally:
        relay.reset()
    return pcapng.encode(records)


@contextmanager
def recording(relay: Relay) -> Iterator[list[Record]]:
    """Lend the records of what passes while the body runs, and of how its connections end.

    They are read meanwhile: in the end the journal has no more than the last of them.
    """
    records: list[Record] = []
    first = int(relay.metrics()[RECORDS]) + 1
    stopping = threading.Event()

    def read() -> list[Record]:
        records.extend(relay.journal(first + len(records)))
        return records

    def follow() -> None:
        while not stopping.wait(0.02):
            read()

    reader = threading.Thread(target=follow)
    reader.start()
    try:
        yield records
    finally:
        stopping.set()
        reader.join()
    until(lambda: unended(read()) == 0, "all connections end", every=0.1)
    assert [each.number for each in records] == [*range(first, first + len(records))]


def unended(records: list[Record]) -> int:
    """Return how many TCP connections have not ended; those of UDP never do."""
    kinds = [each.kind for each in records if each.protocol == "tcp"]
    return kinds.count("open") - sum(kind in ENDS for kind in kinds)


@pytest.fixture(scope="module")
def records(file: bytes) -> list[Record]:
    """Return the records as the lab reads them back."""
    return pcapng.decode(file)


@pytest.fixture(scope="module")
def ours(records: list[Record]) -> list[Conversation]:
    """Return the conversations as the lab decodes them."""
    return list(conversations(records))


def on(leg: Leg, services: tuple[str, ...], protocol: str = "tcp") -> str:
    """Return a display filter for what is sent to and from some services, on a leg."""
    ports = [port_of(service, leg) for service in services]
    return f"frame.interface_id == {leg:d} && {protocol}.port in {{{','.join(map(str, ports))}}}"


def port_of(service: str, leg: Leg) -> int:
    """Return the port that who connects on this leg connects to."""
    return PORTS[service] + (BEYOND if leg == Leg.CLIENT else 0)


def direction(leg: Leg, source: str) -> Stream:
    """Return which way a packet goes, by its source port: those of clients are others."""
    ports = {str(port_of(service, leg)) for service in PROXIES}
    return "downstream" if source in ports else "upstream"


def payloads(records: list[Record], number: int, proxy: str, stream: Stream) -> list[bytes]:
    """Return what one side of a connection has sent, piece by piece."""
    return [
        each.data
        for each in records
        if (each.connection, each.proxy, each.stream, each.kind) == (number, proxy, stream, "data")
    ]


def messages(conversation: Conversation, stream: Stream) -> list[Event]:
    """Return what one side has said: all of it."""
    assert conversation.left_out == 0
    found = [each for each in conversation.events if each.kind == "message"]
    return [each for each in found if each.stream == stream]


def test_all_services_were_exercised(ours: list[Conversation]) -> None:
    """And some are more than one connection."""
    counts = Counter(each.service for each in ours)
    assert set(counts) == set(PROXIES)
    assert counts["tcp-echo"] > 50
    assert not any("not recorded" in event.summary for each in ours for event in each.events)


@pytest.mark.parametrize("leg", Leg, ids=["client's leg", "server's leg"])
def test_both_read_the_same_bytes(
    tshark: Tshark, file: bytes, records: list[Record], leg: Leg
) -> None:
    """Of each TCP connection with tcp-echo, in both directions."""
    theirs: dict[tuple[str, Stream], str] = defaultdict(str)
    for (source,), (stream,), payload in tshark.fields(
        file, f"tcp.len > 0 && {on(leg, ('tcp-echo',))}", "tcp.srcport", "tcp.stream", "tcp.payload"
    ):  # fmt: skip
        theirs[stream, direction(leg, source)] += payload[0]
    connections = {each.connection for each in records if each.proxy == "tcp-echo"}
    sent = [
        b"".join(payloads(records, number, "tcp-echo", stream)).hex()
        for number in connections
        for stream in STREAMS
    ]
    assert sorted(theirs.values()) == sorted(filter(None, sent))


@pytest.mark.parametrize("leg", Leg, ids=["client's leg", "server's leg"])
def test_both_read_the_same_datagrams(
    tshark: Tshark, file: bytes, ours: list[Conversation], leg: Leg
) -> None:
    """Which way each went, its size, and what it says: an ID, or nothing."""
    theirs: Counter[tuple[Stream, int, str]] = Counter()
    for (source,), payload in tshark.fields(
        file, on(leg, ("udp-time",), "udp"), "udp.srcport", "udp.payload"
    ):
        data = bytes.fromhex("".join(payload))
        way = direction(leg, source)
        # An answer is the time, which has 24 characters, behind the ID if there was one.
        name = data if way == "upstream" else data[:-24].rstrip()
        theirs[way, len(data), name.decode()] += 1
    assert theirs == Counter(
        (event.stream, event.size, event.name)
        for each in ours
        if each.service == "udp-time"
        for event in each.events
        if event.kind == "message"
    )
    assert theirs.total() > 40


@pytest.mark.parametrize("leg", Leg, ids=["client's leg", "server's leg"])
@pytest.mark.parametrize("service", HTTP)
def test_both_read_the_same_requests_and_responses(
    tshark: Tshark, file: bytes, ours: list[Conversation], service: str, leg: Leg
) -> None:
    """Of each connection, in order: method and target, status and reason."""
    theirs: dict[tuple[str, Stream], list[str]] = defaultdict(list)
    fields = ("http.request.method", "http.request.uri", "http.response.code",
              "http.response.phrase")  # fmt: skip
    for (stream,), methods, targets, codes, reasons in tshark.fields(
        file, f"http && {on(leg, (service,))}", "tcp.stream", *fields, more=AS_HTTP
    ):
        if methods:  # Wireshark repeats the target where it shows the response
            theirs[stream, "upstream"] += map(" ".join, zip(methods, targets, strict=True))
        theirs[stream, "downstream"] += map(" ".join, zip(codes, reasons, strict=True))
    mine = [
        [start_line(event.summary) for event in messages(each, stream)]
        for each in ours
        if each.service == service
        for stream in STREAMS
    ]
    assert sorted(list(map(start_line, each)) for each in theirs.values()) == sorted(mine)
    assert sum(map(len, mine)) > 15


def start_line(summary: str) -> str:
    """Return the beginning of a line that says what a message is: the part that both have."""
    return re.split(r", |: |,$", summary)[0][:150]


def test_both_read_the_same_calls(tshark: Tshark, file: bytes, ours: list[Conversation]) -> None:
    """Of XML-RPC: which methods were called, and how many of them had a fault."""

    def first_text(tag: str) -> list[str]:
        """Return the first text of each document with an element of this name."""
        shown = f'xml.tag == "<{tag}>" && {on(Leg.CLIENT, ("kv",))}'
        options = [*AS_HTTP, "-E", "occurrence=f"]
        rows = tshark.fields(file, shown, "frame.number", "xml.cdata", more=options)
        return [text[0] if text else "" for _, text in rows]

    summaries = [event.summary for each in ours if each.service == "kv" for event in each.events]
    calls = [found[1] for each in summaries if (found := re.match(r"POST /RPC2: (\S+)\(", each))]
    assert calls == first_text("methodName")
    assert {"set", "get", "compare_and_set"} <= set(calls)
    faults = sum(each.startswith("200 OK: fault ") for each in summaries)
    assert faults == len(first_text("fault")) > 0
    assert len(first_text("methodResponse")) == len(calls)


@dataclass(order=True)
class Said:
    """What one side of a connection has said by multiprocessing.connection."""

    sizes: list[int] = field(default_factory=list)  # of messages, without their header
    kinds: list[str] = field(default_factory=list)
    opcodes: list[tuple[int, str]] = field(default_factory=list)  # their positions and names
    marked: list[str] = field(default_factory=list)  # names of those that import or call


@pytest.mark.parametrize("leg", Leg, ids=["client's leg", "server's leg"])
@pytest.mark.parametrize("service", OBJECTS)
def test_both_read_the_same_messages_and_opcodes(
    tshark: Tshark, file: bytes, records: list[Record], ours: list[Conversation], service: str,
    leg: Leg,
) -> None:  # fmt: skip
    """Each frame, what it is, each opcode of its pickle, and which of them import or call."""
    theirs: dict[tuple[str, Stream], Said] = defaultdict(Said)
    for (stream,), (source,), *found in tshark.fields(
        file, f"mpconn && {on(leg, (service,))}", "tcp.stream", "tcp.srcport", "mpconn.length",
        "mpconn.kind", "pickle.position", "pickle.opcode", "_ws.expert.message",
    ):  # fmt: skip
        sizes, kinds, positions, names, warnings = found
        said = theirs[stream, direction(leg, source)]
        said.sizes += map(int, sizes)
        said.kinds += kinds
        said.opcodes += zip(map(int, positions), names, strict=True)
        said.marked += marks(warnings)
    mine = [
        said_in(records, each, stream)
        for each in ours
        if each.service == service
        for stream in STREAMS
    ]
    assert sorted(theirs.values()) == sorted(mine)
    assert any(said.marked for said in mine) == (service == "object-echo")


def marks(warnings: list[str]) -> list[str]:
    """Return the opcodes that Wireshark warns of, of all that it has to say of a frame."""
    return [word for word, *_ in map(str.split, warnings) if word in DANGEROUS]


KINDS = {"CHALLENGE": "challenge", "digest": "answer", "WELCOME": "welcome"}


def said_in(records: list[Record], conversation: Conversation, stream: Stream) -> Said:
    """Return what one side has said as the lab decodes it."""
    said = Said()
    number, proxy = conversation.connection, conversation.proxy
    data = b"".join(payloads(records, number, proxy, stream))
    for event in messages(conversation, stream):
        message, data = data[HEADER.size : event.size], data[event.size :]
        said.sizes.append(len(message))
        said.kinds.append(KINDS.get(event.summary.partition(":")[0], "pickle"))
        if said.kinds[-1] == "pickle":
            read = pickle_opcodes.read(message, 10**6)
            said.opcodes += [(each.position, each.name) for each in read.opcodes]
            marked = [each.name for each in read.opcodes if each.name in DANGEROUS]
            said.marked += marked
            # What safe_pickle refuses is one of those; it makes some kinds of plain data of others.
            assert {each.name for each in read.opcodes if each.refused} <= set(marked)
    assert data == b""
    return said


def test_what_safe_pickle_refuses_is_marked_by_both(
    tshark: Tshark, file: bytes, ours: list[Conversation]
) -> None:
    """It is the one pickle of all that would have run a command."""
    evil = f'pickle.object contains "system(\'" && {on(Leg.CLIENT, ("object-echo",))}'
    ((warnings, objects),) = tshark.fields(file, evil, "_ws.expert.message", "pickle.object")
    assert objects == ["posix.system('id')"]
    assert marks(warnings) == ["STACK_GLOBAL", "REDUCE"]
    refused = [
        event
        for each in ours
        for event in each.events
        if event.summary.startswith("safe_pickle refuses")
    ]
    assert [event.summary for event in refused] == [
        "safe_pickle refuses this: posix.system is not plain data"
    ]


def test_both_know_what_the_relay_did(tshark: Tshark, file: bytes, records: list[Record]) -> None:
    """Each delay, on the leg of the sender, and if it was sent on, on the other one too."""
    rows = tshark.fields(file, "frame.comment", "frame.interface_id", "frame.comment")
    theirs = Counter((int(leg), text) for (leg,), comments in rows for text in comments)
    ours: Counter[tuple[int, str]] = Counter()
    for each in records:
        sender = Leg.CLIENT if each.stream == "upstream" else Leg.SERVER
        for action in each.actions:
            text = f"{action.toxic}: {action.what} ({action.type}, seed {action.seed})"
            ours[sender, text] += 1
            ours[1 - sender, text] += each.left is not None
    assert theirs == ours
    said = {f"latency_{stream}: delayed by 1 ms (latency, seed 1)" for stream in STREAMS}
    assert {text for _, text in ours} == said
