"""The decoders of the wire, and the diagrams: what they are given was written by anybody."""

import pickle
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from random import Random
from time import process_time

import pytest

from services.connection import frames
from services.wire import pickle_opcodes, xml_rpc
from services.wire.conversation import MAX_SIZE, Conversations, conversations
from services.wire.diagram import diagram
from services.wire.ladder import ladder
from services.wire.record import Record, Stream
from tests.hostile import pickles
from tests.hostile.drawn import check_drawn, check_shown
from tests.hostile.reliability import Row
from tests.support.captures import PROXIES, hostile_records, mutated
from tests.unit.wire_records import CALL, LEGACY_HANDSHAKE, TRANSCRIPTS, UP, WELCOME, record, tcp

ROUNDS = 40  # for each transcript
ODD_TIMES = (float("nan"), float("inf"), -1.0, 1e300)


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_mutated_conversations_are_decoded_and_drawn(name: str, seed: int, measured: Row) -> None:
    """Whatever passes is decoded and drawn, without a control character, and as text in SVG."""
    random = Random(f"{name} {seed}")  # noqa: S311 - nothing secret
    for _ in range(ROUNDS):
        records = hostile_records(random, TRANSCRIPTS[name])
        if random.random() < 0.1:
            records[0] = replace(records[0], arrived=random.choice(ODD_TIMES))
        check_drawn(conversations(records), random)
    measured.limit("no exception, no control character")
    measured.safe(f"{ROUNDS} conversations, none that could not be drawn")


@pytest.mark.parametrize("proxy", PROXIES)
def test_random_bytes_are_decoded_and_drawn(proxy: str, seed: int) -> None:
    """Bytes that are of no protocol are shown as bytes."""
    random = Random(f"{proxy} {seed}")  # noqa: S311 - nothing secret
    protocol = "udp" if proxy == "udp-time" else "tcp"
    for _ in range(ROUNDS):
        streams: dict[Stream, int] = {"upstream": 0, "downstream": 0}
        records = [record(proxy, protocol, "open", UP, 0, b"", 0, 0)]
        for at in range(10):
            stream = random.choice(list(streams))
            data = random.randbytes(random.choice([0, 1, 4, 100, 3000]))
            offset = at if protocol == "udp" else streams[stream]
            records.append(record(proxy, protocol, "data", stream, offset, data, at, at + 1))
            streams[stream] += len(data)
        check_drawn(conversations(records), random)


def test_hostile_pickles_are_listed(seed: int) -> None:
    """Of pickles that run code, or take memory or time, the opcodes are listed, and they do not."""
    random = Random(seed)  # noqa: S311 - nothing secret
    bombs = [
        *pickles.programs("/nonexistent/made-by-a-pickle"),
        pickles.memo_bomb(2**31 - 1),
        pickles.hash_bomb(40),
        pickles.hash_bomb_by_memo(40),
        pickle.LONG + b"9" * 60_000 + b"L\n.",
        pickle.INT + b"9" * 60_000 + b"\n.",
        pickle.BINUNICODE8 + b"\xff" * 8 + b".",
        pickle.LONG4 + b"\xff\xff\xff\xff.",
        pickle.STRING + b"'\\y'\n.",
        pickle.MARK * 60_000 + b".",
        b"(" * 60_000 + b"l" * 60_000 + b".",
        (pickle.EMPTY_LIST + pickle.MEMOIZE + b"(" + b"h\0" * 10_000 + b"e."),
    ]
    for data in bombs:
        for each in (data, *(mutated(random, data) for _ in range(10))):
            found = pickle_opcodes.read(each)
            check_shown("\n".join(found.lines))
            assert len(found.opcodes) <= 61


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(
            b'<!DOCTYPE a [<!ENTITY b "cccc">]><methodCall>&b;</methodCall>',
            "document type declaration",
            id="entity",
        ),
        pytest.param(b"<methodCall>" + b"<value>" * 200, "nested more", id="depth"),
        pytest.param(
            b"<methodCall>" + b"<a/>" * 20_000, "more than 10,000 elements", id="elements"
        ),
        pytest.param(
            b"<?xml version='1.0' encoding='rot13'?><a/>", "not well-formed", id="encoding"
        ),
        pytest.param(b"\x80", "not well-formed", id="bytes"),
        pytest.param(b"", "not well-formed", id="nothing"),
        pytest.param(b"<methodResponse/>", "one result", id="no result"),
        pytest.param(b"<html/>", "<html>", id="another document"),
    ],
)
def test_what_is_not_xml_rpc_is_said(body: bytes, reason: str) -> None:
    """The error names what is wrong, and entities are not expanded to find it."""
    with pytest.raises(xml_rpc.NotXMLRPC, match=reason):
        xml_rpc.decode(body)


def ones(data: bytes) -> list[Record]:
    """Return a stream to rest that comes byte by byte."""
    return tcp("rest", *((0.0, UP, data[at : at + 1]) for at in range(len(data))))


def whole(proxy: str, data: bytes) -> list[Record]:
    """Return a stream that comes in pieces of 16 KiB."""
    pieces = (data[at : at + 16384] for at in range(0, len(data), 16384))
    handshake = (*LEGACY_HANDSHAKE, (1.3, UP, WELCOME)) if proxy == "rpc" else ()
    return tcp(proxy, *handshake, *((2.0, UP, piece) for piece in pieces))


GROWING: dict[str, Callable[[int], list[Record]]] = {
    "byte by byte": lambda size: ones(b"GET / HTTP/1.1\r\nX: " + b"y" * size),
    "empty lines": lambda size: whole("rest", b"\r\n" * size),
    "headers": lambda size: whole("rest", b"GET / HTTP/1.1\r\n" + b"a:\r\n" * size),
    "requests": lambda size: whole("rest", b"GET / HTTP/1.1\r\n\r\n" * size),
    "chunks": lambda size: whole(
        "rest", b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * size
    ),
    "a large body": lambda size: whole("kv", CALL % (size * 100) + b"<" * size * 100),
    "small pickles": lambda size: whole("rpc", frames.encode(b"\x80\x04N.") * size),
    "a large pickle": lambda size: whole("rpc", frames.encode(pickle.dumps(list(range(size * 8))))),
    "echoes": lambda size: ones(b"x" * size),
}


@pytest.mark.parametrize("name", GROWING)
def test_time_and_memory_grow_no_faster_than_the_stream(name: str, measured: Row) -> None:
    """Four times the bytes take no more than about four times the time, and 16 MiB at most."""
    small, large = (GROWING[name](size) for size in (3_000, 12_000))

    def seconds(records: list[Record]) -> float:
        best = float("inf")
        for _ in range(2):
            began = process_time()
            conversations(records)
            best = min(best, process_time() - began)
        return best

    ratio = seconds(large) / max(seconds(small), 0.002)
    tracemalloc.start()
    found = conversations(large)
    taken = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert ratio < 12
    assert taken < 16 * 1024 * 1024
    check_drawn(found, Random(0))  # noqa: S311 - nothing secret
    measured.limit("12 times the time, 16 MiB")
    measured.safe(f"{ratio:.1f} times the time, {taken / 2**20:.1f} MiB")


def test_many_conversations_take_a_bounded_memory() -> None:
    """The oldest are forgotten, by their number or by their size, whichever comes first."""
    body = b"x" * 60_000
    found = Conversations(most=50)
    for number in range(200):
        for each in tcp("rest", (1.0, UP, CALL % 100_000 + body), number=number):
            found.add(each)
    assert len(found) == 50
    assert [each.connection for each in found] == list(range(150, 200))
    found = Conversations()
    for number in range(700):
        for each in tcp("rest", (1.0, UP, CALL % 100_000 + body), number=number)[:-1]:
            found.add(each)
    assert sum(each.size for each in found) <= MAX_SIZE
    assert MAX_SIZE // 100_000 < len(found) < 700


def test_a_message_without_an_end_takes_a_bounded_memory(measured: Row) -> None:
    """Of 80 MB in 20,000 pieces, which are one message, less than 1 MiB is kept."""
    measured.limit("1 MiB")
    data = b"x" * 4096
    found = Conversations()
    found.add(record("rest", "tcp", "data", UP, 0, CALL % 10**9, 0, 0))
    offset = len(CALL % 10**9)
    tracemalloc.start()
    for number in range(20_000):
        found.add(record("rest", "tcp", "data", UP, offset, data, number, number))
        offset += len(data)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 1024 * 1024
    (event,) = next(iter(found)).events
    assert (event.size, event.pieces) == (offset, 20_001)
    measured.safe(f"{kept / 1024:.0f} KiB")


def test_one_conversation_takes_a_bounded_memory() -> None:
    """Of many messages, the first and the latest are kept, and how many there were."""
    add = partial(record, "tcp-echo", "tcp", "data", UP)
    records = [add(at, b"x", at, at) for at in range(5_000)]
    (found,) = conversations(records)
    assert len(found.events) + found.left_out == 5_000
    assert len(found.events) == 500
    assert "events left out …" in ladder(diagram(found))
