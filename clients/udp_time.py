"""UDP time: ask for the time over a network that loses, repeats, delays and reorders datagrams."""

import os
import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from clients.addresses import Address
from clients.checks import Check, expect

if TYPE_CHECKING:
    import argparse

    from clients.client import Ask

SERVICE = "udp-time"
CTIME = "%a %b %d %H:%M:%S %Y"
CTIME_LENGTH = 24


class Reply(NamedTuple):
    """A reply: the server's `ctime`, and seconds from sending its request to receiving it.

    `sent` is a reading of our clock. The round trip is that of a clock which cannot be set.
    """

    text: str
    sent: float
    round_trip: float

    @property
    def received(self) -> float:
        """What our clock would have read on receiving it, had it not been set in between."""
        return self.sent + self.round_trip


class Statistics:
    """What became of the datagrams; each request may be sent several times."""

    def __init__(self) -> None:
        self.sent = 0
        self.answered = 0
        self.duplicate = 0
        self.late = 0
        self.forged = 0
        self.refused = 0
        self.round_trips: list[float] = []

    @property
    def lost(self) -> int:
        """Datagrams sent for which no reply came, in time or late."""
        return max(0, self.sent - self.answered - self.late)

    def __str__(self) -> str:
        text = (
            f"{self.sent} sent, {self.answered} answered, {self.late} late,"
            f" {self.duplicate} duplicate, {self.forged} not ours,"
            f" {self.lost / self.sent if self.sent else 0:.1%} loss"
        )
        if self.refused:
            text += f", {self.refused} refused"
        if self.round_trips:
            from statistics import median

            times = [1000 * value for value in self.round_trips]
            text += (
                f"\nround trip min/median/max = {min(times):.2f}/"
                f"{median(times):.2f}/{max(times):.2f} ms"
            )
        return text


class TimeClient:
    """A socket to one time server.

    Each attempt carries an ID of its own, which the server puts in front of the time. A reply is
    taken only if it comes from the server's address (connect() has the kernel see to that) and
    has the ID of an attempt of the request under way. What has the ID of an earlier request is
    late, or a duplicate; everything else is not ours.
    """

    def __init__(
        self,
        address: Address,
        timeout: float = 0.25,
        attempts: int = 5,
        ceiling: float = 2.0,
        say: Callable[[OSError], object] = lambda _: None,
    ) -> None:
        """Wait `timeout` seconds for a first reply, twice as long each time, at most `ceiling`.

        `say` is told the first time that a datagram is refused: waiting goes on after it.
        """
        self.statistics = Statistics()
        self._address = address
        self._timeout = timeout
        self._attempts = attempts
        self._ceiling = ceiling
        self._say = say
        self._prefix = os.urandom(8).hex()  # cannot be guessed by whoever forges replies
        self._attempt = 0
        self._unanswered: set[bytes] = set()
        self._answered: set[bytes] = set()
        self._refusals: list[OSError] = []  # of the request under way
        self._socket = connected(address)

    def __enter__(self) -> "TimeClient":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self) -> Reply:
        """Return the server's reply; raises TimeoutError when no attempt is answered.

        Where attempts were refused, by an ICMP message that nobody listens on the port or that the
        host cannot be reached (RFC 1122, 4.1.3.3), an OSError of that kind is raised instead, and
        also only in the end: the server may be starting.

        A reply to any attempt of this request will do: the one before may only have been slow.
        Waits grow exponentially, so that a network in trouble gets less to carry, and have
        jitter, so that clients that lost their datagrams together do not come back together
        (RFC 8085, 3.1.1 on backing off; RFC 6298, 5.5 on doubling).
        """
        started = time.monotonic()
        self._refusals.clear()
        sent_at: dict[bytes, tuple[float, float]] = {}
        for wait in self._waits():
            self._attempt += 1
            name = f"{self._prefix}-{self._attempt}".encode()
            # In this order: what comes between the two makes the round trip longer, which makes
            # the bounds of the clock's offset wider, and not wrong.
            began = time.monotonic()
            sent_at[name] = time.time(), began
            self.statistics.sent += 1
            self._send(name)
            reply = self._receive(sent_at, time.monotonic() + wait)
            if reply:
                self._unanswered.update(sent_at.keys() - self._answered)
                return reply
        self._unanswered.update(sent_at)
        took = f"{self._attempts} datagrams in {time.monotonic() - started:.1f} s"
        if not self._refusals:
            raise TimeoutError(f"no reply to {took}")
        last = self._refusals[-1]
        raise type(last)(f"{in_words(last)}: {len(self._refusals)} of {took}")

    def _send(self, name: bytes) -> None:
        try:
            self._socket.send(name)
        except OSError as refusal:
            # An ICMP message that an earlier datagram has caused, and so this one was not sent.
            self._note(refusal)
            with suppress(OSError):
                self._socket.send(name)

    def _note(self, refusal: OSError) -> None:
        if not self.statistics.refused:
            self._say(refusal)
        self.statistics.refused += 1
        self._refusals.append(refusal)

    def _waits(self) -> Iterator[float]:
        for attempt in range(self._attempts):
            wait = min(self._timeout * 2**attempt, self._ceiling)
            yield wait * random.uniform(0.8, 1.2)  # noqa: S311 - nobody gains by guessing it

    def _receive(self, sent_at: dict[bytes, tuple[float, float]], deadline: float) -> Reply | None:
        """Take datagrams until one answers this request, or the deadline has passed."""
        while (left := deadline - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                datagram = self._socket.recv(2048)
            except TimeoutError:
                return None
            except OSError as refusal:
                # An ICMP message: nobody listens, or the host cannot be reached. It comes at once;
                # wait as long as for a reply, not to send all attempts within a moment.
                self._note(refusal)
                continue
            name, text = datagram[: -CTIME_LENGTH - 1], datagram[-CTIME_LENGTH:]
            if name in sent_at and is_ctime(text):
                sent, began = sent_at[name]
                self._answered.add(name)
                self.statistics.answered += 1
                reply = Reply(text.decode("ascii"), sent, time.monotonic() - began)
                self.statistics.round_trips.append(reply.round_trip)
                return reply
            self._count(name)
        return None

    def _count(self, name: bytes) -> None:
        """Count a datagram that answers nothing that is being asked."""
        if name in self._answered:
            self.statistics.duplicate += 1
        elif name in self._unanswered:
            self._unanswered.remove(name)
            self._answered.add(name)
            self.statistics.late += 1
        else:
            self.statistics.forged += 1


def in_words(refusal: OSError) -> str:
    """Say what kept a datagram from arriving; that nobody listens, only ICMP can have said."""
    by = " (ICMP)" if isinstance(refusal, ConnectionRefusedError) else ""
    return f"{refusal.strerror}{by}"


def connected(address: Address) -> socket.socket:
    """Return a UDP socket that receives from that address only, the IPv4 one where it has both."""
    found = socket.getaddrinfo(*address, type=socket.SOCK_DGRAM)
    family, *_, where = min(found, key=lambda each: each[0])  # AF_INET is 2, and AF_INET6 is 10
    client = socket.socket(family, socket.SOCK_DGRAM)
    try:
        client.connect(where)
    except BaseException:
        client.close()
        raise
    return client


def is_ctime(text: bytes) -> bool:
    """Whether `text` is a time as `time.ctime()` writes it."""
    try:
        time.strptime(text.decode("ascii"), CTIME)
    except ValueError:
        return False
    return True


class Offset(NamedTuple):
    """Bounds of how far the server's clock is ahead of ours, in seconds, and for how many replies.

    A time zone that differs from ours shows as an offset of hours.
    """

    low: float
    high: float
    replies: int

    def __str__(self) -> str:
        middle, apart = (self.low + self.high) / 2, (self.high - self.low) / 2
        return f"{middle:+.3f} s, give or take {apart:.3f} s"


def clock_offsets(replies: list[Reply]) -> list[Offset]:
    """Return how far the server's clock is ahead, again each time that one of both was set.

    A reply says in which second the server's clock was at some moment between sending and
    receiving. So each reply bounds the offset to a second and a round trip, and all of them
    together to what their intervals share: the nearer they come to a second's edge, the less
    that is. Where they share nothing, no offset is that of all replies: a clock was set.
    """
    offsets: list[Offset] = []
    for reply in replies:
        second = nearest(time.strptime(reply.text, CTIME), reply.received)
        low, high = second - reply.received, second + 1 - reply.sent
        if offsets:
            before = offsets[-1]
            shared = max(low, before.low), min(high, before.high)
            if shared[0] <= shared[1]:
                offsets[-1] = Offset(*shared, before.replies + 1)
                continue
        offsets.append(Offset(low, high, 1))
    return offsets


def nearest(local: time.struct_time, moment: float) -> float:
    """Return when the clock here shows a time: of the two in autumn, what is nearer to `moment`.

    An hour that is not there in spring, but is where the server is, is what it would be without
    the change.
    """
    found = [time.mktime((*local[:8], summer)) for summer in (-1, 0, 1)]
    there = [each for each in found if time.localtime(each)[:6] == local[:6]] or found[:1]
    return min(there, key=lambda each: abs(each - moment))


@contextmanager
def conversation(address: Address, timeout: float) -> "Iterator[Ask]":
    """Open a socket, which is nothing that the server learns of; lend a function that asks.

    Each attempt has an ID of its own instead of the word, and what is lost is asked for again.
    """
    with TimeClient(address, 0.1, attempts=max(1, int(4 * timeout)), ceiling=0.25) as client:

        def ask(_word: str) -> None:
            client.ask()
            expect("replies that are not ours", client.statistics.forged, 0)

        yield ask


def health(address: Address, timeout: float) -> None:
    """Ask once, with an ID."""
    with TimeClient(address, timeout / 3, attempts=2) as client:
        client.ask()


def check_empty(address: Address) -> None:
    """Hold the server to the bare time for an empty datagram."""
    with connected(address) as plain:
        plain.settimeout(5)
        plain.send(b"")
        answer = plain.recv(8192)
    expect(f"{answer!r} is a ctime", is_ctime(answer), True)


def check_pairing(address: Address) -> None:
    """Hold the server to replies that carry their request's ID."""
    with TimeClient(address) as client:
        for _ in range(20):
            client.ask()
        expect("replies that are not ours", client.statistics.forged, 0)


def check_clock(address: Address) -> None:
    """Hold the server's clock to ours, a second apart at most and time zones aside."""
    with TimeClient(address) as client:
        (low, high, _), *others = clock_offsets([client.ask() for _ in range(5)])
    expect("offsets after it, as a clock was set", [str(other) for other in others], [])
    zone = 900 * round((low + high) / 2 / 900)
    expect(
        f"an offset of {low:.3f} to {high:.3f} s is within a second",
        low - zone <= 1 and high - zone >= -1,
        True,
    )


CHECKS = (
    Check("an empty datagram gets the time", check_empty),
    Check("20 IDs come back with their replies", check_pairing),
    Check("its clock agrees with ours", check_clock),
)


def configure(parser: "argparse.ArgumentParser") -> None:
    """Describe the subcommand's arguments."""
    from clients.cli.options import number_from, seconds

    parser.epilog = (
        "try:\n"
        "  clients udp-time -c 100 -i 0.01   a hundred requests: loss, round trips, clock offset\n"
        "  clients udp-time -w 0.001 -a 1    hardly any time to answer: replies come late"
    )
    parser.add_argument(
        "-c", "--count", type=number_from(1, 10**6), default=5, help="requests (default: 5)"
    )
    parser.add_argument(
        "-i", "--interval", type=seconds, default=0.2, help="seconds between two (default: 0.2)"
    )
    parser.add_argument(
        "-a", "--attempts", type=number_from(1, 100), default=5,
        help="datagrams sent for a request, at most (default: 5)",
    )  # fmt: skip
    parser.add_argument(
        "-w", "--wait", type=seconds, default=0.25, help="seconds for a first reply (default: 0.25)"
    )


def command(options: "argparse.Namespace", address: Address) -> None:
    """Ask several times, as ping does, and print each reply, the statistics and the offset."""
    replies = []
    failed: OSError | None = None

    def say(refusal: OSError) -> None:
        print(f"{in_words(refusal)}; waiting for the server to start", flush=True)

    with TimeClient(address, options.wait, options.attempts, say=say) as client:
        for number in range(1, options.count + 1):
            if number > 1:
                time.sleep(options.interval)
            try:
                reply = client.ask()
            except OSError as error:
                failed = error
                print(f"{number}: {error}", flush=True)
            else:
                replies.append(reply)
                print(f"{number}: {reply.text}  ({1000 * reply.round_trip:.2f} ms)", flush=True)
        print(client.statistics)
    if failed and not replies:
        raise type(failed)(f"none of {options.count} requests was answered: {failed}")
    for line in told(clock_offsets(replies)):
        print(line)


def told(offsets: list[Offset]) -> list[str]:
    """Say how far the server's clock is ahead, and where it was set meanwhile, or ours."""
    if len(offsets) == 1:
        return [f"clock offset {offsets[0]}"]
    times = "once" if len(offsets) == 2 else f"{len(offsets) - 1} times"
    return [
        f"a clock was set meanwhile, {times}: the server's or that of this machine",
        f"clock offset of the first {offsets[0].replies} replies {offsets[0]}",
        f"clock offset of the last {offsets[-1].replies} replies {offsets[-1]}",
    ]
