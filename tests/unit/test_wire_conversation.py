"""Conversations: which records make an event, what it is to those before it, how it all ended."""

from dataclasses import replace

import pytest

from services.wire.conversation import Conversation, conversations, service_of
from services.wire.record import Action, Record
from tests.unit.wire_records import (
    BAD_NETWORK,
    DOWN,
    END,
    GET,
    HALF_CLOSE,
    HELLO,
    HTTP,
    NOW,
    START,
    UP,
    Piece,
    record,
    tcp,
    udp,
)


def only(records: list[Record]) -> Conversation:
    """Return the one conversation of some records."""
    (found,) = conversations(records)
    return found


def said(records: list[Record]) -> list[str]:
    """Return what each event of a conversation says."""
    return [event.summary for event in only(records).events]


def test_a_message_of_several_records_is_one_event() -> None:
    """It leaves with its first byte and arrives with its last, and has all that was done to it."""
    slicer = Action("slicer_upstream", "slicer", 7, None, "cut")
    request = GET % b"/hello"
    sizes = (10, 3, len(request) - 13)
    pieces: list[Piece] = []
    at = 0
    for number, size in enumerate(sizes):
        pieces.append((10.0 * number, UP, request[at : at + size]))
        at += size
    records = [
        replace(each, actions=(slicer,)) if each.kind == "data" else each
        for each in tcp("rest", *pieces)
    ]
    _, event = only(records).events
    assert event.summary == "GET /hello"
    assert (event.pieces, event.size, event.actions) == (3, len(request), (slicer,))
    assert event.departed == START
    assert event.arrived == pytest.approx(START + 0.0201)


def test_a_record_with_several_messages_is_several_events() -> None:
    """The last of them may go on in the next record."""
    request = GET % b"/a"
    stream = request * 2 + request[:5]
    records = tcp("rest", (1.0, UP, stream), (2.0, UP, request[5:]))
    events = only(records).events[1:]
    assert [(event.summary, event.pieces) for event in events] == [
        ("GET /a", 1), ("GET /a", 1), ("GET /a", 2),
    ]  # fmt: skip
    assert events[-1].departed == START + 0.001


def test_connections_do_not_mix() -> None:
    """A conversation is one connection of one proxy."""
    records = [
        *tcp("rest", (1.0, UP, GET % b"/a"), number=1),
        *tcp("rest", (1.0, UP, GET % b"/b"), number=2),
        *tcp("httpbin", (1.0, UP, GET % b"/c"), number=1),
    ]
    records.sort(key=lambda each: each.arrived)
    found = conversations(records)
    assert [each.events[1].summary for each in found] == ["GET /a", "GET /b", "GET /c"]


def test_a_restarted_relay_begins_new_conversations() -> None:
    """It counts from 1 again, whether it has closed the old ones or was killed."""
    first, second = (tcp("rest", (1.0, UP, GET % path)) for path in (b"/a", b"/b"))
    for before in (first, first[:-1]):
        assert said([*before, *second])[1:] == ["GET /b"]


@pytest.mark.parametrize(
    ("proxy", "service"),
    [
        ("rpc", "rpc"),
        ("rpc-threaded", "rpc"),
        ("object-echo-classic", "object-echo"),
        ("kv", "kv"),
        ("kvx", ""),
        ("mine", ""),
    ],
)
def test_variants_speak_what_their_service_speaks(proxy: str, service: str) -> None:
    """What has another name is shown as bytes."""
    assert service_of(proxy) == service


def test_a_message_that_is_under_way_is_shown() -> None:
    """As incomplete, until the rest of it comes."""
    records = tcp("rest", (1.0, UP, GET % b"/a"), (2.0, DOWN, HELLO[:-10]))[:-1]
    found = only(records)
    assert found.events[-1].summary == "200 OK, incomplete (231 bytes)"
    found.add(record("rest", "tcp", "data", DOWN, len(HELLO) - 10, HELLO[-10:], 3, 3.1))
    assert found.events[-1].summary == "200 OK, text/html, 110 bytes"
    assert found.ending == "Still open."


def test_what_was_not_recorded_is_said() -> None:
    """Here the ring of the relay has lost the first request; decoding goes on with the next."""
    records = [each for each in HTTP if each.offset or each.stream == DOWN]
    assert said(records)[:3] == ["200 OK, text/html, 110 bytes", "82 bytes not recorded",
                                 "GET /nowhere"]  # fmt: skip


def test_bytes_that_the_relay_has_dropped_are_lost() -> None:
    """A message may be lost in part."""
    lost = record("tcp-echo", "tcp", "data", UP, 0, b"Hello", 1, None)
    assert [event.arrived for event in only([lost]).events] == [None]
    request = GET % b"/a"
    records = [
        record("rest", "tcp", "data", UP, 0, request[:20], 1, 1.1),
        record("rest", "tcp", "data", UP, 20, request[20:], 2, None),
    ]
    (event,) = only(records).events
    assert (event.lost, event.note) == (49, "49 of 69 bytes not passed on")


FAILS = Action("fail_first_upstream", "fail_first", 7, None, "reset")
TIMEOUT = Action("timeout_downstream", "timeout", 7, None, "closed after 100 ms")


@pytest.mark.parametrize(
    ("records", "ending"),
    [
        (HALF_CLOSE, "The client closed first (FIN), then the server."),
        (
            tcp("rest", (1.0, DOWN, END), (2.0, UP, END)),
            "The server closed first (FIN), then the client.",
        ),
        (
            tcp("rest", (1.0, UP, END)),
            "The client has sent its FIN, the server has not.",
        ),
        (
            [record("rest", "tcp", "reset", DOWN, 0, b"", 1, 1)],
            "The server reset the connection (RST).",
        ),
        (
            [
                *tcp("rest", (1.0, UP, END))[:-1],
                record("rest", "tcp", "reset", DOWN, 0, b"", 2, 2),
            ],
            "The client closed first (FIN). The server reset the connection (RST).",
        ),
        (
            [record("rest", "tcp", "refused", UP, 0, b"", 0, None)],
            "The connection was refused: the relay could not reach the server.",
        ),
        (
            [record("rest", "tcp", "reset", UP, 0, b"", 0, 0, 1, FAILS)],
            "The relay reset the connection (RST).",
        ),
        (
            [record("rest", "tcp", "close", UP, 0, b"", 0, 0, 1, TIMEOUT)],
            "The relay closed the connection.",
        ),
        (tcp("rest"), "Closed."),
        (BAD_NETWORK, "UDP has no connection that would end."),
    ],
)
def test_how_it_ended(records: list[Record], ending: str) -> None:
    """Who closed first, or what else there was."""
    assert only(records).ending == ending


def test_datagrams_are_paired_by_their_ids() -> None:
    """Which reply is late or came twice, and what was asked again."""
    notes = [event.note for event in only(BAD_NETWORK).events]
    assert notes == [
        "",
        "after 40 ms",
        "",
        "no reply to the one before, after 2.0 ms",
        "after 0.4 ms",
        "the same datagram once more",
        "late, after 6.4 ms: the next request was sent before",
        "the same ID again, after 8.0 ms",
    ]
    assert [event.duplicate for event in only(BAD_NETWORK).events].count(True) == 1


def test_a_reply_that_is_lost_is_none() -> None:
    """The client asks again."""
    loss = Action("packet_loss_downstream", "packet_loss", 7, 0.1, "dropped")
    records = [
        udp(UP, 0, b"a-1", 0, 0.1),
        udp(DOWN, 0, b"a-1 " + NOW, 1, None, loss),
        udp(UP, 1, b"a-2", 250, 250.1),
    ]
    assert [event.note for event in only(records).events] == [
        "", "after 1.0 ms", "no reply to the one before, after 250 ms",
    ]  # fmt: skip


def test_a_second_reply_and_one_to_nobody_are_told_apart() -> None:
    """The former has an ID that is answered, the latter one that nobody has sent."""
    records = [
        udp(UP, 0, b"a", 0, 0.1),
        udp(DOWN, 0, b"a " + NOW, 1, 1.1),
        udp(DOWN, 1, b"a " + NOW, 2, 2.1),
        udp(DOWN, 2, b"forged " + NOW, 3, 3.1),
        udp(DOWN, 3, b"rubbish", 4, 4.1),
        udp(UP, 1, b"", 5, 5.1),
        udp(DOWN, 4, NOW, 6, 6.1),
    ]
    assert [(event.summary, event.note) for event in only(records).events] == [
        ("asks for the time, ID a", ""),
        ("Thu Nov 26 06:03:20 2026, ID a", "after 1.0 ms"),
        ("Thu Nov 26 06:03:20 2026, ID a", "duplicate: reply 2 to this ID, after 2.0 ms"),
        ("Thu Nov 26 06:03:20 2026, ID forged", "answers no request that was seen"),
        ("no time: 'rubbish'", ""),
        ("an empty datagram asks for the time", ""),
        ("Thu Nov 26 06:03:20 2026", ""),
    ]
