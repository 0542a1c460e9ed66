"""All connections of a server: time limits and memory, with a clock that the test moves."""

import subprocess
import sys

import pytest

from lab import ROOT
from services import runtime
from services.connection import frames
from services.connection.handshake import WELCOME
from services.connection.protocol import CHUNK, SMALL, Limits, Protocol
from services.connection.sessions import (
    ENOUGH,
    MAX_WAITING,
    STALLED,
    TICK,
    Sessions,
    limits_from_settings,
    message_size,
)
from tests.support.connections import (
    KEY,
    answering,
    authenticate,
    drain,
    handshake_of_client,
    messages,
)

MIB = 1024 * 1024
LIMITS = Limits(handshake_timeout=5.0, message_timeout=30.0, max_message=4 * MIB)
LARGEST = LIMITS.max_message


class Clock:
    """A clock that stands still until a test moves it."""

    now = 1000.0

    def __call__(self) -> float:
        """Return the time, in seconds."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Return the clock of the sessions."""
    return Clock()


@pytest.fixture
def sessions(clock: Clock) -> Sessions[int]:
    """Return the sessions of a server without connections."""
    return Sessions(answering(), KEY, LIMITS, clock)


def wait(sessions: Sessions[int], clock: Clock, seconds: float) -> list[int]:
    """Let time pass, check the timeouts once, and return what is closed."""
    clock.now += seconds
    sessions.check_timeouts(clock.now)
    return sessions.pop_closed()


def opened(sessions: Sessions[int], descriptor: int = 1) -> Protocol:
    """Open a connection and complete its handshake."""
    protocol = authenticate(sessions.open(descriptor, descriptor, "peer"))
    sessions.update(descriptor)
    return protocol


def test_a_connection_that_is_closed_is_forgotten(sessions: Sessions[int]) -> None:
    """Its descriptor is returned once, to be closed, and may then be that of another."""
    protocol = opened(sessions)
    assert sessions.pop_closed() == []
    protocol.receive_data(b"")
    sessions.update(1)
    sessions.update(1)
    assert sessions.pop_closed() == [1]
    assert sessions.pop_closed() == []
    assert 1 not in sessions
    opened(sessions)


def test_what_is_left_to_send_is_sent_before_it_is_closed(sessions: Sessions[int]) -> None:
    """Such as the failure that tells a client of its wrong key."""
    protocol = sessions.open(1, 1, "peer")
    drain(protocol)
    protocol.receive_data(frames.encode(bytes(16)))
    sessions.update(1)
    assert sessions.pop_closed() == []
    drain(protocol)
    sessions.update(1)
    assert sessions.pop_closed() == [1]


def test_timeouts_are_checked_several_times_a_second(sessions: Sessions[int], clock: Clock) -> None:
    """Not in each iteration of a driver's loop."""
    assert sessions.check_timeouts(clock.now)
    assert not sessions.check_timeouts(clock.now)
    clock.now += TICK
    assert sessions.check_timeouts(clock.now)


def test_the_handshake_has_a_deadline(sessions: Sessions[int], clock: Clock) -> None:
    """Neither its first steps nor bytes that complete none put it off."""
    protocol = sessions.open(1, 1, "peer")
    drain(protocol)
    protocol.receive_data(frames.encode(bytes(16))[:-1])
    assert wait(sessions, clock, LIMITS.handshake_timeout) == []
    assert wait(sessions, clock, TICK) == [1]
    assert protocol.closed == "the handshake took too long"


def test_an_idle_client_has_no_deadline(sessions: Sessions[int], clock: Clock) -> None:
    """Between two messages it may be silent for as long as it likes."""
    protocol = opened(sessions)
    assert wait(sessions, clock, 1e9) == []
    assert wait(sessions, clock, 1e9) == []
    protocol.receive_data(frames.encode(b"hello"))
    drain(protocol)
    assert wait(sessions, clock, 1e9) == []
    assert wait(sessions, clock, 1e9) == []


def test_a_message_has_a_deadline_from_its_first_byte(
    sessions: Sessions[int], clock: Clock
) -> None:
    """Further bytes do not put it off."""
    protocol = opened(sessions)
    protocol.receive_data(b"\0")
    assert wait(sessions, clock, 0) == []
    clock.now += LIMITS.message_timeout - 1
    protocol.receive_data(b"\0")
    assert wait(sessions, clock, 1) == []
    assert wait(sessions, clock, TICK) == [1]
    assert protocol.closed == "a message took too long"


def test_a_message_that_is_too_large_has_a_deadline_too(
    sessions: Sessions[int], clock: Clock
) -> None:
    """From its first byte, though none of it is kept."""
    protocol = opened(sessions)
    message = frames.encode(bytes(LIMITS.max_message + 1))
    protocol.receive_data(message[:100])
    sessions.update(1)
    assert wait(sessions, clock, 0) == []
    clock.now += LIMITS.message_timeout - 1
    protocol.receive_data(message[100:-1])
    assert sessions.buffered < 100
    assert wait(sessions, clock, 1) == []
    assert wait(sessions, clock, TICK) == [1]
    assert protocol.closed == "a message took too long"


@pytest.mark.parametrize("first", ["the handshake", "the end of the handshake", "a message"])
def test_a_message_that_arrives_behind_something_has_all_of_its_time(
    sessions: Sessions[int], clock: Clock, first: str
) -> None:
    """What was before it in the same receive has no part in its deadline."""
    protocol = sessions.open(1, 1, "peer")
    before = handshake_of_client(protocol)
    if first != "the handshake":
        end = len(frames.encode(WELCOME))
        protocol.receive_data(before[:-end])
        drain(protocol)
        before = before[-end:]
    if first == "a message":
        protocol.receive_data(before + b"\0")
        drain(protocol)
        assert wait(sessions, clock, 0) == []
        clock.now += LIMITS.message_timeout - 1
        before = frames.encode(b"x")[1:]
    protocol.receive_data(before + frames.encode(b"hello")[:-1])
    assert wait(sessions, clock, TICK) == []
    assert wait(sessions, clock, LIMITS.message_timeout) == []
    assert wait(sessions, clock, TICK) == [1]
    assert protocol.closed == "a message took too long"


def test_an_answer_that_is_not_read_has_a_deadline(sessions: Sessions[int], clock: Clock) -> None:
    """Each byte of it that is taken puts that off."""
    protocol = opened(sessions)
    protocol.receive_data(frames.encode(b"hello"))
    assert wait(sessions, clock, 0) == []
    clock.now += LIMITS.message_timeout - 1
    protocol.sent(1)
    assert wait(sessions, clock, 0) == []
    assert wait(sessions, clock, LIMITS.message_timeout) == []
    assert wait(sessions, clock, TICK) == [1]
    assert protocol.closed == "a message took too long"


def test_the_time_of_a_message_stands_still_while_answers_wait(
    sessions: Sessions[int], clock: Clock
) -> None:
    """What follows in the stream is not read until the answer before it is taken."""
    protocol = opened(sessions)
    protocol.receive_data(frames.encode(b"first") + frames.encode(b"second")[:-1])
    assert wait(sessions, clock, 0) == []
    clock.now += LIMITS.message_timeout - 1
    drain(protocol)
    assert wait(sessions, clock, 0) == []
    assert wait(sessions, clock, LIMITS.message_timeout - 1) == []
    protocol.receive_data(frames.encode(b"second")[-1:])
    assert messages(drain(protocol)) == [b"SECOND"]


def test_a_slow_answer_is_not_the_fault_of_the_client(clock: Clock) -> None:
    """Another thread checks the timeouts meanwhile: this message was complete in time."""

    def answer(message: bytes) -> bytes:
        for _ in range(3):
            clock.now += LIMITS.message_timeout
            slow.check_timeouts(clock.now)
        return message

    slow: Sessions[int] = Sessions(answering(answer), KEY, LIMITS, clock)
    protocol = opened(slow)
    message = frames.encode(b"in two parts")
    protocol.receive_data(message[:-1])
    slow.update(1)
    assert wait(slow, clock, 0) == []
    protocol.receive_data(message[-1:])
    slow.update(1)
    assert slow.pop_closed() == []
    assert messages(drain(protocol)) == [b"in two parts"]


def test_an_update_of_a_connection_that_is_gone_is_nothing(sessions: Sessions[int]) -> None:
    """Another thread may have evicted and removed it just now."""
    sessions.update(1)
    assert sessions.pop_closed() == []


def announced(sessions: Sessions[int], descriptor: int, size: int) -> Protocol:
    """Open a connection that has sent the first half of SMALL bytes of a message."""
    protocol = opened(sessions, descriptor)
    protocol.receive_data(frames.encode(bytes(size))[: SMALL // 2])
    sessions.update(descriptor)
    return protocol


def receive(sessions: Sessions[int], descriptor: int, size: int) -> None:
    """Receive the next bytes of a message, and answer it if it is complete."""
    sessions[descriptor][1].receive_data(bytes(size))
    sessions.update(descriptor)
    answer(sessions, descriptor)


def answer(sessions: Sessions[int], descriptor: int) -> None:
    """Answer a large message to its end, if it is its turn."""
    while sessions[descriptor][1].turn:
        sessions[descriptor][1].resume()
        sessions.update(descriptor)


def send(sessions: Sessions[int], descriptor: int) -> None:
    """Send all that there is to send."""
    drain(sessions[descriptor][1])
    sessions.update(descriptor)


def unread(sessions: Sessions[int], descriptor: int, size: int) -> Protocol:
    """Open a connection with an answer of `size` bytes to send, to a message that was as long."""
    protocol = opened(sessions, descriptor)
    receive_all(sessions, descriptor, size)
    answer(sessions, descriptor)
    return protocol


def receive_all(sessions: Sessions[int], descriptor: int, size: int) -> None:
    """Receive a message of `size` bytes with its header."""
    sessions[descriptor][1].receive_data(frames.encode(bytes(size - frames.HEADER.size)))
    sessions.update(descriptor)


def waiting(sessions: Sessions[int]) -> list[int]:
    """Return those that wait for room, or for their turn."""
    return [
        each
        for each in range(2000)
        if each in sessions and sessions[each][1].needs and not sessions[each][1].turn
    ]


def test_a_large_message_waits_until_there_is_room(sessions: Sessions[int]) -> None:
    """For it and its answer; in their order, and who comes later overtakes nobody."""
    for descriptor in range(1, 11):
        announced(sessions, descriptor, MIB - frames.HEADER.size)
    assert waiting(sessions) == [5, 6, 7, 8, 9, 10]
    receive(sessions, 2, MIB - SMALL // 2)  # its answer is there: half as much as was reserved
    assert waiting(sessions) == [5, 6, 7, 8, 9, 10]
    announced(sessions, 11, SMALL + 1)
    assert waiting(sessions) == [5, 6, 7, 8, 9, 10, 11]
    send(sessions, 2)
    assert waiting(sessions) == [6, 7, 8, 9, 10, 11]
    for gone in (7, 3, 4):
        receive(sessions, gone, 0)
    assert sorted(sessions.pop_closed()) == [3, 4, 7]
    assert waiting(sessions) == [9, 10, 11]


def test_who_waits_takes_up_no_room(sessions: Sessions[int]) -> None:
    """Those that wait, however many, neither keep each other waiting nor have others evicted."""
    header = frames.HEADER.pack(LARGEST)
    many = range(1, LIMITS.max_buffered // SMALL + 3)
    for descriptor in many:
        protocol = opened(sessions, descriptor)
        protocol.receive_data(header[:-1])
        receive(sessions, descriptor, protocol.receive_size)
    assert waiting(sessions) == [*many][1:]
    receive(sessions, 1, 0)
    sessions.pop_closed()
    assert waiting(sessions) == [*many][2:]


def test_a_small_message_waits_for_nothing(sessions: Sessions[int]) -> None:
    """Neither does one that is dropped, as it is too large."""
    announced(sessions, 1, LARGEST)
    announced(sessions, 2, LARGEST)
    assert announced(sessions, 3, SMALL - frames.HEADER.size).needs == 0
    assert announced(sessions, 4, LARGEST + 1).needs == 0
    assert waiting(sessions) == [2]


@pytest.mark.parametrize("first", [LARGEST // 2, LARGEST])
def test_a_message_of_the_largest_size_has_its_turn(sessions: Sessions[int], first: int) -> None:
    """It and its answer need all of the room, and half is enough to begin."""
    for descriptor in (1, 2):
        unread(sessions, descriptor, first)
    announced(sessions, 3, LARGEST)
    assert waiting(sessions) == ([3] if first == LARGEST else [])
    send(sessions, 1)
    assert waiting(sessions) == []


def test_little_is_received_before_there_is_room(sessions: Sessions[int]) -> None:
    """And then no more than this message, so that what is reserved is enough."""
    assert opened(sessions, 9).receive_size == SMALL
    first = announced(sessions, 1, LARGEST)
    second = announced(sessions, 2, LARGEST)
    assert (first.receive_size, second.receive_size) == (CHUNK, SMALL)
    assert first.buffered == first.moved - second.moved + 2 * (LARGEST + frames.HEADER.size)
    assert second.buffered == SMALL // 2
    receive(sessions, 1, LARGEST - SMALL // 2 - 100)
    assert first.receive_size == 100 + frames.HEADER.size
    receive(sessions, 1, first.receive_size)
    assert first.receive_size == SMALL
    assert first.buffered == len(first.data_to_send())
    drain(first)
    first.receive_data(frames.HEADER.pack(LARGEST))
    assert first.needs


@pytest.mark.parametrize("end", ["room", "a timeout"])
def test_who_waits_is_woken(sessions: Sessions[int], clock: Clock, end: str) -> None:
    """Its driver waits for that, and for nothing else."""
    woken: list[int] = []
    announced(sessions, 1, LARGEST)
    authenticate(sessions.open(2, 2, "peer", lambda: woken.append(2)))
    sessions[2][1].receive_data(frames.HEADER.pack(LARGEST))
    sessions.update(2)
    assert (waiting(sessions), woken) == ([2], [])
    if end == "room":
        receive(sessions, 1, 0)
        assert sessions.pop_closed() == [1]
    else:
        wait(sessions, clock, 0)
        sessions[1][1].receive_data(bytes(ENOUGH))
        wait(sessions, clock, LIMITS.message_timeout + TICK)
    assert (waiting(sessions), woken) == ([], [2])


def test_a_message_behind_an_answer_waits_once_that_is_sent(sessions: Sessions[int]) -> None:
    """Also where as much is buffered for it as was for the message before."""
    announced(sessions, 1, LARGEST)
    protocol = opened(sessions, 2)
    protocol.receive_data(frames.encode(b"x" * 96)[:50])
    sessions.update(2)
    protocol.receive_data(frames.encode(b"x" * 96)[50:] + frames.encode(bytes(LARGEST))[:50])
    assert protocol.needs == 0
    assert messages(drain(protocol)) == [b"X" * 96]
    sessions.update(2)
    assert (protocol.buffered, waiting(sessions)) == (50, [2])
    receive(sessions, 1, 0)
    sessions.pop_closed()
    assert waiting(sessions) == []


def test_who_waits_has_a_deadline_and_then_all_of_its_time(
    sessions: Sessions[int], clock: Clock
) -> None:
    """From the moment that it begins to wait, and anew once there is room."""
    busy = unread(sessions, 1, LARGEST)
    first = announced(sessions, 2, LARGEST)
    begun = opened(sessions, 5)
    begun.receive_data(frames.HEADER.pack(LARGEST)[:1])
    second, third = (announced(sessions, each, LARGEST) for each in (3, 4))

    def pass_time(seconds: float, *moving: Protocol) -> None:
        for _ in range(int(seconds / TICK)):
            for protocol in moving:
                if protocol.data_to_send():
                    protocol.sent(ENOUGH)
                else:
                    protocol.receive_data(bytes(ENOUGH))
            wait(sessions, clock, TICK)

    pass_time(LIMITS.message_timeout / 2, busy, first)
    begun.receive_data(frames.HEADER.pack(LARGEST)[1:])
    sessions.update(5)
    pass_time(LIMITS.message_timeout / 2 - 1, busy, first)
    receive(sessions, 2, 0)
    sessions.pop_closed()
    assert waiting(sessions) == [4, 5]
    pass_time(2, busy, second)
    assert begun.closed is None
    assert third.closed == "a message took too long to get room"
    pass_time(LIMITS.message_timeout - 3, busy, second)
    assert second.closed is None
    pass_time(2, busy, second)
    assert second.closed == "a message took too long"


def test_not_too_many_wait_for_room(sessions: Sessions[int]) -> None:
    """Of each the beginning of a message is in memory; the last ones are closed."""
    announced(sessions, 0, LARGEST)
    for descriptor in range(1, MAX_WAITING + 1):
        announced(sessions, descriptor, LARGEST)
    assert sessions.pop_closed() == []
    last = announced(sessions, MAX_WAITING + 1, LARGEST)
    assert sessions.pop_closed() == [MAX_WAITING + 1]
    assert last.closed == "more than 1000 wait for room"


def test_who_makes_no_progress_is_evicted_if_others_wait(
    sessions: Sessions[int], clock: Clock
) -> None:
    """Neither who sends or takes some bytes, nor who has sent little."""
    reader = unread(sessions, 1, LARGEST)
    writer = announced(sessions, 2, LARGEST // 2 - frames.HEADER.size)
    small = announced(sessions, 3, SMALL // 2 + 1)
    assert [wait(sessions, clock, STALLED / 2) for _ in range(4)] == [[]] * 4  # nobody waits
    announced(sessions, 4, LARGEST)
    assert waiting(sessions) == [4]
    for _ in range(4):
        reader.sent(ENOUGH // 2)
        writer.receive_data(bytes(ENOUGH // 2))
        assert wait(sessions, clock, STALLED / 2) == []
    reader.sent(ENOUGH)
    assert wait(sessions, clock, STALLED) == [2]
    assert writer.closed == "evicted: no progress in 2 s, and others wait"
    assert waiting(sessions) == []
    announced(sessions, 5, LARGEST)
    assert wait(sessions, clock, STALLED) == [1]
    assert (reader.closed, small.closed) == (writer.closed, None)


def test_bytes_that_are_still_in_the_kernel_are_no_progress(
    sessions: Sessions[int], clock: Clock
) -> None:
    """A client that reads nothing lets the kernel take some, and acknowledges nothing."""
    reader = unread(sessions, 1, LARGEST)
    writer = announced(sessions, 2, LARGEST)
    announced(sessions, 3, LARGEST)

    def evicted(seconds: float, in_kernel: int) -> list[int]:
        writer.receive_data(bytes(ENOUGH))
        clock.now += seconds
        sessions.check_timeouts(clock.now, {1: in_kernel, 2: 0}.__getitem__)
        return sessions.pop_closed()

    assert evicted(0, 0) == []
    reader.sent(10 * ENOUGH)
    assert evicted(STALLED, 9 * ENOUGH) == []
    reader.sent(10 * ENOUGH)
    assert evicted(STALLED, 19 * ENOUGH) == [1]


def test_at_the_second_limit_who_buffers_the_most_is_evicted(sessions: Sessions[int]) -> None:
    """Messages that came all at once, say, or answers larger than their messages."""
    kept = [unread(sessions, descriptor, LARGEST - descriptor) for descriptor in (3, 2, 4)]
    evicted = unread(sessions, 1, LARGEST)
    assert (sessions.buffered, sessions.pop_closed()) == (LIMITS.max_exceeded - 9, [])
    unread(sessions, 5, 10)
    assert (sessions.buffered, sessions.pop_closed()) == (3 * LARGEST + 1, [1])
    assert evicted.closed == f"evicted, with {LARGEST} bytes buffered"
    assert evicted.buffered == 0  # at once, and not when its socket is closed
    assert all(protocol.closed is None for protocol in kept)


def test_answers_count_as_long_as_they_are_not_sent(sessions: Sessions[int]) -> None:
    """As messages do; a byte that is sent makes no difference before the last one is."""
    protocol = opened(sessions)
    protocol.receive_data(frames.encode(bytes(5000)))
    sessions.update(1)
    assert sessions.buffered == 5004
    drain(protocol)
    sessions.update(1)
    assert sessions.buffered == 0


def complete(sessions: Sessions[int], *descriptors: int, size: int = MIB) -> list[Protocol]:
    """Open connections, each with a message that is complete and not answered yet."""
    protocols = [opened(sessions, descriptor) for descriptor in descriptors]
    for descriptor in descriptors:
        receive_all(sessions, descriptor, size)
    return protocols


def test_large_messages_are_answered_one_after_the_other(sessions: Sessions[int]) -> None:
    """What one is decoded into can take many times its memory."""
    complete(sessions, 1, 2, 3)
    for first in (1, 2, 3):
        assert sessions.turns == [(first, 0)]
        assert waiting(sessions) == [*range(first + 1, 4)]
        answer(sessions, first)
    assert sessions.turns == []


def test_a_turn_ends_with_the_answer_however_long_that_is(sessions: Sessions[int]) -> None:
    """Also where as much is buffered for it as was for the message."""
    first, second = complete(sessions, 1, 2)
    before = first.buffered
    first._answer = answering(lambda _: bytes(before - frames.HEADER.size))
    answer(sessions, 1)
    assert (first.buffered, second.turn) == (before, True)


@pytest.mark.parametrize("gone", [1, 2])
@pytest.mark.parametrize("how", ["closed by the client", "evicted"])
def test_who_leaves_gives_up_its_turn(sessions: Sessions[int], gone: int, how: str) -> None:
    """Or its place in the queue."""
    protocols = complete(sessions, 1, 2, 3)
    if how == "evicted":
        protocols[gone - 1].close(how)
    else:
        protocols[gone - 1].receive_data(b"")
    sessions.update(gone)
    assert sessions.pop_closed() == [gone]
    assert sessions.turns == [(2 if gone == 1 else 1, 0)]
    answer(sessions, 2 if gone == 1 else 1)
    assert sessions.turns == [(3, 0)]


def test_whose_turn_it_is_is_woken(sessions: Sessions[int]) -> None:
    """Its driver waits for that, where it does not look at `turns`."""
    woken: list[int] = []
    complete(sessions, 1)
    authenticate(sessions.open(2, 2, "peer", lambda: woken.append(2)))
    receive_all(sessions, 2, MIB)
    assert woken == []
    answer(sessions, 1)
    assert woken == [2]


def test_who_waits_for_us_has_no_deadline_and_is_not_evicted(
    sessions: Sessions[int], clock: Clock
) -> None:
    """Whether it waits for its turn, or is answered in many steps; others have theirs."""
    first, second = complete(sessions, 1, 2)
    announced(sessions, 3, LARGEST)
    announced(sessions, 4, LARGEST)
    assert waiting(sessions) == [2, 4]
    gone = [each for _ in range(300) for each in wait(sessions, clock, STALLED / 2)]
    assert sorted(gone) == [3, 4]
    assert (first.closed, second.closed) == (None, None)
    answer(sessions, 1)
    assert wait(sessions, clock, TICK) == []
    assert wait(sessions, clock, LIMITS.message_timeout + TICK) == [1]
    assert first.closed == "a message took too long"


def test_the_limits_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are read when a server starts."""
    assert limits_from_settings() == Limits()
    monkeypatch.setenv("WIRELAB_SILENCE_TIMEOUT", "7")
    monkeypatch.setenv("WIRELAB_MAX_MESSAGE", "5000")
    assert limits_from_settings() == Limits(message_timeout=7, max_message=5000)
    monkeypatch.setenv("WIRELAB_SILENCE_TIMEOUT", "soon")
    with pytest.raises(runtime.SettingError, match=r"^WIRELAB_SILENCE_TIMEOUT has value 'soon'\."):
        limits_from_settings()


@pytest.mark.parametrize("text", ["4095", "2147483648", "16 MiB", "-1", "\u0661"])
def test_a_size_that_no_message_can_have_is_refused(text: str) -> None:
    """The length on the wire is a signed integer of 32 bits, and a handshake has to fit."""
    with pytest.raises(ValueError, match=r"a number of bytes \(4096 to 2147483647\)"):
        message_size(text)


def test_the_memory_of_a_message_is_used_again() -> None:
    """It is not returned to the kernel and taken again page by page, each of them a page fault."""
    count = """
import resource
from services.memory import keep_freed_memory
keep_freed_memory(2**24)
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


POOLS = """
import ctypes, sys
from threading import Barrier, Thread
from services.memory import share_freed_memory
if sys.argv[1] == "shared":
    share_freed_memory()
together = Barrier(8)
def work():
    together.wait()
    bytearray(100_000)
    together.wait()
threads = [Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc = ctypes.CDLL(None)
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))  # malloc_info(3)
libc.fflush(None)
"""


@pytest.mark.parametrize(("how", "pools"), [("shared", {1}), ("apart", set(range(2, 99)))])
def test_threads_use_the_memory_that_others_have_freed(how: str, pools: set[int]) -> None:
    """In pools of their own, each would keep what it once had, and together many times that."""
    command = [sys.executable, "-c", POOLS, how]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.count("<heap nr=") in pools
