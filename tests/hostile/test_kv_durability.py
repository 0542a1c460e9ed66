"""kv: what it has acknowledged, it keeps."""

import os
import secrets
import signal
import sqlite3
import statistics
import tempfile
import time
import xmlrpc.client
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPException
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import docker
import pytest
from docker.models.containers import Container

from clients import kv
from clients.addresses import Address
from services.kv.store import Store
from tests.hostile import system_calls
from tests.hostile.machine import published
from tests.hostile.reliability import Row
from tests.support.drivers import DRIVERS
from tests.support.engine import new_stack, run_in
from tests.support.pace import until, within
from tests.support.processes import running
from tests.support.sockets import LOOPBACK

GUNICORN, SINGLE = (driver.command for driver in DRIVERS["kv"])
WRITERS = 8
KILLS = 100
READY_SECONDS = 2.0
FLIPS = 1000
LOG_HEADER = (
    32  # bytes: sqlite.org/fileformat2.html, 4.1; without a right one, nothing of it counts
)

# The store under gunicorn, less the one thing that makes it durable.
NORMAL = """
import sqlite3, sys
from gunicorn.app.wsgiapp import run
from services.kv import store

full = store.connect

def connect(path):
    database = full(path)
    database.execute("PRAGMA synchronous = NORMAL")
    return database

store.connect = connect
sys.argv[1:] = ["-c", "services/kv/gunicorn.conf.py"]
run()
"""


@pytest.fixture(scope="module")
def kv_image(key_file: Path, engine: docker.DockerClient) -> Iterator[str]:  # noqa: ARG001
    """Build the image of kv, and remove it at the end."""
    made = new_stack(key_file)
    try:
        made.build("kv")
        yield f"{made.project}-kv"
    finally:
        made.down(images=True)


@contextmanager
def container(
    engine: docker.DockerClient, image: str, command: Sequence[str], **options: Any
) -> Iterator[Container]:
    """Run a container, and remove it at the end."""
    made = engine.containers.create(image, list(command), labels={"wirelab.test": "kv"}, **options)
    try:
        made.start()
        yield made
    except BaseException:
        print(made.logs(tail=15).decode())
        raise
    finally:
        made.remove(force=True, v=True)


def address_of(server: Container) -> Address:
    """Wait until a server can be asked, and return where it is published."""
    until(lambda: b"istening at" in server.logs(), "gunicorn listens")
    server.reload()
    address = published(server, "15000/tcp")
    until(lambda: answers(address), "the store answers")
    return address


def answers(address: Address) -> bool:
    """Whether a call is answered there."""
    try:
        kv.health(address, 5)
    except (OSError, HTTPException):
        return False
    return True


SERVER: dict[str, Any] = {
    "environment": {"WIRELAB_KV_FILE": "/data/kv.sqlite3"},
    "ports": {"15000/tcp": (LOOPBACK, None)},
    "init": True,
    "read_only": True,
}


def traced(
    engine: docker.DockerClient, image: str, tools: str, command: Sequence[str], sets: int
) -> system_calls.Verdict:
    """Have eight clients set values while strace watches the worker of a server."""
    with container(engine, image, command, **SERVER, tmpfs={"/data": "uid=10001"}) as server:
        address = address_of(server)
        # Process 1 is the init, its child gunicorn, whose child is the worker.
        _, worker = run_in(
            server, "sh", "-c", "read p < /proc/1/task/1/children; cat /proc/$p/task/$p/children"
        )
        strace = ["strace", "-y", "-s", "4096", "-e", f"trace={system_calls.TRACED}", "-p"]
        with container(
            engine,
            tools,
            [*strace, worker.strip()],
            pid_mode=f"container:{server.id}",
            cap_add=["SYS_PTRACE"],
            network_mode="none",
        ) as watching:
            until(lambda: b"attached" in watching.logs(), "strace is attached")

            def write(number: int) -> None:
                # Names of its own: of two sets of one name that share a commit, one is not written.
                with kv.proxy(address) as store:
                    for each in range(number, sets, WRITERS):
                        name = f"name-{number}-{each % 5}"
                        store.set(name, f"value-{each:06}-{secrets.token_hex(4)}")

            with ThreadPoolExecutor(WRITERS) as threads:
                list(threads.map(write, range(WRITERS)))
            watching.kill("SIGINT")
            watching.wait()
            trace = watching.logs().decode()
    return system_calls.verdict(trace, r"value-\d{6}-[0-9a-f]{8}", "<nil/>")


def test_synced(
    measured: Row, engine: docker.DockerClient, kv_image: str, tools_image: str
) -> None:
    """Of 1,000 sets by 8 clients none is acknowledged before an fdatasync of its data."""
    found = traced(engine, kv_image, tools_image, GUNICORN, 1000)
    naive = traced(engine, kv_image, tools_image, ["python", "-c", NORMAL], 200)
    measured.limit("0 acknowledged too early")
    measured.safe(f"{len(found.too_early)} of {len(found.acknowledged)} too early")
    measured.naive(
        "synchronous=NORMAL", f"{len(naive.too_early)} of {len(naive.acknowledged)} too early"
    )
    assert (len(found.acknowledged), found.too_early) == (1000, [])
    assert (len(naive.acknowledged), len(naive.too_early)) == (200, 200)


@dataclass
class Survived:
    """What was left of a store that was killed again and again.

    Of the writes that were acknowledged, those that were lost; what SQLite's integrity check said
    after each start; and the seconds from each start until the server answered.
    """

    acknowledged: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)
    integrity: set[str] = field(default_factory=set)
    waits: list[float] = field(default_factory=list)


def killed(command: Sequence[str], file: Path, seed: int, kills: int) -> Survived:
    """Kill a server so many times while four clients write to it, and start it again."""
    random = Random(seed)  # noqa: S311 - to be repeated
    found = Survived()
    numbers = count()

    def write(address: Address) -> None:
        try:
            with kv.proxy(address) as store:
                while True:
                    name = f"name-{next(numbers)}"
                    store.set(name, name)
                    found.acknowledged.add(name)
        except (OSError, HTTPException):
            pass

    with ThreadPoolExecutor(4) as threads:
        for _ in range(kills + 1):
            began = time.monotonic()
            with running(command, WIRELAB_KV_FILE=str(file)) as server:
                with kv.proxy(server.address) as store:
                    kept: Any = store.keys()
                found.waits.append(time.monotonic() - began)
                found.lost |= found.acknowledged.difference(kept)
                if file.exists():
                    found.integrity.add(integrity(file))
                wanted = len(found.acknowledged) + random.randint(1, 50)
                clients = [threads.submit(write, server.address) for _ in range(4)]
                until(lambda: len(found.acknowledged) >= wanted, "writes")  # noqa: B023
                os.killpg(server.process.pid, signal.SIGKILL)
                server.process.wait()
                for client in clients:
                    client.result()
    return found


def integrity(file: Path) -> str:
    """Return what SQLite finds wrong with a database, or "ok"."""
    with closing(sqlite3.connect(file)) as database:
        return str(database.execute("PRAGMA integrity_check").fetchone()[0])


@pytest.mark.soak
def test_kill_9(tmp_path: Path, measured: Row, seed: int, soak: float) -> None:
    """100 times kill -9 of all processes, under load: no acknowledged write is lost."""
    kills = KILLS + int(20 * soak)
    found = killed(GUNICORN, tmp_path / "kv.sqlite3", seed, kills)
    naive = killed(SINGLE, tmp_path / "none", seed, 3)
    waits = found.waits
    measured.limit(f"0 lost, integrity check passes, ready within {READY_SECONDS:.0f} s")
    measured.safe(
        f"{len(found.lost)} of {len(found.acknowledged)} lost in {kills} kills, integrity"
        f" {' '.join(found.integrity)}, ready in {statistics.median(waits):.2f} s (at most"
        f" {max(waits):.2f} s)"
    )
    measured.naive("single", f"{len(naive.lost)} of {len(naive.acknowledged)} lost in 3 kills")
    assert found.lost == set()
    assert found.integrity == {"ok"}
    assert within(max(waits), READY_SECONDS)
    assert naive.lost


@dataclass
class Written:
    """A database and its log as a killed process leaves them, and what each commit has made."""

    database: bytes
    log: bytes
    ends: list[int]  # of each commit in the log, in bytes
    states: list[dict[str, str]]  # after so many commits

    def commits(self, whole: int) -> int:
        """Return how many commits are within the first `whole` bytes of the log."""
        return sum(end <= whole for end in self.ends)


def contents(store: Store) -> dict[str, str]:
    """Return all that is in a store."""
    return {name: store.get(name) for name in store.names()}


@pytest.fixture(scope="module")
def written() -> Written:
    """Write eight commits; the last is a single write, the one before a group of three."""
    with tempfile.TemporaryDirectory() as folder, closing(Store(Path(folder, "kv"))) as store:
        made = Written(b"", b"", [], [contents(store)])
        # What the log is reused for is no longer than it was: from here on its size is its end.
        store._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")

        def commit(*writes: Callable[[], object]) -> None:
            with store.group():
                for write in writes:
                    write()
            made.ends.append(Path(folder, "kv-wal").stat().st_size)
            made.states.append(contents(store))

        for number in range(6):
            commit(partial(store.set, f"name {number % 4}", f"value {number}" * 10))
        commit(
            partial(store.set, "name 1", "changed"),
            partial(store.set, "new", "value"),
            partial(store.delete, "name 2"),
        )
        commit(partial(store.set, "name 3", "changed"))
        made.database = Path(folder, "kv").read_bytes()
        made.log = Path(folder, "kv-wal").read_bytes()
    assert made.ends[-1] == len(made.log)
    return made


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Return a folder, on a disk in memory where there is one: each start syncs the log."""
    memory = Path("/dev/shm")  # noqa: S108
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as folder:
        yield Path(folder)


def recovered(disk: Path, written: Written, log: bytes, *, goes_on: bool = False) -> int:
    """Return after how many commits the store is that is opened with such a log."""
    file = disk / "kv"
    file.write_bytes(written.database)
    file.with_name("kv-wal").write_bytes(log)
    with closing(Store(file)) as store:
        found = contents(store)
        assert store._reader.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        if goes_on:
            store.set("afterwards", "x")
    if goes_on:
        with closing(Store(file)) as store:
            assert contents(store) == {**found, "afterwards": "x"}
    return written.states.index(found)


def test_log_cut(measured: Row, disk: Path, written: Written) -> None:
    """Cut at every byte of its last two commits, the log gives those that are whole in it."""
    cuts = range(written.ends[-3], written.ends[-1] + 1)
    wrong = [
        cut for cut in cuts if recovered(disk, written, written.log[:cut]) != written.commits(cut)
    ]
    measured.limit("each time exactly the whole commits, integrity check passes")
    measured.safe(f"{len(wrong)} of {len(cuts)} cuts wrong")
    assert wrong == []


def test_log_flipped(measured: Row, disk: Path, written: Written, seed: int) -> None:
    """With one bit of it wrong, the log gives the commits before that, and writes go on."""
    random = Random(seed)  # noqa: S311 - to be repeated
    wrong = []
    for _ in range(FLIPS):
        place, bit = random.randrange(len(written.log)), random.randrange(8)
        log = bytearray(written.log)
        log[place] ^= 1 << bit
        whole = written.commits(place) if place >= LOG_HEADER else 0
        if recovered(disk, written, bytes(log), goes_on=True) != whole:
            wrong.append((place, bit))
    measured.limit("each time exactly the commits before it, integrity check passes")
    measured.safe(f"{len(wrong)} of {FLIPS} flips wrong")
    assert wrong == []


@contextmanager
def small_disk(engine: docker.DockerClient, tools: str) -> Iterator[tuple[Container, str]]:
    """Lend a disk of 4 MiB in memory, and a container that has it too, on /data.

    So it stays mounted, with all that is on it, while a server restarts.
    """
    volume = engine.volumes.create(
        driver="local",
        driver_opts={"type": "tmpfs", "device": "tmpfs", "o": "size=4m,uid=10001"},
        labels={"wirelab.test": "kv"},
    )
    try:
        with container(
            engine,
            tools,
            ["sleep", "600"],
            volumes={volume.name: {"bind": "/data"}},
            network_mode="none",
        ) as owner:
            yield owner, volume.name
    finally:
        volume.remove()


def take(owner: Container, *blocks: str) -> str:
    """Have somebody else take so many blocks of the disk, or all there are."""
    return run_in(owner, "dd", "if=/dev/zero", "of=/data/ballast", "bs=4k", *blocks)[1]


def fill_with_a_file(owner: Container, _write: Callable[[], bool]) -> None:
    """Have somebody else take all the room there is."""
    assert "No space left" in take(owner)


def fill_with_values(owner: Container, write: Callable[[], bool]) -> None:
    """Write until there is no room, where somebody else has taken a half."""
    take(owner, "count=512")
    while write():
        pass


FULL = {"by another file": fill_with_a_file, "by its own values": fill_with_values}


@pytest.mark.parametrize("fill", FULL.values(), ids=FULL)
def test_disk_full(
    measured: Row,
    engine: docker.DockerClient,
    kv_image: str,
    tools_image: str,
    fill: Callable[[Container, Callable[[], bool]], None],
) -> None:
    """On a full disk nothing is acknowledged, and reads go on; once there is room, all is well."""
    acknowledged: dict[str, str] = {}
    refusals: Counter[tuple[int, str]] = Counter()
    numbers = count()

    def write() -> bool:
        """Write a value, and return whether it was acknowledged."""
        number = next(numbers)
        name, value = f"name-{number}", f"{number} " * 2000
        try:
            with kv.proxy(address, timeout=20) as store:
                store.set(name, value)
        except xmlrpc.client.Fault as fault:
            refusals[fault.faultCode, fault.faultString] += 1
            return False
        acknowledged[name] = value
        return True

    def kept() -> dict[str, str]:
        with kv.proxy(address) as store:
            names: Any = store.keys()
            return {name: str(store.get(name)) for name in names}

    with small_disk(engine, tools_image) as (owner, volume):
        volumes = {volume: {"bind": "/data"}}
        with container(engine, kv_image, GUNICORN, **SERVER, volumes=volumes) as server:
            address = address_of(server)
            for _ in range(20):
                assert write()
            fill(owner, write)
            with ThreadPoolExecutor(WRITERS) as threads:
                list(threads.map(lambda _: write(), range(200)))
            assert refusals
            assert kept() == acknowledged
            server.kill()
            server.start()
            address = address_of(server)
            after_restart = kept()
            assert run_in(owner, "rm", "/data/ballast") == (0, "")
            began = time.monotonic()
            until(write, "a write is acknowledged")
            took = time.monotonic() - began
            found = kept()
    measured.limit("all that was acknowledged is there, nothing else; writes again by itself")
    measured.safe(
        f"{refusals.total()} refused, {len(found.items() & acknowledged.items())} of"
        f" {len(acknowledged)} acknowledged kept; wrote again after {took:.2f} s"
    )
    assert set(refusals) == {(2, "nothing was written: database or disk is full")}
    assert len(after_restart) == len(acknowledged) - 1
    assert after_restart.items() <= acknowledged.items()
    assert found == acknowledged
