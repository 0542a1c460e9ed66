"""The UDP client, against a server that does to its datagrams what networks do."""

import argparse
import random
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import pytest

from clients import udp_time
from clients.addresses import Address
from clients.udp_time import Offset, Reply, Statistics, TimeClient, clock_offsets, is_ctime, told
from tests.support.pace import until
from tests.support.sockets import LOOPBACK, closed_port

PATIENT = 5.0  # seconds for a reply that does come
IMPATIENT = 0.03  # seconds for one that does not

Send = Callable[[bytes], object]
Script = Callable[[int, bytes, Send], object]


@contextmanager
def server(script: Script) -> Iterator[Address]:
    """Run `script(number, request, send)` for each datagram, numbered from 1."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((LOOPBACK, 0))
        sock.settimeout(0.02)
        stop = threading.Event()

        def reply(peer: tuple[str, int], data: bytes) -> None:
            sock.sendto(data, peer)

        def serve() -> None:
            number = 0
            while not stop.is_set():
                with suppress(TimeoutError):
                    request, peer = sock.recvfrom(2048)
                    number += 1
                    script(number, request, partial(reply, peer))

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield Address(*sock.getsockname())
        finally:
            stop.set()
            thread.join()


def answer(number: int, request: bytes) -> bytes:
    """Return a reply whose time tells which datagram it is an answer to."""
    return request + b" " + time.ctime(number).encode()


def counted(statistics: Statistics) -> dict[str, int]:
    """Return what was counted, less what was not seen."""
    names = ("sent", "answered", "late", "duplicate", "forged", "lost")
    return {name: count for name in names if (count := getattr(statistics, name))}


def test_a_reply_has_the_time_and_when_it_was_asked() -> None:
    """Nothing lost, nothing counted but one datagram and its answer."""

    def script(number: int, request: bytes, send: Send) -> None:
        send(answer(number, request))

    before = time.time()
    with server(script) as address, TimeClient(address, PATIENT) as client:
        reply = client.ask()
    assert reply.text == time.ctime(1)
    assert before <= reply.sent <= reply.received <= time.time() + 0.001
    assert reply.round_trip > 0
    assert counted(client.statistics) == {"sent": 1, "answered": 1}


def test_lost_datagrams_are_sent_again() -> None:
    """The third attempt is the first to be answered."""

    def script(number: int, request: bytes, send: Send) -> None:
        if number > 2:
            send(answer(number, request))

    with server(script) as address, TimeClient(address, IMPATIENT, 8) as client:
        assert client.ask().text == time.ctime(3)
    assert client.statistics.sent >= 3
    assert client.statistics.answered == 1


def test_every_attempt_has_an_id_of_its_own() -> None:
    """Printable ASCII, 64 characters at most, and another prefix for each client."""
    seen: list[bytes] = []

    def script(number: int, request: bytes, send: Send) -> None:
        seen.append(request)
        if number % 2 == 0:
            send(answer(number, request))

    with server(script) as address:
        for _ in range(2):
            with TimeClient(address, IMPATIENT, 8) as client:
                client.ask()
    assert len(set(seen)) == len(seen) >= 4
    assert all(len(name) <= 64 and name.decode().isprintable() for name in seen)
    assert len({name.partition(b"-")[0] for name in seen}) == 2


def test_a_duplicate_is_counted_and_answers_nothing() -> None:
    """The second copy of a reply is not taken for that of the next request."""

    def script(number: int, request: bytes, send: Send) -> None:
        send(answer(number, request))
        send(answer(number, request))

    with server(script) as address, TimeClient(address, PATIENT) as client:
        texts = [client.ask().text for _ in range(5)]
    assert texts == [time.ctime(number) for number in range(1, 6)]
    assert counted(client.statistics) == {"sent": 5, "answered": 5, "duplicate": 4}


def test_a_late_reply_is_counted_and_answers_nothing() -> None:
    """It arrives during the next request, before that one's own."""
    held: list[bytes] = []

    def script(number: int, request: bytes, send: Send) -> None:
        held.append(answer(number, request))
        if number > 1:
            for datagram in held:
                send(datagram)

    with server(script) as address, TimeClient(address, IMPATIENT, 1) as client:
        with pytest.raises(TimeoutError):
            client.ask()
        client._timeout = PATIENT
        assert client.ask().text == time.ctime(2)
    assert counted(client.statistics) == {"sent": 2, "answered": 1, "late": 1}


def test_a_late_reply_that_comes_twice_is_one_and_a_duplicate() -> None:
    """Only the first of them takes back the loss."""
    held: list[bytes] = []

    def script(number: int, request: bytes, send: Send) -> None:
        held.append(answer(number, request))
        if number > 1:
            for datagram in (held[0], *held):
                send(datagram)

    with server(script) as address, TimeClient(address, IMPATIENT, 1) as client:
        with pytest.raises(TimeoutError):
            client.ask()
        client._timeout = PATIENT
        client.ask()
    assert counted(client.statistics) == {"sent": 2, "answered": 1, "late": 1, "duplicate": 1}


def test_a_slow_reply_to_an_earlier_attempt_will_do() -> None:
    """The round trip is that of the attempt that it answers."""
    held: list[bytes] = []

    def script(number: int, request: bytes, send: Send) -> None:
        held.append(answer(number, request))
        if number > 1:
            send(held[0])

    with server(script) as address, TimeClient(address, 0.2, 5) as client:
        reply = client.ask()
    assert reply.text == time.ctime(1)
    assert reply.round_trip > 0.15
    assert client.statistics.round_trips == [reply.round_trip]


def test_replies_that_overtake_each_other_are_told_apart() -> None:
    """The one left behind is late in the next request, not its answer."""
    held: list[bytes] = []

    def script(number: int, request: bytes, send: Send) -> None:
        held.append(answer(number, request))
        if number == 2:
            send(held[1])
            send(held[0])
        elif number > 2:
            send(held[-1])

    with server(script) as address, TimeClient(address, 0.3, 2) as client:
        assert client.ask().text == time.ctime(2)
        client._timeout = PATIENT
        assert client.ask().text == time.ctime(3)
    assert counted(client.statistics) == {"sent": 3, "answered": 2, "late": 1}


FORGED: dict[str, Callable[[bytes], bytes]] = {
    "another ID": lambda _: b"feedbeef-1 " + time.ctime(0).encode(),
    "no ID": lambda _: time.ctime(0).encode(),
    "an ID alone": lambda name: name,
    "garbage for a time": lambda name: name + b" " + b"x" * 24,
    "bytes for a time": lambda name: name + b" " + b"\xff" * 24,
    "nothing": lambda _: b"",
    "an ID one longer": lambda name: name + b"0 " + time.ctime(0).encode(),
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
def test_what_is_not_ours_is_counted_and_answers_nothing(forge: Callable[[bytes], bytes]) -> None:
    """The right reply, which comes after it, is the one that is returned."""

    def script(number: int, request: bytes, send: Send) -> None:
        send(forge(request))
        send(answer(number, request))

    with server(script) as address, TimeClient(address, PATIENT) as client:
        assert client.ask().text == time.ctime(1)
    assert counted(client.statistics) == {"sent": 1, "answered": 1, "forged": 1}


def test_a_reply_from_elsewhere_never_arrives() -> None:
    """The kernel hands a connected socket only what comes from its peer."""
    elsewhere = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def script(number: int, request: bytes, send: Send) -> None:
        elsewhere.sendto(answer(0, request), client._socket.getsockname())
        send(answer(number, request))

    with elsewhere, server(script) as address, TimeClient(address, PATIENT) as client:
        assert client.ask().text == time.ctime(1)
    assert counted(client.statistics) == {"sent": 1, "answered": 1}


def test_where_nothing_answers_it_gives_up() -> None:
    """Each attempt was made, and the error says how many."""
    with (
        server(lambda *_: None) as address,
        TimeClient(address, IMPATIENT, 3) as client,
        pytest.raises(TimeoutError, match=r"^no reply to 3 datagrams in 0\.\d s$"),
    ):
        client.ask()
    assert counted(client.statistics) == {"sent": 3, "lost": 3}


def test_where_nobody_listens_it_waits_all_the_same_and_says_so() -> None:
    """A refusal by ICMP comes at once, but the server may be about to start."""
    told: list[OSError] = []
    started = time.monotonic()
    with (
        closed_port() as address,
        TimeClient(address, IMPATIENT, 3, say=told.append) as client,
        pytest.raises(
            ConnectionRefusedError,
            match=r"^Connection refused \(ICMP\): [123] of 3 datagrams in 0\.\d s$",
        ),
    ):
        client.ask()
    assert time.monotonic() - started > 0.8 * (1 + 2 + 4) * IMPATIENT
    assert counted(client.statistics) == {"sent": 3, "lost": 3}
    assert client.statistics.refused >= 1
    assert len(told) == 1
    assert str(client.statistics).endswith(f"100.0% loss, {client.statistics.refused} refused")


def test_a_refusal_that_comes_late_costs_no_attempt() -> None:
    """The kernel says so instead of sending the next datagram, which is then sent once more."""
    with closed_port() as address, TimeClient(address, PATIENT, 1) as client:
        client._socket.send(b"refused")
        until(lambda: client._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0, "sent")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as late:
            client._socket.send(b"refused too")
            select.select([client._socket], [], [], PATIENT)  # the ICMP message has come
            late.bind(address)
            late.settimeout(2 * PATIENT)

            def reply() -> None:
                request, peer = late.recvfrom(2048)
                late.sendto(answer(1, request), peer)

            thread = threading.Thread(target=reply)
            thread.start()
            assert client.ask().text == time.ctime(1)
            thread.join()
    assert counted(client.statistics) == {"sent": 1, "answered": 1}
    assert client.statistics.refused == 1


def test_a_server_that_stops_meanwhile_is_said_to_have(capsys: pytest.CaptureFixture[str]) -> None:
    """What it answered before stays, and the request after that has the refusal."""
    with closed_port() as address:
        parser = argparse.ArgumentParser()
        udp_time.configure(parser)
        options = parser.parse_args(["-c", "2", "-a", "1", "-w", "5", "-i", "0.001"])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as leaving:
            leaving.bind(address)

            def reply() -> None:
                request, peer = leaving.recvfrom(2048)
                leaving.close()
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as once:
                    once.bind(address)
                    once.sendto(answer(1, request), peer)

            thread = threading.Thread(target=reply)
            thread.start()
            options.wait = 0.2
            udp_time.command(options, address)
            thread.join()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"1: {time.ctime(1)}")
    assert lines[1] == "Connection refused (ICMP); waiting for the server to start"
    assert lines[2].startswith("2: Connection refused (ICMP): 1 of 1 datagrams in ")
    assert lines[3].endswith(", 50.0% loss, 1 refused")


def test_a_server_that_starts_meanwhile_is_found() -> None:
    """The refusal of one attempt does not spoil the next."""
    with server(lambda *_: None) as address:
        pass
    with TimeClient(address, IMPATIENT, 8) as client:
        waits = client._waits

        def start_after_the_first() -> Iterator[float]:
            for number, wait in enumerate(waits()):
                if number == 1:
                    late.bind(address)
                    late.settimeout(PATIENT)
                    thread.start()
                yield wait

        def reply() -> None:
            request, peer = late.recvfrom(2048)
            late.sendto(answer(1, request), peer)

        thread = threading.Thread(target=reply)
        client._waits = start_after_the_first  # type: ignore[method-assign]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as late:
            assert client.ask().text == time.ctime(1)
            thread.join()


def test_waits_double_up_to_a_ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less and less is sent into a network that answers nothing."""
    monkeypatch.setattr(random, "uniform", lambda _low, _high: 1)
    with TimeClient(Address(LOOPBACK, 9), 0.25, 6, ceiling=2.0) as client:
        assert list(client._waits()) == [0.25, 0.5, 1.0, 2.0, 2.0, 2.0]


def test_waits_have_jitter() -> None:
    """A fifth to either side, each time anew."""
    with TimeClient(Address(LOOPBACK, 9), 1.0, 1) as client:
        waits = [wait for _ in range(1000) for wait in client._waits()]
    assert 0.8 <= min(waits) < 0.85
    assert 1.15 < max(waits) <= 1.2


def test_the_statistics_are_two_lines() -> None:
    """What became of the datagrams, and the round trips of those answered."""
    statistics = Statistics()
    assert str(statistics) == ("0 sent, 0 answered, 0 late, 0 duplicate, 0 not ours, 0.0% loss")
    statistics.sent, statistics.answered, statistics.late = 8, 3, 1
    statistics.duplicate, statistics.forged = 2, 1
    statistics.round_trips = [0.003, 0.001, 0.002]
    assert str(statistics) == (
        "8 sent, 3 answered, 1 late, 2 duplicate, 1 not ours, 50.0% loss\n"
        "round trip min/median/max = 1.00/2.00/3.00 ms"
    )


AUTUMN, SPRING = 1792890000, 1774746000  # 2026-10-25 and 2026-03-29, 01:00 UTC


@pytest.mark.parametrize("moment", [AUTUMN, SPRING], ids=["autumn", "spring"])
@pytest.mark.parametrize("late", [-7200, -3600, -1800, -3, 1800, 3600, 7200])
def test_a_clock_that_goes_forward_or_back_an_hour_was_not_set(
    moment: int, late: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same times come twice in autumn, and both clocks know which of them it is."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")  # of Central Europe: tzset(3)
    time.tzset()
    try:
        asked = [moment + late + each + 0.5 for each in range(6)]
        (offset,) = clock_offsets([Reply(time.ctime(each), each, 0.001) for each in asked])
    finally:
        monkeypatch.undo()
        time.tzset()
    assert offset.low <= 0 <= offset.high
    assert offset.high - offset.low < 1.1


@pytest.mark.parametrize(
    ("text", "held"),
    [
        (b"Wed Aug 15 20:35:08 2012", True),
        (b"Wed Aug  1 20:35:08 2012", True),
        (b"2012-08-15T20:35:08", False),
        (b"Wed Aug 32 20:35:08 2012", False),
        (b"\xff" * 24, False),
        (b"", False),
    ],
)
def test_a_ctime_is_recognised(text: bytes, held: bool) -> None:
    """Also one with a day of one digit, which ctime pads with a space."""
    assert is_ctime(text) is held


def replies(offset: float, *asked: tuple[float, float]) -> list[Reply]:
    """Return the replies of a clock that is ahead by `offset`, read amid each round trip."""
    start = 1345062908.0
    return [
        Reply(time.ctime(start + (sent + received) / 2 + offset), start + sent, received - sent)
        for sent, received in asked
    ]


ASKED = [(n * 1.1, n * 1.1 + 0.01) for n in range(20)]


def test_one_reply_bounds_the_clock_to_a_second_and_a_round_trip() -> None:
    """The clock was anywhere in that second, at any moment of the round trip."""
    assert clock_offsets(replies(0, (0.25, 0.75))) == [Offset(-0.75, 0.75, 1)]


def test_more_replies_narrow_the_bounds() -> None:
    """Those close to a second's edge the most."""
    offsets = clock_offsets(replies(0, (0.0, 0.25), (0.5, 0.75), (0.875, 1.0)))
    assert offsets == [Offset(-0.25, 0.125, 3)]


@pytest.mark.parametrize("offset", [0.0, 0.5, -7.25, 3600.0])
def test_the_true_offset_is_within_the_bounds(offset: float) -> None:
    """However far the clocks are apart."""
    ((low, high, count),) = clock_offsets(replies(offset, *ASKED))
    assert low <= offset <= high
    assert high - low < 0.2
    assert count == 20


@pytest.mark.parametrize("step", [-86400.0, -3.0, -1.5, -0.4, 0.4, 1.5, 3.0, 86400.0])
def test_a_clock_that_is_set_meanwhile_has_two_offsets(step: float) -> None:
    """Each has bounds, none of which are negative; a small step may stay within those of both."""
    offsets = clock_offsets(replies(0, *ASKED[:10]) + replies(step, *ASKED[10:]))
    assert all(low <= high for low, high, _ in offsets)
    assert sum(offset.replies for offset in offsets) == 20
    first, *_, last = offsets
    assert first.low <= 0 <= first.high
    assert last.low <= step <= last.high
    assert len(offsets) == 2


def test_a_clock_of_ours_that_is_set_within_a_round_trip_bounds_nothing_wrong() -> None:
    """The round trip is measured by another, which cannot be set."""

    def script(_number: int, request: bytes, send: Send) -> None:
        clock.append(-3600.0)
        send(request + b" " + time.ctime(true_time()).encode())

    clock = [0.0]
    true_time = time.time
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: true_time() + clock[-1])
        with server(script) as address, TimeClient(address, PATIENT) as client:
            (offset,) = clock_offsets([client.ask()])
    assert offset.low <= 0 <= offset.high


def test_what_is_told_of_a_clock_that_was_set() -> None:
    """That it was, and how far it was ahead before and after; else one line."""
    offset = Offset(-0.25, 0.75, 3)
    assert told([offset]) == ["clock offset +0.250 s, give or take 0.500 s"]
    assert told([offset, offset._replace(low=9.75, high=10.25, replies=2)]) == [
        "a clock was set meanwhile, once: the server's or that of this machine",
        "clock offset of the first 3 replies +0.250 s, give or take 0.500 s",
        "clock offset of the last 2 replies +10.000 s, give or take 0.250 s",
    ]
    assert told([offset] * 5)[0].startswith("a clock was set meanwhile, 4 times: ")


def test_the_health_check_asks_twice_at_most() -> None:
    """It is over before the engine's patience is."""
    seen: list[Any] = []
    with (
        server(lambda number, *_: seen.append(number)) as address,
        pytest.raises(TimeoutError, match="no reply to 2 datagrams"),
    ):
        udp_time.health(address, 0.09)
    assert seen == [1, 2]
