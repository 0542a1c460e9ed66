"""All connections of a server: time limits and memory, with a clock that the test moves."""

import subprocess
import sys

import pytest

from scripts.stack import ROOT
from services import runtime
from services.connection import frames
from services.connection.handshake import WELCOME
from services.connection.protocol import Limits, Protocol
from services.connection.sessions import TICK, Sessions, limits_from_settings, message_size
from tests.support.connections import (
    KEY,
    answering,
    authenticate,
    drain,
    handshake_of_client,
    messages,
)

LIMITS = Limits(handshake_timeout=5.0, message_timeout=30.0, max_message=10_000)


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


def buffer(sessions: Sessions[int], descriptor: int, size: int) -> Protocol:
    """Open a connection that has received `size` bytes of a longer message."""
    protocol = opened(sessions, descriptor)
    protocol.receive_data(frames.encode(bytes(LIMITS.max_message))[:size])
    sessions.update(descriptor)
    return protocol


def test_who_buffers_the_most_is_evicted_first(sessions: Sessions[int]) -> None:
    """Then the next one, until the rest fits into what all may buffer together."""
    for descriptor, size in ((1, 1000), (2, 9000), (3, 2000), (4, 8000)):
        buffer(sessions, descriptor, size)
    assert (sessions.buffered, sessions.pop_closed()) == (20_000, [])
    buffer(sessions, 5, 1)
    assert (sessions.buffered, sessions.pop_closed()) == (11_001, [2])
    buffer(sessions, 2, 9_500)
    assert (sessions.buffered, sessions.pop_closed()) == (11_001, [2])
    assert [each for each in range(9) if each in sessions] == [1, 3, 4, 5]


def test_an_evicted_connection_frees_its_memory_at_once(sessions: Sessions[int]) -> None:
    """Not when its socket is closed, which is up to the driver."""
    evicted = buffer(sessions, 1, 9_999)
    buffer(sessions, 2, 9_998)
    buffer(sessions, 3, 9_000)
    assert evicted.buffered == 0
    assert evicted.closed == "evicted, with 9999 bytes buffered"


def test_answers_count_as_long_as_they_are_not_sent(sessions: Sessions[int]) -> None:
    """As messages do; a byte that is sent makes no difference before the last one is."""
    protocol = opened(sessions)
    protocol.receive_data(frames.encode(bytes(5000)))
    sessions.update(1)
    assert sessions.buffered == 5004
    drain(protocol)
    sessions.update(1)
    assert sessions.buffered == 0


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
from services.connection.memory import keep_freed_memory
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
from services.connection.memory import share_freed_memory
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
