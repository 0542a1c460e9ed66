"""One authenticated connection without its socket."""

import hmac
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import chain

import pytest

from scripts.stack import ROOT
from services.connection import frames
from services.connection.frames import TURN
from services.connection.handshake import CHALLENGE, FAILURE, WELCOME
from services.connection.session import (
    HANDSHAKE_SECONDS,
    MAX_MESSAGE,
    MESSAGE_SECONDS,
    Session,
)

KEY = b"k" * 32
THEIRS = CHALLENGE + bytes(20)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the time in a list, to be changed by a test."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def new_session(answer: Callable[[bytes], bytes] = bytes.upper) -> Session:
    """Return a session whose client has not yet said anything."""
    return Session("peer", KEY, answer)


def drain(session: Session) -> bytes:
    """Take what the session wants to send."""
    unsent = bytes(session.unsent)
    session.sent(len(unsent))
    return unsent


def client_half(session: Session) -> bytes:
    """Return all that a client sends in its handshake; it needs no more than our challenge."""
    (challenge,) = messages(drain(session))
    answer = hmac.new(KEY, challenge.removeprefix(CHALLENGE), "md5").digest()
    return frames.encode(answer) + frames.encode(THEIRS) + frames.encode(WELCOME)


def messages(data: bytes) -> list[bytes]:
    """Return the messages in `data`."""
    incoming = frames.Incoming(MAX_MESSAGE)
    taken = list(incoming.messages(data))
    assert incoming.size == 0
    return taken


def authenticated(answer: Callable[[bytes], bytes] = bytes.upper) -> Session:
    """Return a session that has its handshake behind it."""
    session = new_session(answer)
    session.receive(client_half(session))
    drain(session)
    return session


def test_it_begins_with_our_challenge() -> None:
    """There is something to send before anything is received."""
    (challenge,) = messages(drain(new_session()))
    assert challenge.startswith(CHALLENGE)


def test_it_does_not_matter_where_the_stream_is_cut() -> None:
    """Split in two at any byte, handshake and messages have the same answers."""
    whole = len(client_half(new_session()) + frames.encode(b"hello") + frames.encode(b"world"))
    for cut in range(1, whole):
        session = new_session()
        data = client_half(session) + frames.encode(b"hello") + frames.encode(b"world")
        session.receive(data[:cut])
        sent = drain(session)
        session.receive(data[cut:])
        sent += drain(session)
        welcome, answer, *replies = messages(sent)
        assert (welcome, len(answer), replies) == (WELCOME, 16, [b"HELLO", b"WORLD"])
        assert session.ended is None


def test_one_byte_at_a_time_is_enough() -> None:
    """Every cut at once."""
    session = new_session()
    sent = b""
    for byte in client_half(session) + frames.encode(b"hello"):
        session.receive(bytes([byte]))
        sent += drain(session)
    assert messages(sent)[2:] == [b"HELLO"]


@pytest.mark.parametrize("count", [1, 2, TURN - 1, TURN, TURN + 1, 5 * TURN, 5 * TURN + 1])
def test_messages_sent_without_waiting_are_answered_in_order(count: int) -> None:
    """One receive may bring many; those of others have their turn in between."""
    session = authenticated()
    session.receive(b"".join(frames.encode(b"m%d" % n) for n in range(count)))
    turns = [messages(drain(session))]
    while session.more:
        session.go_on()
        turns.append(messages(drain(session)))
    assert list(chain(*turns)) == [b"M%d" % n for n in range(count)]
    assert max(map(len, turns)) <= TURN
    assert session.held == 0


def test_what_it_holds_is_counted() -> None:
    """Of a message that is not complete, of those that wait, and of an answer until all is sent."""
    session = authenticated()
    assert session.held == 0
    whole = frames.encode(bytes(10_000))
    session.receive(whole[:5000])
    assert session.held == 5000
    session.receive(whole[5000:])
    assert session.held == len(whole)
    session.sent(len(whole) - 1)
    assert session.held == len(whole), "the memory of an answer is free when all of it is sent"
    session.sent(1)
    assert session.held == 0
    session.receive(frames.encode(b"x") * (TURN + 2))
    assert session.held == (TURN + 2) * len(frames.encode(b"x"))


def test_fin_ends_it() -> None:
    """An empty receive is the client's FIN."""
    session = authenticated()
    session.receive(b"")
    assert session.ended == "closed by the client"


def test_a_wrong_key_is_told_so_and_ends_it() -> None:
    """The last thing to send is the failure."""
    session = new_session()
    drain(session)
    session.receive(frames.encode(bytes(16)))
    assert messages(drain(session)) == [FAILURE]
    assert session.ended == "AuthenticationError: the client does not know the key"


@pytest.mark.parametrize("size", [MAX_MESSAGE + 1, -1, 0])
def test_a_frame_that_will_not_be_read_ends_it(size: int) -> None:
    """The header alone does."""
    session = authenticated()
    session.receive(struct.pack("!i", size))
    assert session.ended
    assert session.ended.startswith(f"FrameError: a message of {size} bytes")


def test_a_stranger_may_announce_less() -> None:
    """Before the handshake is done a message has at most 256 bytes."""
    session = new_session()
    drain(session)
    session.receive(struct.pack("!i", 257))
    assert session.ended
    assert session.ended.startswith("FrameError: a message of 257 bytes")


def test_who_has_the_key_may_send_more() -> None:
    """Up to 16 MiB in a message."""
    session = authenticated(lambda message: b"%d" % len(message))
    session.receive(frames.encode(bytes(MAX_MESSAGE)))
    assert messages(drain(session)) == [b"%d" % MAX_MESSAGE]


def test_answers_made_before_a_failure_are_still_sent() -> None:
    """Only the message that failed, and what follows it, have none."""

    def answer(message: bytes) -> bytes:
        if message == b"bad":
            raise ValueError("no")
        return message

    session = authenticated(answer)
    session.receive(b"".join(map(frames.encode, (b"good", b"bad", b"good"))))
    assert messages(drain(session)) == [b"good"]
    assert session.ended == "ValueError: no"


def test_the_handshake_has_a_deadline(clock: list[float]) -> None:
    """Neither its first steps nor bytes that complete none put it off."""
    session = new_session()
    drain(session)
    session.receive(frames.encode(bytes(16))[:-1])
    session.check_deadline(clock[0] + HANDSHAKE_SECONDS)
    assert session.ended is None
    session.check_deadline(clock[0] + HANDSHAKE_SECONDS + 0.1)
    assert session.ended == "the handshake took too long"


def test_an_idle_client_has_none(clock: list[float]) -> None:
    """Between two messages it may be silent for as long as it likes."""
    session = authenticated()
    for seconds in (0, 1e9, 2e9):
        session.check_deadline(clock[0] + seconds)
    session.receive(frames.encode(b"hello"))
    drain(session)
    for seconds in (3e9, 4e9):
        session.check_deadline(clock[0] + seconds)
    assert session.ended is None


def test_a_message_has_a_deadline_from_its_first_byte(clock: list[float]) -> None:
    """Further bytes do not put it off."""
    session = authenticated()
    session.receive(b"\0")
    started = clock[0]
    session.check_deadline(started)
    clock[0] += MESSAGE_SECONDS - 1
    session.receive(b"\0")
    session.check_deadline(started + MESSAGE_SECONDS)
    assert session.ended is None
    session.check_deadline(started + MESSAGE_SECONDS + 0.1)
    assert session.ended == "a message took too long"


@pytest.mark.parametrize("first", ["the handshake", "the end of the handshake", "a message"])
def test_a_message_that_arrives_behind_something_has_all_of_its_time(
    clock: list[float], first: str
) -> None:
    """What was before it in the same receive has no part in its deadline."""
    session = new_session()
    before = client_half(session)
    if first != "the handshake":
        end = len(frames.encode(WELCOME))
        session.receive(before[:-end])
        drain(session)
        before = before[-end:]
    if first == "a message":
        session.receive(before + b"\0")
        drain(session)
        session.check_deadline(clock[0])
        clock[0] += MESSAGE_SECONDS - 1
        before = frames.encode(b"x")[1:]
    session.receive(before + frames.encode(b"hello")[:-1])
    session.check_deadline(clock[0])
    session.check_deadline(clock[0] + MESSAGE_SECONDS)
    assert session.ended is None
    session.check_deadline(clock[0] + MESSAGE_SECONDS + 0.1)
    assert session.ended == "a message took too long"


def test_an_answer_that_nobody_takes_has_a_deadline(clock: list[float]) -> None:
    """Each byte of it that is taken puts that off."""
    session = authenticated()
    session.receive(frames.encode(b"hello"))
    session.check_deadline(clock[0])
    clock[0] += MESSAGE_SECONDS - 1
    session.sent(1)
    session.check_deadline(clock[0])
    session.check_deadline(clock[0] + MESSAGE_SECONDS)
    assert session.ended is None
    session.check_deadline(clock[0] + MESSAGE_SECONDS + 0.1)
    assert session.ended == "a message took too long"


def test_the_time_of_a_message_stands_still_while_answers_wait(clock: list[float]) -> None:
    """What follows in the stream is not read until the answer before it is taken."""
    session = authenticated()
    session.receive(frames.encode(b"first") + frames.encode(b"second")[:-1])
    session.check_deadline(clock[0])
    clock[0] += MESSAGE_SECONDS - 1
    drain(session)
    session.check_deadline(clock[0])
    clock[0] += MESSAGE_SECONDS - 1
    session.check_deadline(clock[0])
    assert session.ended is None
    session.receive(frames.encode(b"second")[-1:])
    assert messages(drain(session)) == [b"SECOND"]


def test_the_memory_of_a_message_is_used_again() -> None:
    """Not given back to the kernel with each, and taken anew page by page: a fault for each."""
    count = """
import resource
from services.connection.session import keep_memory
keep_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
first = bytearray(1_000_000) + b"x"
del first
before = faults()
for _ in range(100):
    bytearray(1_000_000) + b"x"
print(faults() - before)
"""
    command = [sys.executable, "-c", count]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1000
