"""`make wire`: which conversations it shows, when, and what of them."""

import json
from collections.abc import Iterable, Iterator

import pytest

from clients import wire
from clients.wire import document, following, latest_last
from services.wire.conversation import Conversation, Conversations, conversations
from services.wire.diagram import diagram
from services.wire.ladder import ladder
from services.wire.record import Record
from tests.unit.wire_records import DOWN, END, UP, tcp, udp


def echo(number: int, *words: bytes) -> list[Record]:
    """Return the records of a connection to tcp-echo."""
    pieces = [piece for at, word in enumerate(words) for piece in
              ((2.0 * at + 1, UP, word), (2.0 * at + 2, DOWN, word))]  # fmt: skip
    return tcp("tcp-echo", *pieces, (99, UP, END), (99, DOWN, END), number=number)


def shown(
    records: Iterable[Record | None], found: Conversations | None = None
) -> Iterator[tuple[int, int]]:
    """Yield the numbers of the connections shown, each with the events that it had before."""
    for conversation, since in following(records, found or Conversations()):
        yield conversation.connection, since


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every connection for a quiet one."""
    monkeypatch.setattr(wire, "QUIET_SECONDS", 0.0)


def test_a_connection_is_shown_when_it_ends() -> None:
    """And no sooner, whatever else ends meanwhile."""
    first, second = echo(1, b"a", b"b"), echo(2, b"c")
    assert [*shown([*first[:-1], *second, None])] == [(2, 0)]
    assert [*shown([*first[:-1], *second, first[-1]])] == [(2, 0), (1, 0)]


@pytest.mark.usefixtures("at_once")
def test_what_has_no_end_is_shown_when_it_is_quiet() -> None:
    """And then what comes after that."""
    asked = udp(UP, 0, b"id-1", 0, 1)
    again = udp(UP, 1, b"id-2", 500, 501)
    assert [*shown([asked, None, None, again])] == [(1, 0), (1, 1)]


def test_what_was_shown_before_is_not_shown_again() -> None:
    """But what comes later in the same connection is."""
    records = echo(1, b"a", b"b")
    before = conversations(records[:3])
    assert [*shown(records[3:], before)] == [(1, 3)]
    assert [*shown([], conversations(records))] == []


def test_a_connection_of_which_only_the_end_is_left_is_not_shown() -> None:
    """The relay's memory has an end, too."""
    records = [*echo(1, b"a")[-1:], *echo(2, b"b")]
    assert [each.connection for each in latest_last(conversations(records))] == [2]


def one(records: list[Record]) -> Conversation:
    """Return the conversation that these records are."""
    (found,) = conversations(records)
    return found


def test_a_diagram_goes_on_where_it_was() -> None:
    """With the times of the whole, and it says so."""
    text = ladder(diagram(one(echo(1, b"one", b"two")), since=3))
    assert "continued" in text
    assert "'one'" not in text
    assert "'two'" in text
    assert "     3.0  ├" in text
    whole = ladder(diagram(one(echo(1, b"one", b"two"))))
    assert "continued" not in whole
    assert "'one'" in whole


@pytest.mark.parametrize("since", [1, 40, 249, 251, 400])
def test_a_diagram_that_goes_on_after_many_events_says_what_is_left_out(since: int) -> None:
    """Those are counted, and the latest are shown."""
    words = [b"%d" % number for number in range(400)]
    conversation = one(echo(1, *words))
    found = diagram(conversation, most=10, since=since)
    left_out = conversation.count - since - 10
    assert found.rows[0].text == f"… {left_out} events left out …"
    assert sum(row.leaves is not None for row in found.rows) == 10
    made = document(conversation, since)
    assert made["left_out"] + len(made["events"]) == conversation.count - since


def test_json_has_all_of_a_conversation_and_nothing_that_a_terminal_obeys() -> None:
    """Whatever was sent."""
    hostile = b"\x1b]0;title\x07\x9b31m\xff"
    conversation = one(echo(1, hostile))
    text = json.dumps(document(conversation))
    assert text.isascii()
    assert text.isprintable()
    made = json.loads(text)
    assert [each["kind"] for each in made["events"]] == (
        ["connect", "message", "message", "fin", "fin"]
    )
    assert made["ending"].startswith("The client closed first")
    drawn = ladder(diagram(conversation))
    assert all(character == "\n" or character.isprintable() for character in drawn)
