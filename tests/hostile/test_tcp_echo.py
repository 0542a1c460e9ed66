"""tcp-echo: crowds, no descriptors left, peers that take nothing and peers that vanish."""

import os
import resource
import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import docker
import psutil
import pytest
from docker.models.containers import Container

from clients import tcp_echo
from clients.addresses import Address
from tests.helpers import receive, reset, resident, until
from tests.hostile import peers
from tests.hostile.crowd import MUTE, Crowd, Form
from tests.hostile.good import good_clients
from tests.hostile.machine import machine, published, succeed
from tests.hostile.reliability import Row
from tests.processes import Server, running

MIB = 1024 * 1024
MANY = 2000  # connections that are held
PASSERS_BY = 8000
DRIPPING = Form(b"x", b"x")
GREEDY = 200
TO_SEND = 200 * MIB  # by each of them
VANISHED_TIMEOUT = 6

Peers = list[socket.socket]


def command(variant: str) -> list[str]:
    """Return how a variant is started."""
    return ["python3", "-m", f"services.tcp_echo.{variant}"]


def connect(address: Address) -> socket.socket:
    """Return a connection whose calls fail rather than wait for ever."""
    return socket.create_connection(address, 10)


def pass_by(address: Address) -> None:
    """Connect and leave, thousands of times within seconds."""
    deadline = time.monotonic() + 30
    for number in range(PASSERS_BY):
        reset(connect(address))
        assert time.monotonic() < deadline, f"{number} of {PASSERS_BY} within 30 s"
        if number % 50 == 0:
            time.sleep(0.02)  # else they would be here in a second, and measure this machine


def test_crowd(measured: Row) -> None:
    """10,000 connections within seconds, of which 2,000 stay, keep nobody waiting."""
    with running(command("evented")) as server:
        process = psutil.Process(server.process.pid)
        before = process.num_fds()
        with (
            good_clients("tcp-echo", server.address) as good,
            Crowd(server.address, MANY, MUTE, DRIPPING) as crowd,
        ):
            pass_by(server.address)
            until(lambda: crowd.opened == MANY)
            until(lambda: process.num_fds() >= before + MANY)
            memory = resident(process.pid)
            assert crowd.here == MANY
            assert crowd.cut == []
            assert crowd.refused == 0
        until(lambda: process.num_fds() == before)
    measured.limit("100 %, p99 at most 200 ms")
    measured.default(f"{good.outcome}; {memory / MIB:.0f} MiB")
    assert good.outcome.all_well, good.outcome.failures
    assert good.outcome.p99 <= 0.2

    with running(command("prethreaded")) as server, Crowd(server.address, MANY) as crowd:
        until(lambda: crowd.opened > 16)
        with good_clients("tcp-echo", server.address, late=1) as good:
            time.sleep(1.5)
    measured.naive("prethreaded", good.outcome)
    assert good.outcome.served == 0

    with (
        running(command("threaded")) as server,
        good_clients("tcp-echo", server.address) as good,
        Crowd(server.address, MANY, MUTE, DRIPPING) as crowd,
    ):
        until(lambda: crowd.opened == MANY, 10)
        time.sleep(1)
        memory = resident(server.process.pid)
    measured.naive("threaded", f"{good.outcome}; {memory / MIB:.0f} MiB")


@contextmanager
def out_of_descriptors(
    variant: str,
) -> Iterator[tuple[Server, list[socket.socket], list[socket.socket]]]:
    """Run a variant that has not one descriptor left; lend those it serves, and those who wait."""
    with running(command(variant)) as server, ExitStack() as stack:
        held = [stack.enter_context(connect(server.address)) for _ in range(20)]
        for client in held:
            tcp_echo.returned(client, b"Hello")
        pid = server.process.pid
        in_use = psutil.Process(pid).num_fds()
        _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (in_use, hard))
        waiting = [stack.enter_context(connect(server.address)) for _ in range(100)]
        for client in waiting:
            client.sendall(b"Hello")
        yield server, held, waiting


def busy(server: Server, held: list[socket.socket], seconds: float) -> tuple[float, float]:
    """Talk to a server; return the part of a core that it took, and the slowest answer's time."""
    process = psutil.Process(server.process.pid)
    spent, began, slowest = sum(process.cpu_times()[:2]), time.monotonic(), 0.0
    while time.monotonic() < began + seconds:
        for client in held:
            asked = time.monotonic()
            tcp_echo.returned(client, b"still here")
            slowest = max(slowest, time.monotonic() - asked)
        time.sleep(0.05)
    return (sum(process.cpu_times()[:2]) - spent) / (time.monotonic() - began), slowest


def test_no_descriptors(measured: Row) -> None:
    """Without a free descriptor, and 100 that wait, it idles; then it serves them all.

    Those it has a connection with are served as before. The kernel keeps the others, and would
    say that there is one at every single poll.
    """
    with out_of_descriptors("evented") as (server, held, waiting):
        share, slowest = busy(server, held, 2)
        pid = server.process.pid
        _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        assert not select.select(waiting, [], [], 0)[0]
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard, hard))
        relieved = time.monotonic()
        for client in waiting:
            assert receive(client, 5) == b"Hello"
        recovered = time.monotonic() - relieved
    measured.limit("at most 10 % of a core; recovered within 2 s")
    measured.default(
        f"{share:.1%} of a core; the {len(held)} clients it had are answered in at most"
        f" {1000 * slowest:.0f} ms; recovered after {recovered:.1f} s"
    )
    assert share <= 0.1
    assert recovered <= 2

    with out_of_descriptors("threaded") as (server, held, _):
        share, slowest = busy(server, held, 2)
    measured.naive("threaded", f"{share:.1%} of a core, answers in at most {1000 * slowest:.0f} ms")
    assert share > 0.3  # of a machine that may be busy


def gorge(address: Address, stack: ExitStack) -> int:
    """Send as much as is taken of many clients, and read nothing; return how many bytes were."""
    chunk = bytes(256 * 1024)
    left = {}
    epoll = stack.enter_context(select.epoll())
    for _ in range(GREEDY):
        client = stack.enter_context(connect(address))
        client.setblocking(False)
        epoll.register(client, select.EPOLLOUT)
        left[client.fileno()] = client, TO_SEND
    deadline = time.monotonic() + 20
    while left and time.monotonic() < deadline and (ready := epoll.poll(0.5)):
        for descriptor, _ in ready:
            client, more = left[descriptor]
            more -= client.send(chunk[:more])
            left[descriptor] = client, more
            if not more:
                epoll.unregister(client)
    return GREEDY * TO_SEND - sum(more for _, more in left.values())


def queued(address: Address) -> int:
    """Return how many bytes the kernel holds for a server: /proc/net/tcp, tx_queue and rx_queue."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    of_server = [line[4] for line in lines if line[1].endswith(f":{address.port:04X}")]
    return sum(int(size, 16) for queues in of_server for size in queues.split(":"))


def test_never_reads(measured: Row) -> None:
    """200 clients that send 200 MiB each, and read nothing of what comes back, fill no memory."""
    for variant in ("evented", "threaded"):
        with (
            running(command(variant)) as server,
            ExitStack() as stack,
            good_clients("tcp-echo", server.address) as good,
        ):
            taken = gorge(server.address, stack)
            memory = resident(server.process.pid)
            buffers = queued(server.address)
        figures = (
            f"{good.outcome}; {memory / MIB:.0f} MiB and {buffers / MIB:.0f} MiB in the kernel;"
            f" {taken / GREEDY / MIB:.1f} MiB of each were taken"
        )
        if variant == "evented":
            measured.limit("100 %, at most 64 MiB, those in the kernel included")
            measured.default(figures)
            assert good.outcome.all_well, good.outcome.failures
            assert memory + buffers <= 64 * MIB
        else:
            measured.naive(variant, figures)
            assert memory + buffers > 64 * MIB


def descriptors(container: Container) -> int:
    """Return how many files and sockets a container's server has open."""
    return len(succeed(container, "ls", "/proc/1/fd").split())


@contextmanager
def visited(
    engine: docker.DockerClient, image: str, variant: str
) -> Iterator[tuple[Container, int]]:
    """Run a variant whose peers vanish; lend its container, and how many descriptors it had."""
    setting = str(VANISHED_TIMEOUT)
    with machine(engine, image, command(variant), WIRELAB_VANISHED_TIMEOUT=setting) as server:
        before = descriptors(server)
        with machine(engine, image, ["python3", "-m", "tests.hostile.peers"], server) as gone:
            assert descriptors(server) == before + peers.COUNT
            ports = f"{peers.FIRST_PORT}:{peers.FIRST_PORT + peers.COUNT}"
            for chain, side in (("INPUT", "--sport"), ("OUTPUT", "--dport")):
                succeed(server, "iptables", "-A", chain, "-p", "tcp", side, ports, "-j", "DROP")
            gone.kill()
        yield server, before


def test_vanished(measured: Row, engine: docker.DockerClient, tools_image: str) -> None:
    """50 peers that vanish without a FIN, half of them in the middle of an answer, are let go."""
    with (
        visited(engine, tools_image, "threaded") as (naive, naive_before),
        visited(engine, tools_image, "evented") as (server, before),
    ):
        began = time.monotonic()
        until(lambda: descriptors(server) == before, 1.5 * VANISHED_TIMEOUT)
        took = time.monotonic() - began
        kept = descriptors(naive) - naive_before
        assert tcp_echo.exchange(published(server, "20000/tcp"), b"Hello") == b"Hello"
    measured.limit(f"no descriptor left, where WIRELAB_VANISHED_TIMEOUT={VANISHED_TIMEOUT}")
    measured.default(f"none left after {took:.1f} s")
    measured.naive("threaded", f"{kept} left")
    assert kept == peers.COUNT


@pytest.mark.parametrize("transform", ["none", "upper"])
def test_writes_first(measured: Row, transform: str) -> None:
    """A client that sends 32 MiB, and meanwhile takes what comes, has all of it back.

    No server that bounds its memory can help one that takes nothing until all is sent: both wait
    for the other to read.
    """
    data = os.urandom(32 * MIB)
    with running(command("evented"), ECHO_TRANSFORM=transform) as server:
        began = time.monotonic()
        received = tcp_echo.echo(server.address, data)
        took = time.monotonic() - began
        with connect(server.address) as naive:
            naive.settimeout(1)
            with pytest.raises(TimeoutError):
                naive.sendall(data)
    measured.limit("every byte equal")
    measured.default(f"{len(received) // MIB} MiB in {took:.1f} s")
    measured.naive("a client that sends first and reads then", "hangs")
    assert received == (data.upper() if transform == "upper" else data)
