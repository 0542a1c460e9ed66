"""object-echo and rpc: strangers that stay mute, and peers that know the key and mean harm."""

import pickle
import re
import resource
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import psutil
import pytest

from clients.addresses import Address
from clients.connections import connect, exchange
from services import safe_pickle
from services.connection import frames
from services.connection.handshake import CHALLENGE, WELCOME, respond
from services.connection.session import HANDSHAKE_SECONDS, MAX_MESSAGE
from tests.helpers import receive, reset, rest_of, until
from tests.hostile import pickles
from tests.hostile.crowd import MUTE, Crowd, Form
from tests.hostile.good import Good, good_clients
from tests.hostile.reliability import Row
from tests.processes import Server, running

MIB = 1024 * 1024
MOST_MEMORY = 128 * MIB
HARMLESS: list[Any] = [1, [2.5, None], {"three": (4, "five")}]
# The beginning of an answer to the server's challenge: bytes that fit are to follow, one by one.
DRIPPING = Form(frames.HEADER.pack(40) + b"{sha256}", b"x")

both = pytest.mark.parametrize("service", ["object-echo", "rpc"])


@pytest.fixture
def key(key_file: Path) -> bytes:
    """Return the key, which has leaked."""
    return key_file.read_bytes().strip()


@contextmanager
def serving(
    service: str, key_file: Path, variant: str = "evented", **settings: str
) -> Iterator[Server]:
    """Run a server, which must be the same process, and have logged no traceback, at the end."""
    command = ["python", "-m", f"services.{service.replace('-', '_')}.{variant}"]
    with running(command, WIRELAB_AUTHKEY_FILE=str(key_file), **settings) as server:
        yield server
        assert server.process.poll() is None
        assert "Traceback" not in "".join(server.log)


@contextmanager
def good(service: str, server: Server, key_file: Path, late: float = 5.0) -> Iterator[Good]:
    """Run the good clients of a service."""
    with good_clients(
        service, server.address, late=late, WIRELAB_AUTHKEY_FILE=str(key_file)
    ) as clients:
        yield clients


def in_kernel() -> int:
    """Return the memory of all TCP sockets of this machine, in bytes: /proc/net/sockstat."""
    found = re.search(r"TCP:.* mem (\d+)", Path("/proc/net/sockstat").read_text())
    assert found
    return int(found[1]) * resource.getpagesize()


def peak(server: Server) -> int:
    """Return the most memory that a server has ever had, in bytes: proc(5), VmHWM."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{server.process.pid}/status").read_text())
    assert found
    return 1024 * int(found[1])


def descriptors(server: Server) -> int:
    """Return how many descriptors a server has open."""
    return psutil.Process(server.process.pid).num_fds()


def request(service: str, value: object) -> object:
    """Return what to send to have `value` come back."""
    return value if service == "object-echo" else ("echo", (value,), {})


def closed(peer: socket.socket) -> bool:
    """Whether the server closes the connection, within the time that `peer` has for a call."""
    try:
        rest_of(peer)
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
    return True


@both
def test_mutes(service: str, measured: Row, key_file: Path) -> None:
    """1,000 peers that connect and say nothing, or half a header, keep nobody waiting."""
    with (
        serving(service, key_file) as server,
        good(service, server, key_file) as clients,
        Crowd(server.address, 1000, MUTE, Form(b"\0\0")) as crowd,
    ):
        until(lambda: crowd.all_there)
        assert crowd.here == 1000
        time.sleep(2)
    measured.limit("100 %, p99 at most 200 ms")
    measured.default(clients.outcome)
    assert clients.outcome.all_well, clients.outcome.failures
    assert clients.outcome.p99 <= 0.2

    with (
        serving(service, key_file, "threaded") as server,
        Crowd(server.address, 1) as crowd,
    ):
        until(lambda: crowd.all_there)
        with good(service, server, key_file, late=1) as clients:
            time.sleep(1.5)
    measured.naive("threaded, 1 mute", clients.outcome)
    assert clients.outcome.served == 0


def strangers(address: Address, count: int) -> None:
    """Connect `count` times: scan, reset, speak HTTP, or give a wrong answer, in turn."""
    wrong = frames.encode(bytes(16))
    for number in range(count):
        with socket.create_connection(address, 10) as peer:
            match number % 4:
                case 1:
                    reset(peer)
                case 2:
                    peer.sendall(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
                case 3:
                    peer.sendall(wrong)
                    with suppress(ConnectionResetError):
                        rest_of(peer)


@both
def test_strangers(service: str, measured: Row, key_file: Path) -> None:
    """10,000 port scans, resets, HTTP requests and wrong keys: it lives, and leaks nothing."""
    with serving(service, key_file) as server:
        before = descriptors(server)
        with good(service, server, key_file) as clients:
            strangers(server.address, 10_000)
        until(lambda: descriptors(server) == before)
    measured.limit("100 %, no descriptor left")
    measured.default(f"{clients.outcome}; 0 descriptors left")
    assert clients.outcome.all_well, clients.outcome.failures

    with (
        serving(service, key_file, "threaded") as server,
        good(service, server, key_file) as clients,
    ):
        strangers(server.address, 2000)
    measured.naive("threaded, 2,000", clients.outcome)


@both
def test_drippers(service: str, measured: Row, key_file: Path) -> None:
    """Of 2,000 peers at once, 500 send an answer byte by byte: all are cut when 5 s are over."""
    with (
        serving(service, key_file) as server,
        good(service, server, key_file) as clients,
        Crowd(server.address, 2000, DRIPPING, MUTE, MUTE, MUTE, every=0.5, again=False) as crowd,
    ):
        until(lambda: crowd.here == 2000)
        until(lambda: len(crowd.cut) == 2000, HANDSHAKE_SECONDS + 5)
    first, last = min(crowd.cut), max(crowd.cut)
    measured.limit("100 %, cut by 5.5 s")
    measured.default(f"{clients.outcome}; cut after {first:.1f} to {last:.1f} s")
    assert clients.outcome.all_well, clients.outcome.failures
    assert last <= 5.5


@both
def test_code(service: str, measured: Row, key_file: Path, key: bytes, tmp_path: Path) -> None:
    """Who has the key can have no code run, in any of the ways that a pickle has to call it."""
    made: dict[str, int] = {}
    for variant in ("evented", "threaded"):
        folders = []
        with serving(service, key_file, variant) as server:
            for number in range(len(pickles.programs(""))):
                folder = tmp_path / f"{variant}{number}"
                with connect(server.address, key, 5) as peer:
                    peer.sendall(frames.encode(pickles.programs(str(folder))[number]))
                    peer.shutdown(socket.SHUT_WR)
                    closed(peer)
                folders.append(folder)
        made[variant] = sum(folder.exists() for folder in folders)
    measured.limit("0 run")
    measured.default(f"{made['evented']} of {len(folders)} run")
    measured.naive("threaded", f"{made['threaded']} of {len(folders)} run")
    assert made["evented"] == 0
    assert made["threaded"] > 5


@both
def test_bombs(service: str, measured: Row, key_file: Path, key: bytes) -> None:
    """Few bytes that ask for 2 GiB, for hours of hashing, or for nothing, cost nobody else."""
    with serving(service, key_file) as server, good(service, server, key_file) as clients:
        for bomb in pickles.BOMBS:
            with connect(server.address, key, 2) as peer:
                peer.sendall(frames.encode(bomb))
                peer.shutdown(socket.SHUT_WR)
                assert closed(peer), bomb[:40]
        for length in pickles.LENGTHS:
            with connect(server.address, key, 2) as peer:
                peer.sendall(length)
                assert closed(peer), length
        memory = peak(server)
    measured.limit(f"100 %, {MOST_MEMORY // MIB} MiB")
    measured.default(f"{clients.outcome}; {memory / MIB:.0f} MiB")
    assert clients.outcome.all_well, clients.outcome.failures
    assert memory <= MOST_MEMORY

    with serving(service, key_file, "threaded") as server:
        before = peak(server)
        with good(service, server, key_file) as clients, connect(server.address, key, 30) as peer:
            for bomb in (pickles.memo_bomb(2**24), pickles.hash_bomb(27)):
                peer.sendall(frames.encode(bomb))
            peer.shutdown(socket.SHUT_WR)
            assert closed(peer)
        taken, waited = peak(server) - before, clients.outcome.worst
    measured.naive("threaded", f"{taken / MIB:.0f} MiB for 9 bytes, all wait {waited:.1f} s for 61")
    assert taken >= 2**24 * 2 * struct.calcsize("P")
    assert waited > 0.5


@both
def test_hogs(service: str, measured: Row, key_file: Path, key: bytes) -> None:
    """50 peers with the key that each send 16 MiB but for one byte are not all kept."""
    message = frames.HEADER.pack(MAX_MESSAGE) + bytes(MAX_MESSAGE - 1)
    memory = {}
    for variant, hogs in (("evented", 50), ("threaded", 15)):
        with (
            serving(service, key_file, variant) as server,
            good(service, server, key_file) as clients,
            ExitStack() as stack,
        ):
            for _ in range(hogs):
                peer = stack.enter_context(connect(server.address, key, 10))
                with suppress(ConnectionError):
                    peer.sendall(message)
            memory[variant] = peak(server)
        figures = f"{clients.outcome}; {memory[variant] / MIB:.0f} MiB"
        if variant == "threaded":
            measured.naive(f"threaded, {hogs}", figures)
        else:
            measured.limit(f"100 %, {MOST_MEMORY // MIB} MiB")
            measured.default(figures)
            assert clients.outcome.all_well, clients.outcome.failures
    assert memory["evented"] <= MOST_MEMORY < memory["threaded"]


@both
def test_slow_readers(service: str, measured: Row, key_file: Path, key: bytes) -> None:
    """1,000 peers with the key have 1 MiB sent to them each and read none of it."""
    message = frames.encode(safe_pickle.dumps(request(service, bytes(MIB))))
    memory = {}
    for variant, readers in (("evented", 1000), ("threaded", 100)):
        with (
            serving(service, key_file, variant) as server,
            good(service, server, key_file) as clients,
            ExitStack() as stack,
        ):
            before = in_kernel()
            for _ in range(readers):
                peer = stack.enter_context(connect(server.address, key, 10))
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                with suppress(ConnectionError):
                    peer.sendall(message)
            memory[variant], kernel = peak(server), in_kernel() - before
        figures = (
            f"{clients.outcome}; {memory[variant] / MIB:.0f} MiB,"
            f" and {kernel / MIB:.0f} in the kernel, both sides"
        )
        if variant == "threaded":
            measured.naive(f"threaded, {readers}", figures)
        else:
            measured.limit(f"100 %, {MOST_MEMORY // MIB} MiB")
            measured.default(figures)
            assert clients.outcome.all_well, clients.outcome.failures
    assert memory["evented"] <= MOST_MEMORY


@both
def test_pipelines(service: str, measured: Row, key_file: Path, key: bytes) -> None:
    """4 peers with the key send 200,000 small requests each and do not wait for answers."""
    value: object = ("add", (2, 3), {})
    burst = frames.encode(safe_pickle.dumps(value)) * 200_000

    def send(peer: socket.socket) -> None:
        with suppress(OSError):
            peer.sendall(burst)

    for variant in ("evented", "threaded"):
        with (
            serving(service, key_file, variant) as server,
            good(service, server, key_file) as clients,
            ExitStack() as stack,
        ):
            began = time.monotonic()
            answers = 0
            peers = [stack.enter_context(connect(server.address, key, 10)) for _ in range(4)]
            for peer in peers:
                threading.Thread(target=send, args=(peer,), daemon=True).start()
            while time.monotonic() < began + 2:
                for peer in peers:
                    answers += len(peer.recv(64 * 1024))
            memory = peak(server)
        figures = f"{clients.outcome}; {memory / MIB:.0f} MiB"
        if variant == "threaded":
            measured.naive("threaded", figures)
        else:
            measured.limit("100 %, p99 at most 200 ms")
            measured.default(figures)
            assert clients.outcome.all_well, clients.outcome.failures
            assert clients.outcome.p99 <= 0.2
            assert memory <= MOST_MEMORY


@both
def test_unfinished(service: str, measured: Row, key_file: Path, key: bytes) -> None:
    """200 peers with the key that begin a message, or its length, are cut when its time is up."""
    beginnings = [b"\0\0", frames.HEADER.pack(100) + b"x"]
    with (
        serving(service, key_file, WIRELAB_SILENCE_SECONDS="1") as server,
        good(service, server, key_file) as clients,
        ExitStack() as stack,
    ):
        before = descriptors(server)
        peers = [stack.enter_context(connect(server.address, key, 5)) for _ in range(200)]
        idle = stack.enter_context(connect(server.address, key, 5))
        for number, peer in enumerate(peers):
            peer.sendall(beginnings[number % 2])
        began = time.monotonic()
        assert all(map(closed, peers))
        took = time.monotonic() - began
        exchange(idle, request(service, "still here"))
        assert descriptors(server) <= before + 21
    measured.limit("100 %, all cut")
    measured.default(f"{clients.outcome}; cut after {took:.1f} s where it is to be 1 s")
    assert clients.outcome.all_well, clients.outcome.failures


@both
def test_no_descriptors(service: str, measured: Row, key_file: Path, key: bytes) -> None:
    """300 peers where there are 200 descriptors: it idles, and is there when some leave."""
    with serving(service, key_file) as server, ExitStack() as rest:
        process = psutil.Process(server.process.pid)
        _, hard = process.rlimit(psutil.RLIMIT_NOFILE)
        process.rlimit(psutil.RLIMIT_NOFILE, (200, hard))
        held: list[socket.socket] = []
        with suppress(TimeoutError):
            while True:
                held.append(rest.enter_context(connect(server.address, key, 0.5)))
        for _ in range(300 - len(held)):
            rest.enter_context(socket.create_connection(server.address, 5))
        until(lambda: any("Too many open files" in line for line in server.log))
        spent, began = sum(process.cpu_times()[:2]), time.monotonic()
        while time.monotonic() < began + 2:
            exchange(held[0], request(service, "still here"))
            time.sleep(0.1)
        share = (sum(process.cpu_times()[:2]) - spent) / (time.monotonic() - began)
        rest.close()
        relieved = time.monotonic()
        with connect(server.address, key, 5) as peer:
            exchange(peer, request(service, "served"))
        recovered = time.monotonic() - relieved
    measured.limit("at most 10 % of a core, served again within 2 s")
    measured.default(f"{100 * share:.0f} % of a core, served again after {recovered:.1f} s")
    assert share <= 0.1
    assert recovered <= 2


def looked_at(server: Server, key: bytes, messages: list[bytes], last: bytes) -> int:
    """Authenticate, send messages and then `last`; return how many the server has looked at.

    It answers in order, and may close instead of an answer.
    """
    with socket.create_connection(server.address, 10) as peer:
        challenge = receive(peer, *frames.HEADER.unpack(receive(peer, frames.HEADER.size)))
        answer = respond(key, challenge.removeprefix(CHALLENGE))
        handshake = (answer, CHALLENGE + bytes(20), WELCOME)
        answers = bytearray()
        with suppress(ConnectionError):
            peer.sendall(b"".join(map(frames.encode, (*handshake, *messages))) + last)
            peer.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):
            while chunk := peer.recv(64 * 1024):
                answers += chunk
    found = len(cut(bytes(answers))) - 2  # the welcome, and the answer to our challenge
    assert found >= 0, "not authenticated"
    return min(found + 1, len(messages))


def cut(stream: bytes) -> list[bytes]:
    """Return the messages in a stream."""
    found = []
    while len(stream) >= frames.HEADER.size:
        end = frames.HEADER.size + frames.HEADER.unpack_from(stream)[0]
        found.append(stream[frames.HEADER.size : end])
        stream = stream[end:]
    return found


@pytest.mark.soak
@pytest.mark.parametrize(
    ("service", "frames_sent", "together"),
    [
        pytest.param("object-echo", 10_000, 3, id="object-echo"),  # it closes at the first refusal
        pytest.param("rpc", 90_000, 100, id="rpc"),
    ],
)
def test_fuzz(
    service: str,
    frames_sent: int,
    together: int,
    measured: Row,
    key_file: Path,
    key: bytes,
    seed: int,
    soak: float,
    tmp_path: Path,
) -> None:
    """100,000 frames by a peer with the key, made by mutation, run nothing and end nothing."""
    random = Random(seed)  # noqa: S311 - mutations, not secrets
    folder = tmp_path / "made"
    messages = pickles.mutated(random, str(folder))
    wanted = frames_sent * 10 if soak else frames_sent
    with serving(service, key_file) as server, good(service, server, key_file) as clients:
        seen = 0
        while seen < wanted:
            some = list(islice(messages, together))
            seen += looked_at(server, key, some, pickles.broken_frame(random))
        memory = peak(server)
    measured.limit(f"100 %, 0 run, {MOST_MEMORY // MIB} MiB")
    measured.default(f"{clients.outcome}; {seen:,} frames; {memory / MIB:.0f} MiB")
    assert not folder.exists()
    assert clients.outcome.all_well, clients.outcome.failures
    assert memory <= MOST_MEMORY


@contextmanager
def bounded_memory() -> Iterator[None]:
    """Let this process have no more than 1 GiB more: what takes it if a decoder is broken."""
    process = psutil.Process()
    limits = process.rlimit(psutil.RLIMIT_AS)
    process.rlimit(psutil.RLIMIT_AS, (process.memory_info().vms + 1024 * MIB, limits[1]))
    try:
        yield
    finally:
        process.rlimit(psutil.RLIMIT_AS, limits)


def test_decoder(measured: Row, seed: int, tmp_path: Path) -> None:
    """Of 30,000 mutated pickles the decoder makes what `pickle.loads` makes, or nothing."""
    random = Random(seed)  # noqa: S311 - mutations, not secrets
    folder = tmp_path / "made"
    made, others = 0, []
    with bounded_memory():
        for message in islice(pickles.mutated(random, str(folder)), 30_000):
            with suppress(Exception):  # what one of the two refuses is not compared
                value, wanted = safe_pickle.loads(message), pickle.loads(message)
                made += 1
                if pickle.dumps(value) != pickle.dumps(wanted) and repr(value) != repr(wanted):
                    others.append(message)
    measured.limit("0 others")
    measured.default(f"{made:,} made, {len(others)} others")
    assert not others
    assert not folder.exists()
    assert made > 3000
