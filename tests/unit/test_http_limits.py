"""All connections of an HTTP server: the time and the memory that they may take."""

import math

from services.http.limits import (
    ENOUGH_FREED,
    MAX_BODIES,
    MAX_BUFFERED,
    MAX_EXCEEDED,
    MAX_EXPIRED,
    MAX_WAITING,
    STALLED,
    TOO_LATE,
    TOO_MUCH,
    Sessions,
)
from services.http.protocol import SMALL, Protocol
from services.http.request import MAX_BODY
from tests.unit.test_http_protocol import IDLE_TIMEOUT, PEER, REQUEST_TIMEOUT, Clock, request


def opened(sessions: Sessions, clock: Clock, descriptor: int) -> Protocol:
    """Return the protocol of a new connection."""
    protocol = Protocol(PEER, REQUEST_TIMEOUT, IDLE_TIMEOUT, clock=clock)
    sessions[descriptor] = protocol
    return protocol


def announced(sessions: Sessions, clock: Clock, descriptor: int, size: int) -> Protocol:
    """Return the protocol of a connection that has sent the head of a request with a body."""
    protocol = opened(sessions, clock, descriptor)
    protocol.receive_data(request(b"x", Content_Length=str(size)))
    assert not protocol.next_request()
    sessions.count(descriptor)
    return protocol


def admitted(sessions: Sessions) -> list[int]:
    """Give room to those that wait, as the worker does; return them."""
    found = []
    while waiting := sessions.first_waiting():
        found.append(waiting)
        sessions[waiting].reserve()
        sessions[waiting].next_request()
        sessions.count(waiting)
    return found


def handled(sessions: Sessions, clock: Clock, descriptor: int, size: int) -> Protocol:
    """Return the protocol of a connection whose request of `size` bytes is being handled."""
    protocol = announced(sessions, clock, descriptor, max(size, 2))
    if protocol.needs:
        protocol.reserve()
    protocol.receive_data(bytes(max(size, 2) - 1))
    assert protocol.next_request()
    sessions.count(descriptor)
    return protocol


def unread(sessions: Sessions, clock: Clock, descriptor: int, size: int) -> Protocol:
    """Return the protocol of a connection with `size` bytes of a response to send."""
    protocol = handled(sessions, clock, descriptor, 0)
    protocol.respond(bytes(size))
    sessions.count(descriptor)
    return protocol


def test_what_is_buffered_is_counted_for_all_connections_together() -> None:
    """As it grows, as it is sent, and until the connection is closed."""
    clock = Clock()
    sessions = Sessions()
    half = opened(sessions, clock, 1)
    half.receive_data(bytes(1000))
    sessions.count(1)
    response = unread(sessions, clock, 2, 500)
    assert sessions.buffered == 1500
    response.sent(400)
    sessions.count(2)
    assert sessions.buffered == 1100
    half.close("gone")
    sessions.count(1)
    assert sessions.buffered == 100


def test_large_bodies_wait_until_there_is_room() -> None:
    """In their order, and those that come later do not overtake them; small ones need none."""
    clock = Clock()
    sessions = Sessions()
    for descriptor in range(1, 11):
        announced(sessions, clock, descriptor, MAX_BUFFERED // 8)
    assert admitted(sessions) == [1, 2, 3, 4]
    assert sessions.buffered == MAX_BODIES
    assert not announced(sessions, clock, 11, SMALL).needs
    assert announced(sessions, clock, 12, SMALL + 1).needs
    assert admitted(sessions) == []
    for descriptor in (3, 11):
        sessions[descriptor].close("gone")
        sessions.count(descriptor)
    assert admitted(sessions) == [5]


def test_a_body_in_chunks_needs_room_for_the_largest() -> None:
    """Its size is not known before its end."""
    clock = Clock()
    sessions = Sessions()
    protocol = opened(sessions, clock, 1)
    protocol.receive_data(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert not protocol.next_request()
    assert protocol.needs == MAX_BODY
    sessions.count(1)
    assert admitted(sessions) == [1]
    assert sessions.buffered == MAX_BODY
    protocol.receive_data(b"1\r\nx\r\n0\r\n\r\n")
    assert protocol.next_request()
    protocol.respond(b"small")
    sessions.count(1)
    assert sessions.buffered == len(b"small")


def test_a_large_response_waits_until_there_is_room() -> None:
    """Its request is handled again then. There is room for a single one, however large it is."""
    clock = Clock()
    sessions = Sessions()
    handled(sessions, clock, 1, 0)
    assert sessions.has_room_for(1, 10 * MAX_BUFFERED)
    first = unread(sessions, clock, 1, MAX_BUFFERED // 2 + 1)
    second = handled(sessions, clock, 2, 0)
    assert sessions.has_room_for(2, SMALL)
    assert not sessions.has_room_for(2, MAX_BUFFERED // 2)
    asked = second.request
    second.postpone(MAX_BUFFERED // 2)
    sessions.count(2)
    handled(sessions, clock, 3, 0)
    assert not sessions.has_room_for(3, SMALL + 1)  # the second was first
    assert admitted(sessions) == []
    first.sent(10)
    sessions.count(1)
    assert admitted(sessions) == [2]
    assert second.request is asked
    assert sessions.has_room_for(2, MAX_BUFFERED // 2)
    second.respond(bytes(MAX_BUFFERED // 2))
    sessions.count(2)
    assert sessions.buffered <= MAX_BUFFERED


def test_who_waits_for_room_does_not_wait_for_ever() -> None:
    """The time for its request starts when there is room; without any, it gets a status."""
    clock = Clock()
    sessions = Sessions()
    unread(sessions, clock, 1, MAX_BUFFERED)
    for descriptor in (2, 3):
        announced(sessions, clock, descriptor, SMALL + 1)
    clock.now += REQUEST_TIMEOUT - 1
    sessions[1].close("gone")
    sessions.count(1)
    sessions[2].reserve()
    sessions.count(2)
    unread(sessions, clock, 1, MAX_BUFFERED)
    clock.now += 2
    assert sessions.check_timeouts(clock.now) == [3]
    assert sessions[3].error is TOO_MUCH
    assert sessions[2].deadline == clock.now - 2 + REQUEST_TIMEOUT
    assert admitted(sessions) == []


def test_not_too_many_wait_for_room() -> None:
    """Of each a part is in memory; the last ones get a status."""
    clock = Clock()
    sessions = Sessions()
    unread(sessions, clock, 0, MAX_BODIES)
    for descriptor in range(1, MAX_WAITING + 1):
        announced(sessions, clock, descriptor, SMALL + 1)
        assert sessions.evict() == []
    announced(sessions, clock, MAX_WAITING + 1, SMALL + 1)
    assert sessions.evict() == [MAX_WAITING + 1]
    assert sessions[MAX_WAITING + 1].error is TOO_MUCH


def stalled(sessions: Sessions, clock: Clock, seconds: float) -> list[int]:
    """Return who is evicted at a check after `seconds`."""
    clock.now += seconds
    return sessions.evict_stalled(clock.now, lambda _: 0)


def test_who_makes_no_progress_is_evicted_if_others_wait() -> None:
    """Neither those who take or send some bytes, nor those whose request is being handled."""
    clock = Clock()
    sessions = Sessions()
    reader = unread(sessions, clock, 1, MAX_BODIES // 4)
    writer = announced(sessions, clock, 2, MAX_BODIES // 4)
    handled(sessions, clock, 3, MAX_BODIES // 4)
    idle = unread(sessions, clock, 4, SMALL)
    assert admitted(sessions) == [2]
    assert [stalled(sessions, clock, 0.5) for _ in range(9)] == [[]] * 9  # nobody waits
    announced(sessions, clock, 5, MAX_BODIES // 4)
    for _ in range(9):
        assert stalled(sessions, clock, STALLED / 2) == []
        reader.sent(SMALL // 2)
        writer.receive_data(bytes(SMALL // 2))
    reader.sent(SMALL)
    assert stalled(sessions, clock, STALLED) == [2]
    assert writer.error is TOO_MUCH
    assert admitted(sessions) == [5]
    announced(sessions, clock, 6, MAX_BODIES // 4)
    assert stalled(sessions, clock, STALLED) == [1]
    assert reader.closed == TOO_MUCH.detail
    assert admitted(sessions) == [6]
    assert idle.closed is None


def test_bytes_that_are_still_in_the_kernel_are_no_progress() -> None:
    """A client that reads nothing lets the kernel take some, and acknowledges nothing."""
    clock = Clock()
    sessions = Sessions()
    reader = unread(sessions, clock, 1, MAX_BUFFERED)
    announced(sessions, clock, 2, MAX_BODY)
    assert sessions.evict_stalled(clock.now, lambda _: 0) == []
    reader.sent(10 * SMALL)
    clock.now += STALLED
    assert sessions.evict_stalled(clock.now, lambda _: 9 * SMALL) == []
    clock.now += STALLED
    assert sessions.evict_stalled(clock.now, lambda _: 9 * SMALL) == [1]


def test_at_the_second_limit_those_that_took_the_longest_are_evicted() -> None:
    """Until enough is freed; not those that came last, nor those that have buffered little."""
    clock = Clock()
    sessions = Sessions()
    size = MAX_EXCEEDED // 8
    unread(sessions, clock, 9, SMALL)
    for descriptor in (5, 3, 8, 1, 7, 2, 6):
        clock.now += 1
        unread(sessions, clock, descriptor, size)
        assert sessions.evict() == []
    clock.now += 1
    late = unread(sessions, clock, 4, size)
    assert sessions.buffered > MAX_EXCEEDED
    assert sessions.evict() == [5, 3, 8]
    assert sessions.buffered < ENOUGH_FREED
    assert not late.closed


def test_a_response_may_be_large_all_by_itself() -> None:
    """Of several the one that was started last stays."""
    clock = Clock()
    large = 2 * MAX_EXCEEDED
    sessions = Sessions()
    unread(sessions, clock, 1, large)
    assert sessions.evict() == []
    for descriptor in (2, 3):
        clock.now += 1
        unread(sessions, clock, descriptor, large)
    assert sessions.evict() == [1, 2]


def test_a_request_that_is_being_handled_is_not_evicted() -> None:
    """Its memory is in use, and the server has accepted it."""
    clock = Clock()
    sessions = Sessions()
    for descriptor in range(MAX_EXCEEDED // MAX_BODY + 1):
        assert handled(sessions, clock, descriptor, MAX_BODY).request
    assert sessions.buffered > MAX_EXCEEDED
    assert sessions.evict() == []


def test_connections_expire_at_their_deadlines() -> None:
    """Not before, and not again."""
    clock = Clock()
    sessions = Sessions()
    idle = opened(sessions, clock, 1)
    slow = announced(sessions, clock, 2, 100)
    busy = handled(sessions, clock, 3, 1)
    clock.now += REQUEST_TIMEOUT
    assert sessions.check_timeouts(clock.now) == []
    clock.now += 0.1
    assert sessions.check_timeouts(clock.now) == [2]
    assert slow.error
    assert sessions.buffered < 1000
    slow.sent(len(slow.data_to_send()))
    assert sessions.check_timeouts(clock.now) == []
    clock.now += IDLE_TIMEOUT
    assert sessions.check_timeouts(clock.now) == [1, 2]
    assert idle.closed == slow.closed == TOO_LATE.detail
    assert sessions.check_timeouts(clock.now) == []
    assert busy.deadline == math.inf


def test_connections_expire_some_at_a_time() -> None:
    """So that many that connected together do not hold up the others."""
    clock = Clock()
    sessions = Sessions()
    for descriptor in range(MAX_EXPIRED + 1):
        opened(sessions, clock, descriptor)
    clock.now += IDLE_TIMEOUT + 1
    first = sessions.check_timeouts(clock.now)
    assert first == list(range(MAX_EXPIRED))
    assert sessions.check_timeouts(clock.now) == [MAX_EXPIRED]
