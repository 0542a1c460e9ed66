"""All connections of an HTTP server: the time and the memory that they may take."""

import math

from services.http.limits import (
    ENOUGH_FREED,
    FAIR_SHARE,
    MAX_BUFFERED,
    MAX_EXPIRED,
    TOO_LATE,
    Sessions,
)
from services.http.protocol import Protocol
from tests.unit.test_http_protocol import IDLE_TIMEOUT, PEER, REQUEST_TIMEOUT, Clock, request


def opened(sessions: Sessions, clock: Clock, descriptor: int) -> Protocol:
    """Return the protocol of a new connection."""
    protocol = Protocol(PEER, REQUEST_TIMEOUT, IDLE_TIMEOUT, clock=clock)
    sessions[descriptor] = protocol
    return protocol


def incomplete(sessions: Sessions, clock: Clock, descriptor: int, size: int) -> Protocol:
    """Return the protocol of a connection with `size` bytes of a request that is incomplete."""
    protocol = opened(sessions, clock, descriptor)
    protocol.receive_data(request(bytes(1), Content_Length=str(2**20)))
    protocol.next_request()
    if size > 1:
        protocol.receive_data(bytes(size - 1))
    sessions.count(descriptor)
    return protocol


def handled(sessions: Sessions, clock: Clock, descriptor: int, size: int) -> Protocol:
    """Return the protocol of a connection whose request of `size` bytes is being handled."""
    protocol = opened(sessions, clock, descriptor)
    protocol.receive_data(request(bytes(size)))
    protocol.next_request()
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
    incomplete(sessions, clock, 1, 1000)
    response = unread(sessions, clock, 2, 500)
    assert sessions.buffered == 1500
    response.sent(400)
    sessions.count(2)
    assert sessions.buffered == 1100
    sessions[1].close("gone")
    sessions.count(1)
    assert sessions.buffered == 100


def test_those_that_took_the_longest_are_evicted() -> None:
    """Until enough is freed; not those that came last, nor those that have buffered little."""
    clock = Clock()
    sessions = Sessions()
    size = MAX_BUFFERED // 8
    incomplete(sessions, clock, 0, FAIR_SHARE)
    for descriptor in (5, 3, 8, 1, 7, 2, 6):
        clock.now += 1
        incomplete(sessions, clock, descriptor, size)
        assert sessions.evict() == []
    clock.now += 1
    late = incomplete(sessions, clock, 4, size)
    assert sessions.buffered > MAX_BUFFERED
    assert sessions.evict() == [5, 3, 8]
    assert sessions.buffered < ENOUGH_FREED
    assert not late.closing


def test_a_response_may_be_large_all_by_itself() -> None:
    """Of several the one that was started last stays; of incomplete requests none."""
    clock = Clock()
    large = 2 * MAX_BUFFERED
    sessions = Sessions()
    unread(sessions, clock, 1, large)
    assert sessions.evict() == []
    for descriptor in (2, 3):
        clock.now += 1
        unread(sessions, clock, descriptor, large)
    clock.now += 1
    incomplete(sessions, clock, 4, large)
    assert sessions.evict() == [1, 2, 4]


def test_a_request_that_is_being_handled_is_not_evicted() -> None:
    """Its memory is in use, and the server has accepted it."""
    clock = Clock()
    sessions = Sessions()
    for descriptor in range(9):
        assert handled(sessions, clock, descriptor, 2**20).request
    assert sessions.buffered > MAX_BUFFERED
    assert sessions.evict() == []


def test_connections_expire_at_their_deadlines() -> None:
    """Not before, and not again."""
    clock = Clock()
    sessions = Sessions()
    idle = opened(sessions, clock, 1)
    slow = incomplete(sessions, clock, 2, 100_000)
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
