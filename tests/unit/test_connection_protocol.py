"""One authenticated connection without its socket."""

import struct
from collections.abc import Callable, Iterator
from itertools import chain

import pytest

from services import safe_pickle
from services.connection import frames
from services.connection.frames import MAX_AT_ONCE
from services.connection.handshake import CHALLENGE, FAILURE, WELCOME
from services.connection.protocol import SMALL, Answer, Limits, Protocol
from tests.support.connections import (
    KEY,
    answering,
    authenticate,
    drain,
    handshake_of_client,
    messages,
)

LIMITS = Limits()


def new_protocol(answer: Callable[[bytes], bytes] = bytes.upper) -> Protocol:
    """Return the protocol of a client that has not sent anything yet."""
    return Protocol("peer", KEY, answering(answer), LIMITS)


def authenticated(answer: Callable[[bytes], bytes] = bytes.upper) -> Protocol:
    """Return the protocol of a client that has completed the handshake."""
    return authenticate(new_protocol(answer))


def test_it_begins_with_our_challenge() -> None:
    """There is something to send before anything is received."""
    (challenge,) = messages(drain(new_protocol()))
    assert challenge.startswith(CHALLENGE)


def test_it_does_not_matter_where_the_stream_is_cut() -> None:
    """Split in two at any byte, handshake and messages have the same answers."""
    whole = len(
        handshake_of_client(new_protocol()) + frames.encode(b"hello") + frames.encode(b"world")
    )
    for cut in range(1, whole):
        protocol = new_protocol()
        data = handshake_of_client(protocol) + frames.encode(b"hello") + frames.encode(b"world")
        protocol.receive_data(data[:cut])
        sent = drain(protocol)
        protocol.receive_data(data[cut:])
        sent += drain(protocol)
        welcome, answer, *replies = messages(sent)
        assert (welcome, len(answer), replies) == (WELCOME, 16, [b"HELLO", b"WORLD"])
        assert protocol.closed is None


def test_an_object_of_256_kib_is_received_at_once() -> None:
    """With the few bytes that a pickle has around it, and after its header came alone."""
    protocol = authenticated()
    message = safe_pickle.dumps(bytes(256 * 1024))
    protocol.receive_data(frames.HEADER.pack(len(message)))
    protocol.reserve()
    assert protocol.receive_size == len(message)


def test_one_byte_at_a_time_is_enough() -> None:
    """Every cut at once."""
    protocol = new_protocol()
    sent = b""
    for byte in handshake_of_client(protocol) + frames.encode(b"hello"):
        protocol.receive_data(bytes([byte]))
        sent += drain(protocol)
    assert messages(sent)[2:] == [b"HELLO"]


@pytest.mark.parametrize(
    "count",
    [1, 2, MAX_AT_ONCE - 1, MAX_AT_ONCE, MAX_AT_ONCE + 1, 5 * MAX_AT_ONCE, 5 * MAX_AT_ONCE + 1],
)
def test_messages_sent_without_waiting_are_answered_in_order(count: int) -> None:
    """One receive may bring many; other connections are served in between."""
    protocol = authenticated()
    protocol.receive_data(b"".join(frames.encode(b"m%d" % n) for n in range(count)))
    iterations = [messages(drain(protocol))]
    while protocol.queued:
        protocol.resume()
        iterations.append(messages(drain(protocol)))
    assert list(chain(*iterations)) == [b"M%d" % n for n in range(count)]
    assert max(map(len, iterations)) <= MAX_AT_ONCE
    assert protocol.buffered == 0


def test_what_it_buffers_is_counted() -> None:
    """Of a message that is not complete, of those that wait, and of an answer until all is sent."""
    protocol = authenticated()
    assert protocol.buffered == 0
    whole = frames.encode(bytes(10_000))
    protocol.receive_data(whole[:5000])
    assert protocol.buffered == 5000
    protocol.receive_data(whole[5000:])
    assert protocol.buffered == len(whole)
    protocol.sent(len(whole) - 1)
    assert protocol.buffered == len(whole), "the memory of an answer is free when all of it is sent"
    protocol.sent(1)
    assert protocol.buffered == 0
    protocol.receive_data(frames.encode(b"x") * (MAX_AT_ONCE + 2))
    assert protocol.buffered == (MAX_AT_ONCE + 2) * len(frames.encode(b"x"))


def test_fin_closes_it() -> None:
    """An empty receive is the client's FIN."""
    protocol = authenticated()
    protocol.receive_data(b"")
    assert protocol.closed == "closed by the client"


def test_a_wrong_key_is_answered_with_failure_and_closes_it() -> None:
    """The failure is the last thing to send."""
    protocol = new_protocol()
    drain(protocol)
    protocol.receive_data(frames.encode(bytes(16)))
    assert messages(drain(protocol)) == [FAILURE]
    assert protocol.closed == "AuthenticationError: the client does not know the key"


def test_a_length_that_no_message_has_closes_it() -> None:
    """The header alone is enough."""
    protocol = authenticated()
    protocol.receive_data(struct.pack("!i", -2))
    assert protocol.closed
    assert protocol.closed.startswith("FrameError: a message of -2 bytes")


def test_a_message_may_be_empty() -> None:
    """It has an answer as any other; as a step of the handshake it is a wrong one."""
    protocol = authenticated()
    protocol.receive_data(frames.encode(b"") + frames.encode(b"good"))
    assert messages(drain(protocol)) == [b"", b"GOOD"]
    protocol = new_protocol()
    protocol.receive_data(frames.encode(b""))
    assert protocol.closed == "AuthenticationError: the client does not know the key"


def test_a_message_of_the_handshake_is_limited() -> None:
    """Before a client is authenticated, to 256 bytes."""
    protocol = new_protocol()
    drain(protocol)
    protocol.receive_data(struct.pack("!i", 257))
    assert protocol.closed
    assert protocol.closed.startswith("FrameError: a message of 257 bytes")


def test_a_message_of_an_authenticated_client_may_be_larger() -> None:
    """Up to 16 MiB."""
    protocol = authenticated(lambda message: b"%d" % len(message))
    protocol.receive_data(frames.encode(bytes(LIMITS.max_message)))
    protocol.begin()
    protocol.resume()
    assert messages(drain(protocol)) == [b"%d" % LIMITS.max_message]


def test_a_failure_is_an_answer_and_the_connection_goes_on() -> None:
    """In its place among the others."""

    def answer(message: bytes) -> bytes:
        if message == b"bad":
            raise ValueError("no")
        return message

    protocol = authenticated(answer)
    protocol.receive_data(b"".join(map(frames.encode, (b"good", b"bad", b"good"))))
    assert messages(drain(protocol)) == [b"good", b"refused: no", b"good"]
    assert protocol.closed is None


def test_answers_made_before_a_connection_is_closed_are_still_sent() -> None:
    """Only what follows has none."""
    protocol = authenticated()
    no_message = struct.pack("!i", -2)
    protocol.receive_data(frames.encode(b"good") + no_message + frames.encode(b"good"))
    assert messages(drain(protocol)) == [b"GOOD"]
    assert protocol.closed
    assert protocol.closed.startswith("FrameError: a message of -2 bytes")


def test_a_failure_that_cannot_be_told_closes_it() -> None:
    """And harms nobody else."""

    def fail(_: object) -> bytes:
        raise ValueError("no")

    answer = Answer(answering(fail).to_message, fail)
    protocol = authenticate(Protocol("peer", KEY, answer, LIMITS))
    protocol.receive_data(frames.encode(b"x"))
    assert (protocol.over, protocol.closed) == (True, "ValueError: no")
    protocol = authenticate(Protocol("peer", KEY, answer, LIMITS))
    protocol.receive_data(frames.encode(bytes(LIMITS.max_message + 1)))
    assert (protocol.over, protocol.closed) == (True, "ValueError: no")


LARGE = b"x" * (SMALL + 1)


def in_steps(steps: int, answer: Callable[[bytes], bytes] = bytes.upper) -> Protocol:
    """Return the protocol of a client that has sent a large message, which is answered in steps."""
    protocol = authenticate(Protocol("peer", KEY, answering(answer, steps), LIMITS))
    protocol.receive_data(frames.encode(LARGE))
    return protocol


def test_a_large_message_is_answered_in_steps_when_it_is_its_turn() -> None:
    """A step for each call, so that the driver can serve others in between."""
    protocol = in_steps(5)
    for turn in (False, True):
        assert (protocol.queued, protocol.needs, protocol.answering) == (turn, *[len(LARGE)] * 2)
        assert protocol.buffered == len(LARGE)
        protocol.begin()
    for _ in range(4):
        protocol.resume()
        assert (protocol.queued, protocol.data_to_send()) == (True, b"")
        assert protocol.buffered == len(LARGE)
    protocol.resume()
    assert (protocol.queued, protocol.needs, protocol.answering) == (False, 0, 0)
    assert messages(drain(protocol)) == [LARGE.upper()]
    protocol.receive_data(frames.encode(b"the next"))
    assert messages(drain(protocol)) == [b"THE NEXT"]


def test_a_small_message_is_answered_at_once() -> None:
    """However many steps that has."""
    protocol = authenticate(Protocol("peer", KEY, answering(steps=100), LIMITS))
    for size in (1, SMALL):
        protocol.receive_data(frames.encode(bytes(size)))
        assert messages(drain(protocol)) == [bytes(size)]


def test_a_large_message_is_answered_in_its_place_among_the_others() -> None:
    """Those before and behind it are answered with it; each large one has a turn of its own."""
    protocol = authenticate(Protocol("peer", KEY, answering(steps=2), LIMITS))
    protocol.receive_data(b"".join(map(frames.encode, (b"a", LARGE, b"b", LARGE, b"c"))))
    turns = 0
    while not protocol.data_to_send():
        assert protocol.needs
        turns += not protocol.turn
        protocol.begin()
        protocol.resume()
    assert turns == 2
    assert messages(drain(protocol)) == [b"A", LARGE.upper(), b"B", LARGE.upper(), b"C"]


def test_a_failure_in_a_later_step_is_an_answer_too() -> None:
    """And the connection goes on."""

    def fail(_: bytes) -> bytes:
        raise ValueError("no")

    protocol = in_steps(2, fail)
    protocol.begin()
    protocol.resume()
    protocol.resume()
    assert messages(drain(protocol)) == [b"refused: no"]
    assert (protocol.queued, protocol.needs, protocol.closed) == (False, 0, None)


@pytest.mark.parametrize("turn", [False, True])
def test_what_is_half_answered_is_given_up_with_the_connection(turn: bool) -> None:
    """And with it the memory that it has taken."""
    running: list[bytes] = []

    def answer(message: bytes) -> Iterator[bytes | None]:
        running.append(message)
        try:
            yield None
        finally:
            running.clear()

    protocol = authenticate(Protocol("peer", KEY, Answer(answer, answering().to_error), LIMITS))
    protocol.receive_data(frames.encode(LARGE))
    if turn:
        protocol.begin()
        protocol.resume()
        assert running
    protocol.close("evicted")
    assert (protocol.queued, protocol.needs, protocol.answering) == (False, 0, 0)
    assert protocol.buffered == len(running) == 0
    protocol.resume()
    assert protocol.over


TOO_LARGE = LIMITS.max_message + 1
REFUSED = f"refused: a message of {TOO_LARGE} bytes was sent; at most {LIMITS.max_message} are"


@pytest.mark.parametrize("part", [1000, 256 * 1024, 2 * TOO_LARGE])
def test_a_message_that_is_too_large_is_dropped_and_then_refused(part: int) -> None:
    """What is before it and behind it is answered, and nothing of it is kept."""
    stream = b"".join(map(frames.encode, (b"before", bytes(TOO_LARGE), b"behind")))
    protocol = authenticated()
    sent = b""
    for start in range(0, len(stream), part):
        protocol.receive_data(stream[start : start + part])
        assert protocol.buffered < 1000
        sent += drain(protocol)
        while protocol.queued:
            protocol.resume()
            sent += drain(protocol)
    before, refused, behind = messages(sent)
    assert (before, behind) == (b"BEFORE", b"BEHIND")
    assert refused.decode().startswith(REFUSED)
    assert protocol.closed is None


def test_it_is_refused_when_the_last_byte_is_there_and_not_sooner() -> None:
    """A client that is still sending would not read it."""
    protocol = authenticated()
    protocol.receive_data(frames.encode(bytes(TOO_LARGE))[:-1])
    assert not protocol.data_to_send()
    assert not protocol.queued
    assert protocol.buffered, "it has a deadline, as every message that has begun"
    protocol.receive_data(b"\0")
    assert messages(drain(protocol))[0].decode().startswith(REFUSED)
    assert protocol.buffered == 0
    protocol.receive_data(frames.encode(b"next"))
    assert messages(drain(protocol)) == [b"NEXT"]


def test_to_close_it_drops_what_is_buffered() -> None:
    """Of messages and answers alike: the memory is needed for others."""
    protocol = authenticated()
    protocol.receive_data(frames.encode(b"answered") + frames.encode(b"half a message")[:-1])
    assert protocol.buffered > 0
    protocol.close("evicted")
    assert (protocol.closed, protocol.buffered, protocol.data_to_send()) == ("evicted", 0, b"")
    assert not protocol.queued


def test_what_arrives_after_that_is_not_looked_at() -> None:
    """It is the rest of a message that was dropped, and would be taken for the start of one."""
    protocol = authenticated()
    protocol.receive_data(frames.encode(b"dropped")[:-1])
    protocol.close("evicted")
    for data in (frames.encode(b"inside of the message"), b""):
        protocol.receive_data(data)
        assert (protocol.closed, protocol.data_to_send()) == ("evicted", b"")
