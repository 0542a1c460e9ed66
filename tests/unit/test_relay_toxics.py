"""The relay's toxics, without sockets and without a clock: what comes out, and when."""

import math
import os
from collections.abc import Iterable, Iterator

import pytest

from services.relay.chain import Chain
from services.relay.datagram_toxics import DATAGRAM_TOXICS
from services.relay.proxy import TOXICS
from services.relay.stream_toxics import MAX_LOSSES, RTO, SEGMENT, STREAM_TOXICS
from services.relay.toxics import Effect, Piece, Toxic, draws
from services.wire.record import Protocol

COUNT = 10_000  # datagrams
Out = list[tuple[float, Piece]]


class Line:
    """A chain of toxics with a clock that the test moves; what leaves it, and when."""

    def __init__(self, protocol: Protocol, *toxics: Toxic, seed: int = 7) -> None:
        self.protocol, self.seed = protocol, seed
        self.chain = Chain(ordered=protocol == "tcp")
        self.now = 100.0
        self.out: Out = []
        self.offset = 0
        for toxic in toxics:
            self.add(toxic)

    def add(self, toxic: Toxic) -> None:
        """Add a toxic at the end."""
        self.chain.add(effect(self.protocol, toxic, self.seed), 0.0, self.now)

    def send(self, data: bytes, kind: str = "data") -> None:
        """Let something in."""
        self.chain.receive(Piece(kind, self.offset, data, self.now), self.now)  # type: ignore[arg-type]
        self.offset += len(data) if self.protocol == "tcp" else 1
        self.take()

    def take(self) -> None:
        """Take out what is due by now."""
        ready = self.chain.ready(self.now)
        while ready:
            self.out.append((round(self.now - 100, 6), ready.popleft()))

    def wait(self, seconds: float = math.inf) -> "Line":
        """Move the clock, and take out each piece when it is due."""
        end = self.now + seconds
        while (deadline := self.chain.deadline) <= end and deadline < math.inf:
            self.now = max(self.now, deadline)
            self.take()
        self.now = end if end < math.inf else self.now
        return self

    @property
    def arrived(self) -> bytes:
        """The bytes that came out."""
        return b"".join(piece.data for _, piece in self.out if not piece.dropped)

    def faults(self) -> list[tuple[int, float | None, str]]:
        """Return each fault with its offset; one that goes on is one."""
        found: list[tuple[int, float | None, str]] = []
        for _, piece in self.out:
            for action in piece.actions:
                if self.protocol == "udp" or not found or found[-1][1:] != (
                    action.draw, action.what
                ):  # fmt: skip
                    found.append((piece.offset, action.draw, action.what))
        return found


def effect(protocol: Protocol, toxic: Toxic, seed: int) -> Effect:
    """Return what a toxic does to connection 1 of a proxy."""
    return TOXICS[protocol][toxic.type](toxic, seed, draws(seed, "p", 1, toxic.stream, toxic.name))


def toxic(protocol: Protocol, kind: str, **values: float) -> Toxic:
    """Return a toxic, with the defaults of its type where nothing else is said."""
    attributes = {**TOXICS[protocol][kind].attributes, **values}
    return Toxic(f"{kind}_upstream", kind, "upstream", 1.0, attributes)


def tcp(kind: str, seed: int = 7, **values: float) -> Line:
    """Return a TCP stream with one toxic."""
    return Line("tcp", toxic("tcp", kind, **values), seed=seed)


def udp(kind: str, seed: int = 7, **values: float) -> Line:
    """Return a stream of datagrams with one toxic."""
    return Line("udp", toxic("udp", kind, **values), seed=seed)


def datagrams(line: Line, count: int = COUNT, every: float = 0.0) -> Line:
    """Send datagrams that say their number."""
    for number in range(count):
        line.send(b"%d" % number)
        line.wait(every)
    return line.wait(10.0)


def pieces_of(data: bytes, sizes: Iterable[int]) -> Iterator[bytes]:
    """Divide data in any way."""
    start = 0
    for size in sizes:
        yield data[start : start + size]
        start += size
    yield data[start:]


def within_three_deviations(count: int, rate: float, of: int = COUNT) -> bool:
    """Whether a binomial count is no more unusual than one in 370."""
    return abs(count - of * rate) <= 3 * math.sqrt(of * rate * (1 - rate))


def test_draws_are_the_same_each_time_and_differ_in_each_respect() -> None:
    """They do not depend on which were asked for before, nor on this version of Python."""
    first = draws(7, "proxy", 1, "upstream", "toxic")
    backwards = [first(index) for index in reversed(range(100))]
    again = draws(7, "proxy", 1, "upstream", "toxic")
    assert [again(index) for index in range(100)] == backwards[::-1]
    others = [
        draws(8, "proxy", 1, "upstream", "toxic"), draws(7, "other", 1, "upstream", "toxic"),
        draws(7, "proxy", 2, "upstream", "toxic"), draws(7, "proxy", 1, "downstream", "toxic"),
        draws(7, "proxy", 1, "upstream", "other"),
    ]  # fmt: skip
    assert len({draw(0) for draw in (first, *others)}) == 6
    assert first(0) == 0.18944042411299677


def test_draws_are_uniform() -> None:
    """A tenth of them in each tenth, and none of them twice."""
    draw = draws(1, "x")
    assert len({draw(index) for index in range(COUNT)}) == COUNT
    tenths = [int(draw(index) * 10) for index in range(COUNT)]
    assert all(within_three_deviations(tenths.count(tenth), 0.1) for tenth in range(10))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("latency", {"latency": 20, "jitter": 15}),
        ("slicer", {"average_size": 100, "size_variation": 50, "delay": 10}),
        ("packet_loss", {"loss_rate": 0.2}),
        ("limit_data", {"bytes": 5000}),
        ("half_close", {"bytes": 3000}),
        ("bandwidth", {"rate": 100}),
        ("slow_close", {"delay": 10}),
    ],
)
def test_faults_of_a_stream_do_not_depend_on_how_it_was_divided(
    kind: str, values: dict[str, float], seed: int
) -> None:
    """The same bytes, in one piece or in many: the same faults at the same offsets."""
    data = os.urandom(20_000)
    runs = []
    for sizes in ([], [1], [700] * 20, [3**n for n in range(9)]):
        line = tcp(kind, seed, **values)
        for piece in pieces_of(data, sizes):
            line.send(piece)
        line.send(b"", "fin")
        line.wait(60)
        runs.append(line)
    assert all(run.faults() == runs[0].faults() != [] for run in runs)
    assert len({run.arrived for run in runs}) == 1
    whole = kind not in ("limit_data", "half_close")
    assert runs[0].arrived == (data if whole else data[: int(values["bytes"])])


def test_another_seed_is_another_network() -> None:
    """And the same seed is the same one."""

    def faults(seed: int) -> object:
        line = tcp("packet_loss", seed, loss_rate=0.5)
        line.send(bytes(100_000))
        return line.wait(1000).faults()

    assert faults(1) == faults(1) != faults(2)


def test_latency_delays_by_as_much_as_it_says() -> None:
    """Bytes, and the end of the stream after them."""
    line = tcp("latency", latency=40)
    line.send(b"a")
    line.wait(0.010)
    line.send(b"b")
    line.send(b"", "fin")
    line.wait(1)
    assert [(when, piece.kind) for when, piece in line.out] == [
        (0.040, "data"), (0.050, "data"), (0.050, "fin")
    ]  # fmt: skip
    assert line.out[0][1].actions[0].what == "delayed by 40 ms"


def test_jitter_is_within_its_bounds_and_keeps_a_stream_in_order() -> None:
    """As each byte of it has to wait for those before."""
    line = tcp("latency", latency=40, jitter=30)
    line.send(bytes(512 * 200))
    line.wait(1)
    delays = [float(piece.actions[0].what.split()[2]) for _, piece in line.out]
    assert min(delays) >= 10
    assert max(delays) <= 70
    assert len(set(delays)) > 20
    offsets = [piece.offset for _, piece in line.out]
    assert offsets == sorted(offsets)


def test_two_latencies_add_up_however_late_they_are_looked_at() -> None:
    """The second stage has a piece from when it was due in the first."""
    line = Line("tcp", toxic("tcp", "latency", latency=10), toxic("tcp", "latency", latency=20))
    line.send(b"x")
    assert line.chain.deadline == pytest.approx(100.010)
    line.now = 100.025
    line.take()
    assert line.chain.deadline == pytest.approx(100.030)


def test_bandwidth_takes_the_time_of_the_bytes() -> None:
    """10 KB at 10 KB/s: ten parts, in each of which there is a tenth of a second."""
    line = tcp("bandwidth", rate=10)
    line.send(bytes(10_000))
    line.wait(5)
    assert [when for when, _ in line.out] == pytest.approx([0.1 * n for n in range(1, 11)])


def test_no_bandwidth_stalls_until_it_is_over() -> None:
    """Then all of it passes: a cable was pulled, and plugged in again."""
    cut = toxic("tcp", "bandwidth", rate=0)
    line = Line("tcp", cut)
    line.send(b"abc")
    assert line.wait(1000).out == []
    line.chain.remove(cut, line.now)
    line.take()
    assert line.arrived == b"abc"


def test_a_loss_in_a_stream_is_a_delay_of_all_that_follows() -> None:
    """Never a byte less; what is lost again waits for twice as long."""
    line = tcp("packet_loss", loss_rate=0.3)
    data = os.urandom(1460 * 100)
    line.send(data)
    line.wait(1000)
    assert line.arrived == data
    waits = [what for _, _, what in line.faults()]
    assert set(waits) >= {"lost, and sent again after 200 ms", "lost, and sent again after 600 ms"}
    assert within_three_deviations(len(waits), 0.3, of=100)


def test_a_lost_segment_delays_small_messages_once() -> None:
    """What comes before it was sent again waits behind it, and what comes after that does not."""
    line = tcp("packet_loss", loss_rate=1.0)
    wait = RTO * (2**MAX_LOSSES - 1)
    for byte in (b"a", b"b"):
        line.send(byte)
        line.wait(0.75 * wait)
    for byte in (b"c", b"d"):
        line.send(byte)
        line.wait(wait)
    assert [when for when, _ in line.out] == pytest.approx([wait, wait, 1.5 * wait, 2.5 * wait])
    line.send(bytes(SEGMENT))  # of which all but four bytes belong to the same one
    line.wait(10 * wait)
    assert [len(piece.data) for _, piece in line.out[4:]] == [SEGMENT - 4, 4]
    assert [when for when, _ in line.out[4:]] == pytest.approx([3.5 * wait, 4.5 * wait])
    assert [offset for offset, _, _ in line.faults()] == [0, SEGMENT]


def test_another_rate_is_one_for_the_rest_of_a_segment_too() -> None:
    """Else nothing would be lost of small messages for a while."""
    loss = toxic("tcp", "packet_loss", loss_rate=0.0)
    line = Line("tcp", loss)
    line.send(b"a")
    loss.attributes["loss_rate"] = 1.0
    line.chain.change(loss, line.now)
    line.send(b"b")
    line.wait(100)
    assert [offset for offset, _, _ in line.faults()] == [1]


def test_slices_have_the_size_that_they_should() -> None:
    """On average, and each within the variation."""
    line = tcp("slicer", average_size=100, size_variation=40, delay=1000)
    line.send(bytes(100_000))
    line.wait(10)
    sizes = [len(piece.data) for _, piece in line.out]
    assert len(sizes) in range(998, 1002)
    assert min(sizes[1:-1]) >= 60
    assert max(sizes[1:-1]) <= 140
    assert [round(when, 3) for when, _ in line.out[:3]] == [0.0, 0.001, 0.002]


@pytest.mark.parametrize("size", [0, 1])
def test_the_smallest_slices_are_bytes_and_no_size_is_no_slice(size: int) -> None:
    """A size of 0 cuts nothing, for ever."""
    line = tcp("slicer", average_size=size, size_variation=500)
    line.send(b"abc")
    line.wait(1)
    assert [piece.data for _, piece in line.out] == ([b"a", b"b", b"c"] if size else [b"abc"])


def test_a_timeout_drops_and_then_closes() -> None:
    """So long after the last data; with 0, when it is removed."""
    line = tcp("timeout", timeout=100)
    line.wait(0.05)
    line.send(b"x")
    line.wait(1)
    assert [(when, piece.kind, piece.dropped) for when, piece in line.out] == [
        (0.05, "data", True), (0.15, "close", False)
    ]  # fmt: skip
    never = toxic("tcp", "timeout")
    line = Line("tcp", never)
    line.send(b"x")
    line.wait(1000)
    line.chain.remove(never, line.now)
    line.take()
    assert [piece.kind for _, piece in line.out] == ["data", "close"]


def test_a_reset_comes_so_long_after_the_first_data() -> None:
    """And not before there is any."""
    line = tcp("reset_peer", timeout=50)
    line.wait(1)
    assert line.out == []
    line.send(b"x")
    line.wait(1)
    assert [(piece.kind, piece.dropped) for _, piece in line.out] == [
        ("data", True), ("reset", False)
    ]  # fmt: skip
    assert line.out[-1][0] == 1.05


def test_a_half_close_ends_one_stream_once() -> None:
    """What follows is dropped, and the sender's own end is too late."""
    line = tcp("half_close", bytes=3)
    line.send(b"abcd")
    line.send(b"e")
    line.send(b"", "fin")
    line.wait(1)
    kinds = [(piece.kind, piece.data, piece.dropped) for _, piece in line.out]
    assert kinds == [("data", b"abc", False), ("fin", b"", False), ("data", b"d", True),
                     ("data", b"e", True)]  # fmt: skip


def test_a_slow_close_delays_the_end_alone() -> None:
    """The bytes are not."""
    line = tcp("slow_close", delay=50)
    line.send(b"x")
    line.send(b"", "fin")
    line.wait(1)
    assert [(when, piece.kind) for when, piece in line.out] == [(0.0, "data"), (0.05, "fin")]


@pytest.mark.parametrize(
    ("protocol", "kind"),
    [("tcp", "latency"), ("udp", "latency"), ("tcp", "bandwidth"), ("udp", "reorder")],
)
@pytest.mark.parametrize("how", ["remove", "change"])
def test_what_waits_is_released(protocol: Protocol, kind: str, how: str) -> None:
    """In order, when the toxic is removed or changed; the journal says that it was."""
    every: dict[str, dict[str, float]] = {
        "latency": {"latency": 5000},
        "bandwidth": {"rate": 1},
        "reorder": {"reorder_rate": 1.0, "delay": 5000},
    }
    values = every[kind]
    first, then = toxic(protocol, kind, **values), toxic(protocol, "latency", latency=10)
    then.name = "then"
    line = Line(protocol, first, then)
    line.send(b"abc" * 30)
    line.send(b"def")
    line.wait(0.001)
    getattr(line.chain, how)(first, line.now)
    line.wait(0.2 if how == "remove" else 0.011)
    assert line.arrived == b"abc" * 30 + b"def"
    assert line.out[-1][0] == pytest.approx(0.011)
    assert line.out[-1][1].actions[0].what.endswith(", but released")
    assert line.chain.size == 0


def test_what_is_lost_with_its_connection_was_not_released() -> None:
    """The journal must not say that it went on."""
    line = Line("tcp", toxic("tcp", "latency", latency=5000))
    line.send(b"abc")
    [piece] = line.chain.abandon()
    assert (piece.data, piece.actions[0].what) == (b"abc", "delayed by 5000 ms")
    assert line.chain.size == 0


def test_a_toxic_that_is_not_to_act_does_nothing() -> None:
    """The draw of the connection is not below the toxicity."""
    never = toxic("tcp", "timeout", timeout=1)
    never.toxicity = 0.5
    line = Line("tcp")
    line.chain.add(effect("tcp", never, 7), 0.5, line.now)
    line.send(b"x")
    line.wait(10)
    assert line.arrived == b"x"


@pytest.mark.parametrize("how", ["remove", "change"])
@pytest.mark.parametrize(
    ("protocol", "kind"),
    [(protocol, kind) for protocol, kinds in TOXICS.items() for kind in kinds],
)
def test_what_has_never_acted_leaves_nothing_behind(
    protocol: Protocol, kind: str, how: str
) -> None:
    """Neither when it is removed, nor when it is changed to act even less."""
    never = toxic(protocol, kind)
    never.toxicity = 0.0
    line = Line(protocol, never)
    line.send(b"x")
    getattr(line.chain, how)(never, line.now)
    line.send(b"y")
    assert [(piece.data, piece.actions) for _, piece in line.out] == [(b"x", ()), (b"y", ())]


@pytest.mark.parametrize(
    ("kind", "values", "end"),
    [
        ("timeout", {"timeout": 100}, "close"),
        ("reset_peer", {"timeout": 100}, "reset"),
        ("half_close", {"bytes": 0}, "close"),
    ],
)
def test_what_is_not_to_act_any_more_ends_what_it_has_broken(
    kind: str, values: dict[str, float], end: str
) -> None:
    """At once, as when it is removed: bytes are missing from the stream, and no more may follow."""
    later = toxic("tcp", kind, **values)
    line = Line("tcp", later)
    line.send(b"x")
    line.wait(0.05)
    later.toxicity = 0.0
    line.chain.change(later, line.now)
    line.take()
    when, last = line.out[-1]
    assert (when, last.kind, line.arrived) == (0.05, end, b"")
    line.wait(10)
    assert line.out[-1][1] is last  # its timer is stopped


RATES = [("packet_loss", "loss_rate", "dropped"), ("duplicate", "duplicate_rate", "duplicated"),
         ("reorder", "reorder_rate", "held back"), ("corrupt", "corrupt_rate", "bit ")]  # fmt: skip


@pytest.mark.parametrize(("kind", "rate", "what"), RATES)
@pytest.mark.parametrize("seed", range(3))
def test_a_tenth_is_a_tenth(kind: str, rate: str, what: str, seed: int) -> None:
    """Of 10,000 datagrams, within three standard deviations; and each fault has its draw."""
    line = datagrams(udp(kind, seed, **{rate: 0.1}))
    acted = [fault for fault in line.faults() if fault[2].startswith(what)]
    assert within_three_deviations(len(acted), 0.1)
    assert all(draw is not None and draw < 0.1 for _, draw, _ in acted)
    left = sorted(int(piece.data) for _, piece in line.out if not piece.dropped
                  and not piece.actions)  # fmt: skip
    assert len(set(left)) == COUNT - len(acted)


@pytest.mark.parametrize("seed", range(3))
def test_correlated_losses_come_in_runs_at_the_same_rate(seed: int) -> None:
    """After a loss, the next is lost with a probability of rate + correlation * (1 - rate)."""
    line = datagrams(udp("packet_loss", seed, loss_rate=0.1, correlation=0.5))
    lost = {offset for offset, _, _ in line.faults()}
    # Runs make the count vary more: by (1 + c) / (1 - c), three times the variance.
    assert abs(len(lost) - 0.1 * COUNT) <= 3 * math.sqrt(3 * COUNT * 0.09)
    again = sum(offset + 1 in lost for offset in lost)
    assert within_three_deviations(again, 0.55, of=len(lost))


def test_a_duplicate_arrives_twice_and_a_corrupt_one_with_a_bit_flipped() -> None:
    """Nothing else of them is changed."""
    line = datagrams(udp("duplicate", duplicate_rate=1.0), 3)
    assert line.arrived == b"001122"
    line = udp("corrupt", corrupt_rate=1.0)
    line.send(b"\0" * 100)
    line.send(b"")
    line.wait(1)
    assert sum(byte.bit_count() for byte in line.out[0][1].data) == 1
    bit = int(line.out[0][1].actions[0].what.split()[1])
    assert line.out[0][1].data[bit // 8] == 0x80 >> bit % 8
    assert line.out[1][1].data == b""


def test_many_duplicates_are_two() -> None:
    """Or each toxic would double what the one before made, and some thirty fill any memory."""
    each = [toxic("udp", "duplicate", duplicate_rate=1.0) for _ in range(10)]
    line = Line("udp", *each)
    line.send(b"x")
    assert [piece.data for _, piece in line.out] == [b"x", b"x"]


def test_a_reordered_datagram_comes_after_those_that_overtake_it() -> None:
    """As many as the gap says; if they do not come, it is late."""
    line = datagrams(udp("reorder", seed=3, reorder_rate=0.1, gap=2), 200)
    order = [piece.offset for _, piece in line.out]
    assert sorted(order) == list(range(200))
    held = [offset for offset, _, _ in line.faults()]
    assert held
    for offset in held[:-1]:
        assert sum(other > offset for other in order[: order.index(offset)]) >= 2
    alone = udp("reorder", reorder_rate=1.0)
    alone.send(b"x")
    alone.wait(1)
    assert [when for when, _ in alone.out] == [0.1]


def test_what_is_held_back_waits() -> None:
    """So it counts, and there is room for no more than for what else waits."""
    line = udp("reorder", reorder_rate=1.0, gap=1, delay=1000)
    for _ in range(10):
        line.send(b"x" * 1000)
    assert 10_000 < line.chain.size < 12_000
    line.wait(1)
    assert len(line.out) == 10
    assert line.chain.size == 0


def test_a_jitter_has_datagrams_overtake_each_other() -> None:
    """As they are not a stream."""
    line = datagrams(udp("latency", latency=50, jitter=50), 100)
    order = [piece.offset for _, piece in line.out]
    assert order != sorted(order) == list(range(100))


def test_datagrams_without_bandwidth_for_them_are_dropped() -> None:
    """After as many as pass within a second."""
    line = udp("bandwidth", rate=1)
    for _ in range(30):
        line.send(bytes(100))
    line.wait(5)
    assert sum(not piece.dropped for _, piece in line.out) == 10
    assert line.out[-1][0] == 1.0


def test_a_blackhole_keeps_everything() -> None:
    """And everything is in the journal."""
    line = datagrams(udp("blackhole"), 5)
    assert [piece.dropped for _, piece in line.out] == [True] * 5


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_attributes_are_whole_numbers_or_shares(protocol: Protocol) -> None:
    """A default says which of the two; the API goes by it."""
    kinds = {"tcp": STREAM_TOXICS, "udp": DATAGRAM_TOXICS}[protocol]
    for kind in kinds.values():
        for name, default in kind.attributes.items():
            assert isinstance(default, float) == name.endswith(("_rate", "correlation"))
