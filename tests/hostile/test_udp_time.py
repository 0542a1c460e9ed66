"""udp-time: a network that loses half of everything, forged datagrams, loops and floods."""

import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from random import Random

import docker
import pytest
from docker.models.containers import Container

from clients.addresses import Address
from clients.udp_time import TimeClient
from lab.testing.network import CONTROL, Network, Reach, Wire
from services.relay.proxy import STREAMS
from services.udp_time import reply
from tests.hostile.machine import machine, succeed
from tests.hostile.reliability import Row
from tests.hostile.well_behaved import well_behaved
from tests.support.drivers import DRIVERS, Driver, attacked, safe, serving
from tests.support.pace import until
from tests.support.relay import RelayUnderTest, relaying
from tests.support.sockets import LOOPBACK

KIB, MIB = 1024, 1024 * 1024
REQUESTS = 1000
CLIENTS = 20  # at the same time
ATTEMPTS = 20
SEED = 7  # of what the network loses
FLOOD = 100_000  # datagrams


each_safe = pytest.mark.parametrize("driver", safe("udp-time"), ids=str)


def asked_once(address: Address, count: int) -> int:
    """Ask some times as clients do that trust the network: once. Return the answers."""
    answers = 0
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.settimeout(0.1)
        for _ in range(count):
            client.sendto(b"", address)
            with suppress(TimeoutError):
                client.recv(100)
                answers += 1
    return answers


def asked(address: Address, count: int) -> tuple[list[int], int]:
    """Ask some times; return how many attempts each request took, and the replies not ours."""
    took = []
    with TimeClient(address, 0.03, ATTEMPTS, ceiling=0.1) as client:
        for _ in range(count):
            before = client.statistics.sent
            with suppress(TimeoutError):
                client.ask()
                took.append(client.statistics.sent - before)
    return took, client.statistics.forged


@pytest.fixture(scope="module")
def relay_process() -> Iterator[RelayUnderTest]:
    """Run a relay, which needs no privilege to lose datagrams."""
    with relaying() as (control, _):
        yield control


@pytest.fixture
def reach_relay(relay_process: RelayUnderTest) -> Reach:
    """Return where a port of that relay is, for the fixtures `relay` and `wire`."""
    return lambda port, _: relay_process.address if port == CONTROL else Address(LOOPBACK, port)


@each_safe
def test_loss(measured: Row, relay: Network, wire: Wire, driver: Driver) -> None:
    """A network that loses 30 % each way delays 1,000 requests, and loses none."""
    each = round(REQUESTS * driver.scale / CLIENTS)
    requests = each * CLIENTS
    with serving(driver) as server, ThreadPoolExecutor(CLIENTS) as threads:
        relay.control.update("udp-time", upstream=str(server.address))
        for stream in STREAMS:
            relay.add("udp-time", "packet_loss", stream, seed=SEED, loss_rate=0.3)
        everyone = [relay.address("udp-time")] * CLIENTS, [each] * CLIENTS
        outcomes = list(threads.map(asked, *everyone))
        once = sum(threads.map(asked_once, *everyone))
        lost = [event for event in wire.requests("udp-time") if event.arrived is None]
    attempts = [number for took, _ in outcomes for number in took]
    foreign = sum(forged for _, forged in outcomes)
    measured.limit(f"all within {ATTEMPTS} attempts each, no reply to another's request")
    measured.safe(
        f"{len(attempts)} of {requests}, {sum(attempts) / len(attempts):.1f} attempts each"
        f" and at most {max(attempts)}, {foreign} replies to another's request"
    )
    measured.naive("a client that asks once", f"{once} of {requests}")
    assert len(attempts) == requests
    assert foreign == 0
    assert once < 0.7 * requests
    assert {action.type for event in lost for action in event.actions} == {"packet_loss"}


class Meddler:
    """A time server behind a network that does everything at once.

    The datagram number N that comes to it is answered with `time.ctime(N)`, so that a client
    which takes a wrong answer is noticed. Before and after it come forged ones and old ones; now
    and then it is held back until the next.
    """

    def __init__(self, server: socket.socket, stranger: socket.socket, random: Random) -> None:
        self.forged = 0
        self._server = server
        self._stranger = stranger
        self._random = random
        self._number = 0
        self._kept: list[bytes] = []

    def step(self) -> None:
        """Take a datagram, and answer it and others."""
        request, peer = self._server.recvfrom(2048)
        self._number += 1
        answer = request + b" " + time.ctime(self._number).encode()
        forged = self.forgeries(request)
        self.forged += len(forged) + 1
        for datagram in forged:
            self._server.sendto(datagram, peer)
        self._stranger.sendto(request + b" " + time.ctime(0).encode(), peer)
        for datagram in self._kept:
            self._server.sendto(datagram, peer)
        self._kept = [answer]
        if self._random.random() < 0.8:
            self._server.sendto(answer, peer)

    def forgeries(self, request: bytes) -> list[bytes]:
        """Return answers of a wrong time, by one who has not seen the request's ID."""
        wrong = time.ctime(0).encode()
        guess = b"%016x-%d" % (self._random.getrandbits(64), self._number)
        return [
            wrong,
            guess + b" " + wrong,
            request[:-1] + b" " + wrong,
            request + b"0 " + wrong,
            (request + b" " + wrong)[: self._random.randrange(len(request) + 25)],
            request + b" " + b"\xff" * 24,
            request + b" Thu Jan 99 00:00:00 1970",
            b"",
        ]


@contextmanager
def meddled(seed: int) -> Iterator[tuple[Address, Meddler]]:
    """Run a meddler."""
    stopping = threading.Event()
    with (
        socket.socket(type=socket.SOCK_DGRAM) as server,
        socket.socket(type=socket.SOCK_DGRAM) as stranger,
    ):
        server.bind((LOOPBACK, 0))
        server.settimeout(0.05)
        meddler = Meddler(server, stranger, Random(seed))  # noqa: S311 - to be repeated

        def serve() -> None:
            while not stopping.is_set():
                with suppress(TimeoutError):
                    meddler.step()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield Address(*server.getsockname()), meddler
        finally:
            stopping.set()
            thread.join()


def test_forged(measured: Row, seed: int) -> None:
    """Of forged replies, duplicates and late ones around each of 1,000 answers, none is taken.

    Whoever forges them knows the server's address and the client's, and sends what looks right, but
    does not know the ID, which is 64 random bits. One that does know it sends from elsewhere.
    """
    wrong = 0
    with meddled(seed) as (address, meddler), TimeClient(address, 0.02, ATTEMPTS, 0.1) as client:
        for _ in range(REQUESTS):
            before = client.statistics.sent
            told = client.ask().text
            own = range(before + 1, client.statistics.sent + 1)
            wrong += told not in [time.ctime(number) for number in own]
    measured.limit("0 wrong answers taken")
    measured.safe(
        f"{wrong} taken of {meddler.forged} forged, {client.statistics.late} late and"
        f" {client.statistics.duplicate} twice"
    )
    assert wrong == 0
    assert client.statistics.late > 100

    taken = 0
    with meddled(seed) as (address, _), socket.socket(type=socket.SOCK_DGRAM) as naive:
        naive.settimeout(5)
        for number in range(REQUESTS):
            naive.sendto(b"time", address)
            answer, _ = naive.recvfrom(100)
            taken += answer[-24:].decode(errors="replace") != time.ctime(number + 1)
    measured.naive("a client that takes what comes first", f"{taken} of {REQUESTS} answers wrong")
    assert taken > 0


@each_safe
def test_size(measured: Row, seed: int, driver: Driver) -> None:
    """No answer is more than 32 bytes longer than its question, whatever that is."""
    random = Random(seed)  # noqa: S311 - to be repeated
    questions = [b"x" * size for size in (*range(100), 1000, 60 * KIB)]
    questions += [random.randbytes(random.randrange(100)) for _ in range(1000)]
    questions += [random.randbytes(60 * KIB) for _ in range(10)]
    questions = [question for question in questions if reply.reply_to(question)]
    longest = 0
    with (
        serving(driver) as server,
        socket.socket(type=socket.SOCK_DGRAM) as client,
    ):
        client.settimeout(5)
        client.connect(server.address)
        for question in questions:
            client.send(question)
            longest = max(longest, len(client.recv(64 * KIB)) - len(question))
    measured.limit("at most 32 bytes more")
    measured.safe(f"at most {longest} bytes more, of {len(questions)} questions of up to 60 KiB")
    assert longest <= 32


def received(container: Container) -> int:
    """Return how many datagrams have been taken in a container: /proc/net/snmp, InDatagrams."""
    counts = re.findall(r"^Udp: (\d+)", succeed(container, "cat", "/proc/net/snmp"), re.MULTILINE)
    return int(counts[0])


@each_safe
def test_loops(
    measured: Row, engine: docker.DockerClient, tools_image: str, driver: Driver
) -> None:
    """A datagram forged to be from the server's own port, or another's, has one answer, not more.

    It is the oldest attack on servers of this kind (CERT advisory CA-1996-01): the answer to a
    forged question is a question to the next one, and so on for ever.
    """
    sizes = [0, 1, 24, 39, 40, 41, 63, 64, 65, 89, 1000, 60_000]
    spoof = ["python3", "-m", "tests.hostile.spoof"]
    reflector = ["python", "-m", "tests.hostile.reflector"]
    other = {**driver.settings, "WIRELAB_PORT": "20001"}
    with machine(engine, tools_image, driver.command, None, **driver.settings) as server:
        with machine(engine, tools_image, driver.command, server, **other):
            before = received(server)
            for size in sizes:
                for source in ("20000", "20001"):
                    succeed(server, *spoof, source, "20000", str(size))
            sent = 2 * len(sizes)
            until(lambda: received(server) >= before + 2 * sent, "all are answered")
            count = received(server) - before - sent
        measured.limit("1 datagram for each that is forged")
        measured.safe(f"{count} datagrams after {sent} forged ones")
        assert count == sent
        if driver != DRIVERS["udp-time"][0]:
            return  # the rest is about no driver

        with (
            machine(engine, tools_image, [*reflector, "20002"], server),
            machine(engine, tools_image, [*reflector, "20003"], server),
        ):
            before = received(server)
            succeed(server, *spoof, "20002", "20003", "0")
            time.sleep(1)
            count = received(server) - before - 1
    measured.naive(
        "a server that answers everything", f"{count} datagrams within a second after 1 forged one"
    )
    assert count > 1000


def flood(address: Address, count: int, seed: int) -> float:
    """Send junk almost without pause; return how many seconds it took."""
    random = Random(seed)  # noqa: S311 - to be repeated
    junk = [random.randbytes(random.randrange(1500)) for _ in range(1000)]
    junk[::100] = [random.randbytes(60 * KIB)] * 10
    began = time.monotonic()
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.connect(address)
        for number in range(count):
            client.send(junk[number % len(junk)])
            if number % 500 == 0:
                time.sleep(0.01)
    return time.monotonic() - began


@pytest.mark.parametrize("driver", attacked("udp-time"), ids=str)
def test_flood(measured: Row, driver: Driver, seed: int) -> None:
    """100,000 junk datagrams within seconds are answered or lost, and clients ask again."""
    with serving(driver) as server, well_behaved("udp-time", server.address) as clients:
        before = server.memory  # of each worker that has answered already
        took = flood(server.address, round(FLOOD * driver.scale), seed)
        growth = server.memory - before
    figures = f"{clients.outcome}, {growth / MIB:.1f} MiB more, in {took:.1f} s"
    if driver.safe:
        measured.limit("every request answered, at most 1 MiB more")
        measured.safe(figures)
        assert not clients.outcome.failed
        assert growth <= MIB
    else:
        measured.naive(driver.name, figures)
