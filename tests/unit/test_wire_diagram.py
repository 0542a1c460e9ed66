"""Diagrams: whole ladders of real conversations, and the same as SVG."""

import re
import xml.etree.ElementTree as ET

import pytest

from services.wire.conversation import conversations
from services.wire.diagram import Diagram, diagram
from services.wire.ladder import ladder
from services.wire.record import Action, Record
from services.wire.svg import STYLE, svg
from services.wire.visible import width
from tests.unit import wire_records
from tests.unit.wire_records import (
    ASKED_AGAIN,
    BAD_NETWORK,
    DOWN,
    HALF_CLOSE,
    NAMED_HANDSHAKE,
    RPC_EXCEPTION,
    TRANSCRIPTS,
    UP,
    XML_RPC,
    record,
    tcp,
)

HALF_CLOSE_LADDER = """\
tcp-echo, connection 1 (TCP), 06:03:20.000 UTC
client 10.0.0.5:50000 ↔ relay ↔ server tcp-echo:20000
Two connections, client to relay and relay to server, drawn as one: an arrow
starts when the relay receives, and ends when it has passed on.

      ms  client                                                          server
          │                                                                    │
     0.0  ├╌ connects ╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌▶│
     1.0  ├─ 'Hello' (5 bytes) ───────────────────────────────────────────────▶│
     1.5  │◀─────────────────────────────────────────────── 'Hello' (5 bytes) ─┤
     2.0  ├─ 'world' (5 bytes) ───────────────────────────────────────────────▶│
     2.1  ├╌ FIN: nothing more to send ╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌▶│
     2.4  │◀─────────────────────────────────────────────── 'world' (5 bytes) ─┤
     2.5  │◀╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌ FIN: nothing more to send ╌┤
          ╵                                                                    ╵
The client closed first (FIN), then the server.
╌ no data
"""

ASKED_AGAIN_LADDER = """\
udp-time, connection 1 (UDP), 06:03:20.000 UTC
client 10.0.0.5:50000 ↔ relay ↔ server udp-time:20000
An arrow starts when the relay receives a datagram, and ends when it has passed
it on.

      ms  client                                                          server
          │                                                                    │
     0.0  ├─ asks for the time, ID a1b2-1 ───×                                 │
          │   packet_loss_upstream: dropped (draw 0.031, seed 7)               │
          ┊                               251 ms                               ┊
   251.2  ├─ asks for the time, ID a1b2-2 ────────────────────────────────────▶│
          │   no reply to the one before, after 251 ms                         │
   251.7  │◀────────────── Thu Nov 26 06:03:20 2026, ID a1b2-2 (after 0.5 ms) ─┤
          ╵                                                                    ╵
UDP has no connection that would end.
× not passed on   ┊ a pause, or what is left out
"""  # noqa: RUF001 - it is meant

XML_RPC_LADDER = """\
kv, connection 1 (TCP), 06:03:20.000 UTC
client 10.0.0.5:50000 ↔ relay ↔ server kv:20000
Two connections, client to relay and relay to server, drawn as one: an arrow
starts when the relay receives, and ends when it has passed on.

      ms  client                                                          server
          │                                                                    │
     0.0  ├╌ connects ╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌▶│
     1.0  ├─ POST /RPC2: set('spam', [1, 2, 3]) (in 2 pieces) ────────────────▶│
     4.0  │◀──────────────────────────────────────────── 200 OK: returns None ─┤
     5.0  ├─ POST /RPC2: get(42) ─────────────────────────────────────────────▶│
     5.5  │◀─ 200 OK: fault -32602: bad argument: get: the name 42 is not a … ─┤
     6.0  ├╌ FIN: nothing more to send ╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌▶│
     6.2  │◀╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌ FIN: nothing more to send ╌┤
          ╵                                                                    ╵
The client closed first (FIN), then the server.
╌ no data
"""

NAMED_HANDSHAKE_LADDER = """\
object-echo, connection 1 (TCP), 06:03:20.000 UTC
client 10.0.0.5:50000 ↔ relay ↔ server object-echo:20000
Two connections, client to relay and relay to server, drawn as one: an arrow
starts when the relay receives, and ends when it has passed on.

      ms  client                                                          server
          │                                                                    │
     0.0  ├╌ connects ╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌▶│
     2.5  │◀──────────────────── CHALLENGE: 32 random bytes, for HMAC-SHA-256 ─┤
     5.7  ├─ digest: HMAC-SHA-256 of the challenge, 32 bytes ─────────────────▶│
     6.0  │◀──────────────────────────────────── WELCOME: the digest is right ─┤
     6.1  ├─ CHALLENGE: 40 random bytes, for HMAC-SHA-256 ────────────────────▶│
     6.2  │◀───────────────── digest: HMAC-SHA-256 of the challenge, 32 bytes ─┤
     6.3  ├─ WELCOME: the digest is right ────────────────────────────────────▶│
     7.0  ├─ {'name': 'Ada', 'born': 1815} ───────────────────────────────────▶│
     7.4  │◀─────────────────────────────────── {'name': 'Ada', 'born': 1815} ─┤
     8.0  ├─ safe_pickle refuses this: builtins.range is not plain data ──────▶│
     8.4  │◀─────────────────── {'error': 'builtins.range is not plain data'} ─┤
     9.0  ├╌ FIN: nothing more to send ╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌▶│
     9.3  │◀╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌ FIN: nothing more to send ╌┤
          ╵                                                                    ╵
The client closed first (FIN), then the server.
╌ no data
"""

RPC_EXCEPTION_LADDER = """\
rpc-threaded, connection 1 (TCP), 06:03:20.000 UTC
client 10.0.0.5:50000 ↔ relay ↔ server rpc-threaded:20000
Two connections, client to relay and relay to server, drawn as one: an arrow
starts when the relay receives, and ends when it has passed on.

      ms  client                                                          server
          │                                                                    │
     0.0  ├╌ connects ╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌▶│
     0.7  │◀──────────────────── CHALLENGE: 32 random bytes, for HMAC-SHA-256 ─┤
     0.8  ├─ digest: HMAC-MD5 of the challenge, 16 bytes ─────────────────────▶│
     1.0  │◀──────────────────────────────────── WELCOME: the digest is right ─┤
     1.1  ├─ CHALLENGE: 20 random bytes, for HMAC-MD5 ────────────────────────▶│
     1.2  │◀───────────────────── digest: HMAC-MD5 of the challenge, 16 bytes ─┤
     1.3  ├─ WELCOME: the digest is right ────────────────────────────────────▶│
     1.3  ├─ add(2, 3) ───────────────────────────────────────────────────────▶│
     1.5  │◀─────────────────────────────────────────────────────── returns 5 ─┤
     1.6  ├─ sub([1, 2], 4) ──────────────────────────────────────────────────▶│
     2.1  │◀─ raises TypeError("unsupported operand type(s) for -: 'list' an… ─┤
     2.3  ├╌ FIN: nothing more to send ╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌▶│
     2.5  │◀╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌ FIN: nothing more to send ╌┤
          ╵                                                                    ╵
The client closed first (FIN), then the server.
╌ no data
"""

BAD_NETWORK_LADDER = """\
udp-time, connection 1 (UDP), 06:03:20.000 UTC
client 10.0.0.5:50000 ↔ relay ↔ server udp-time:20000
An arrow starts when the relay receives a datagram, and ends when it has passed
it on.

      ms  client                                                          server
          │                                                                    │
     0.0  ├─ asks for the time, ID a-1 ────────────╮                           │
          │   latency_upstream: delayed by 40 ms   ╰───────────╮               │
    40.0  │                                                    ╰──────────────▶│
    40.4  │◀────────────────── Thu Nov 26 06:03:20 2026, ID a-1 (after 40 ms) ─┤
    50.0  ├─ asks for the time, ID a-2 ────────────────────────╮               │
          │   reorder_upstream: held back (draw 0.210, seed 7) │               │
    52.0  ├─ asks for the time, ID a-3 ────────────────────────┼──────────────▶│
          │   no reply to the one before, after 2.0 ms         │               │
    52.4  │◀───────────────── Thu Nov 26 06:03:20 2026, ID a-3 (after 0.4 ms) ─┤
          │            duplicate_downstream: duplicated (draw 0.070, seed 7)   │
    52.4  │◀══ Thu Nov 26 06:03:20 2026, ID a-3 (the same datagram once more) ═╡
          │         duplicate_downstream: the duplicate (draw 0.070, seed 7)   │
    56.0  │                                                    ╰──────────────▶│
    56.4  │◀──────────────────────────────── Thu Nov 26 06:03:20 2026, ID a-2 ─┤
          │             late, after 6.4 ms: the next request was sent before   │
    60.0  ├─ asks for the time, ID a-3 (the same ID again, after 8.0 ms) ─────▶│
          ╵                                                                    ╵
UDP has no connection that would end.
═ a duplicate
"""

LADDERS = {
    "a TCP echo with half-close": (HALF_CLOSE, HALF_CLOSE_LADDER),
    "a UDP request that is lost and asked again": (ASKED_AGAIN, ASKED_AGAIN_LADDER),
    "UDP that is delayed, reordered and duplicated": (BAD_NETWORK, BAD_NETWORK_LADDER),
    "XML-RPC calls and a fault": (XML_RPC, XML_RPC_LADDER),
    "the handshake of Python 3.13 and objects": (NAMED_HANDSHAKE, NAMED_HANDSHAKE_LADDER),
    "an older handshake and an exception of rpc": (RPC_EXCEPTION, RPC_EXCEPTION_LADDER),
}


def drawn(records: list[Record], most: int = 100) -> Diagram:
    """Return the diagram of one conversation."""
    (found,) = conversations(records)
    return diagram(found, most)


@pytest.mark.parametrize(("records", "expected"), LADDERS.values(), ids=LADDERS)
def test_a_conversation_is_a_ladder(records: list[Record], expected: str) -> None:
    """All that passed, in the order of time, in 80 columns."""
    assert ladder(drawn(records)) + "\n" == expected


@pytest.mark.parametrize("size", [60, 80, 81, 120, 200])
@pytest.mark.parametrize("records", TRANSCRIPTS.values(), ids=TRANSCRIPTS)
def test_a_ladder_is_as_wide_as_asked(records: list[Record], size: int) -> None:
    """Both lanes stand straight, and nothing is beside them."""
    lines = ladder(drawn(records), size).split("\n")
    assert max(map(width, lines)) == size
    first = next(at for at, line in enumerate(lines) if "client  " in line) + 1
    last = next(at for at, line in enumerate(lines) if line.strip().startswith("╵"))
    assert {width(line) for line in lines[first : last + 1]} == {size}
    assert {line[10] for line in lines[first:last]} <= set("│├╞┊")
    assert {line[-1] for line in lines[first:last]} <= set("│┤╡┊")


def test_hostile_text_takes_the_columns_that_it_takes() -> None:
    """Wide characters count twice, control characters are symbols, and the lanes stand straight."""
    data = "中文中文\x1b[31m\u202e ok ".encode() * 10
    lines = ladder(drawn(tcp("tcp-echo", (1.0, UP, data), (2.0, DOWN, data)))).split("\n")
    assert lines[8] == (
        "     1.0  ├─ '中文中文␛[31m\\u202e ok 中文中文␛[31m\\u202e ok 中文中文␛[31m\\u… ─▶│"
    )
    assert {width(line) for line in lines[5:11]} == {80}


def test_a_slow_message_is_slanted_and_crossed() -> None:
    """It arrives in a row of its own, and what passes meanwhile crosses it."""
    records = [
        record("tcp-echo", "tcp", "data", UP, 0, b"first", 1, 9),
        record("tcp-echo", "tcp", "data", DOWN, 0, b"a", 2, 2.1),
    ]
    lines = ladder(drawn(records)).split("\n")
    assert lines[7:10] == [
        "     0.0  ├─ 'first' (5 bytes) ──────────────────────╮                         │",
        "     1.0  │◀─────────────────────────────────────────┼────────── 'a' (1 byte) ─┤",
        "     8.0  │                                          ╰────────────────────────▶│",
    ]


def test_a_note_has_its_place_and_divides_a_pause() -> None:
    """So each part of the pause is as long as is said, and together they are the whole of it."""
    records = tcp("tcp-echo", (1.0, UP, b"a"), (1001.0, DOWN, b"a"))
    (found,) = conversations(records)
    sent = records[1].arrived
    notes = [(sent + 0.05, "near"), (sent + 0.3, "within"), (sent + 2.0, "later")]
    rows = [row.text or "an arrow" for row in diagram(found, notes=notes).rows[1:]]
    assert rows == [
        "an arrow", "near", "250 ms", "within", "700 ms", "an arrow", "1,000 ms", "later"
    ]  # fmt: skip


def test_what_is_left_out_is_said() -> None:
    """The first and the latest arrows are shown."""
    pieces = [(float(at), UP, b"%d" % at) for at in range(50)]
    text = ladder(drawn(tcp("tcp-echo", *pieces), most=6))
    assert re.findall(r"'\d+'", text) == ["'0'", "'1'", "'47'", "'48'", "'49'"]
    assert " … 45 events left out … " in text


def test_a_refused_connection_and_a_reset_are_shown() -> None:
    """What did not get through ends at the relay."""
    text = ladder(drawn([record("rpc", "tcp", "refused", UP, 0, b"", 0, None)]))
    assert "├╌ connects ╌╌╌╌" in text
    assert "refused: the relay could not reach the server" in text
    timeout = Action("timeout_downstream", "timeout", 7, None, "closed after 100 ms")
    text = ladder(drawn([record("rpc", "tcp", "close", UP, 0, b"", 0, 0, 1, timeout)]))
    assert "the relay closes: timeout_downstream: closed after 100 ms" in text
    text = ladder(drawn([record("rpc", "tcp", "reset", DOWN, 0, b"", 1, 1.1)]))
    assert "╌ RST: the connection is reset ╌┤" in text


@pytest.mark.parametrize("records", TRANSCRIPTS.values(), ids=TRANSCRIPTS)
def test_svg_has_all_that_the_ladder_has(records: list[Record]) -> None:
    """Every label and note, as text; title and description are what a screen reader reads."""
    shown = drawn(records)
    root = ET.fromstring(svg(shown))  # noqa: S314 - ours
    space = "{http://www.w3.org/2000/svg}"
    texts = "\n".join(each.text or "" for each in root.iter() if each.tag != f"{space}style")
    for row in shown.rows:
        if row.leaves:
            assert row.leaves.label[:80] in texts
            assert all(note in texts for note in row.leaves.notes)
            assert row.leaves.remark in texts
    title, description, *_ = root
    assert (title.tag, description.tag) == (f"{space}title", f"{space}desc")
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
    assert description.text is not None
    assert shown.ending in description.text


def test_svg_in_a_page_leaves_the_styles_to_it() -> None:
    """Its policy may forbid them within; a file has them, for light and for dark."""
    shown = drawn(HALF_CLOSE)
    assert "<style>" not in svg(shown, standalone=False)
    assert svg(shown, standalone=False).startswith("<svg ")
    assert "<style>" in svg(shown)
    assert "prefers-color-scheme: dark" in STYLE


def test_svg_has_what_was_sent_as_text_only() -> None:
    """Also what would be an element, an attribute or a style."""
    data = b"</text><script>alert(1)</script><style>*{}</style>\"'&amp;"
    picture = svg(drawn(tcp('"><script>', (1.0, UP, data), (2.0, UP, b"]]>&lt;"))))
    tags = {each.tag.rpartition("}")[2] for each in ET.fromstring(picture).iter()}  # noqa: S314
    assert tags == {"svg", "title", "desc", "style", "g", "rect", "line", "polygon", "text"}
    assert picture.count("<style") == 1
    assert "<script" not in picture


def test_svg_loads_nothing() -> None:
    """There is no address in it but the name of its namespace."""
    for records in wire_records.TRANSCRIPTS.values():
        picture = svg(drawn(records)).replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"url\(|@import|href|https?:|<image|<use", picture)
