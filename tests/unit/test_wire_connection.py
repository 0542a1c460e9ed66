"""multiprocessing.connection on the wire: handshake, frames, objects, calls."""

import pickle
import struct

import pytest

from services.connection import frames
from services.connection.handshake import FAILURE
from services.wire import connection
from services.wire.stream import MAX_KEPT, Message, Stream
from tests.unit.wire_records import (
    CHALLENGE_TO_MD5,
    MD5_ANSWER,
    NAMED_HANDSHAKE,
    RPC_EXCEPTION,
    TWICE,
    WELCOME,
)


def read(stream: Stream, *pieces: bytes) -> list[Message]:
    """Return the messages in these pieces."""
    return [message for piece in pieces for message in stream.receive_data(piece)]


def framed(*objects: object) -> bytes:
    """Return objects as they stand on the wire."""
    return b"".join(frames.encode(pickle.dumps(each, protocol=4)) for each in objects)


def joined(service: str) -> tuple[Stream, Stream]:
    """Return both directions after the handshake, whose beginning was not recorded."""
    streams = connection.pair(service)
    for stream in streams:
        list(stream.skip())
    return streams


@pytest.mark.parametrize("records", [NAMED_HANDSHAKE, RPC_EXCEPTION, TWICE])
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_pieces_make_no_difference(records: list[object], size: int) -> None:
    """The messages are the same byte by byte."""
    for stream, direction in zip(connection.pair("rpc"), ("upstream", "downstream"), strict=True):
        data = b"".join(each.data for each in records if each.stream == direction)  # type: ignore[attr-defined]
        other = connection.pair("rpc")[direction == "downstream"]
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        found = read(stream, data)
        assert read(other, *pieces) == found
        assert sum(message.size for message in found) == len(data)


def test_a_wrong_digest_is_answered_by_failure() -> None:
    """Which is the end of the handshake."""
    _, server = connection.pair("rpc")
    found = read(server, CHALLENGE_TO_MD5, frames.encode(FAILURE))
    assert [message.summary for message in found] == [
        "CHALLENGE: 32 random bytes, for HMAC-SHA-256",
        "FAILURE: the digest is wrong",
    ]


def test_what_is_no_handshake_is_said() -> None:
    """A message that does not belong there, and bytes that are no frame."""
    _, server = connection.pair("rpc")
    (message,) = read(server, frames.encode(b"hello"))
    assert message.summary == "not part of a handshake: 'hello'"
    client, _ = connection.pair("rpc")
    (message,) = read(client, b"GET / HTTP/1.1\r\n\r\n")
    assert message.summary == ("not a frame of multiprocessing.connection: 'GET / HTTP/1.1␍␊␍␊'")


@pytest.mark.parametrize(
    ("request_", "summary"),
    [
        (("add", (2, 3), {}), "add(2, 3)"),
        (("sub", (), {"y": 2, "x": 3}), "sub(y=2, x=3)"),
        (("f", (1,), {"k": "v"}), "f(1, k='v')"),
        (("f", tuple(range(20)), {}), "f(0, 1, 2, 3, 4, 5, 6, 7, …)"),
        ("add", "no request: 'add'"),
        (pickle.dumps(("add", (2, 3), {})), "add(2, 3), pickled twice"),
    ],
)
def test_a_call_is_shown_as_python_writes_it(request_: object, summary: str) -> None:
    """Also what is none, and what is pickled twice."""
    client, _ = joined("rpc")
    (message,) = read(client, framed(request_))
    assert message.summary == summary
    assert any("STOP" in line for line in message.details)


@pytest.mark.parametrize(
    ("answer", "summary"),
    [
        ((True, 5), "returns 5"),
        ((False, "E", ("x",), "Traceback:\nE: x"), "raises E('x')"),
        ([1], "returns [1]"),
    ],
)
def test_an_answer_is_a_result_or_an_exception(answer: object, summary: str) -> None:
    """A bare result is one for clients of the older form."""
    _, server = joined("rpc")
    (message,) = read(server, framed(answer))
    assert message.summary == summary


def test_a_large_object_is_counted() -> None:
    """Its beginning is read, and the next one is found behind it; one may have over 2 GiB."""
    client, _ = joined("object-echo")
    large, small = read(client, framed(b"x" * MAX_KEPT, 1))
    assert large.summary == "an object of 65,545 bytes, of which 65,536 are read"
    assert "BINBYTES of 65536 bytes runs past the end" in large.details[-1]
    assert small.summary == "1"
    read(client, b"\xff\xff\xff\xff" + struct.pack("!Q", 3 << 30) + b"\x80\x04")
    assert client.pending is not None
    assert client.pending.summary == "a message of 3,221,225,472 bytes, incomplete (14 bytes)"


def test_bytes_that_are_no_pickle_are_shown() -> None:
    """`send_bytes` sends what it is given; and a message may be empty."""
    client, _ = joined("object-echo")
    found = read(client, framed(1), frames.encode(b"plain"), frames.encode(b""))
    assert [message.summary for message in found] == ["1", "'plain' (5 bytes)", "an empty message"]


def test_what_is_read_from_the_middle_begins_with_a_frame() -> None:
    """Until there is one, the bytes are shown as they are."""
    _, server = joined("rpc")
    found = read(server, MD5_ANSWER[7:], WELCOME, framed((True, 5)))
    assert [message.size for message in found] == [13, 13, len(framed((True, 5)))]
    assert found[-1].summary == "returns 5"
