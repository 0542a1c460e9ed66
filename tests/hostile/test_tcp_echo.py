"""tcp-echo: many connections, no descriptors left, peers that never read and peers that vanish."""

import os
import resource
import select
import socket
import time
from contextlib import ExitStack
from pathlib import Path

import docker
import psutil
import pytest
from docker.models.containers import Container

from clients import tcp_echo
from clients.addresses import Address
from tests.hostile import peers
from tests.hostile.attackers import SILENT, Attackers, Behavior
from tests.hostile.machine import machine, published, succeed
from tests.hostile.reliability import Row
from tests.hostile.well_behaved import ALL_SERVED, well_behaved
from tests.support.drivers import Driver, attacked, safe, serving
from tests.support.pace import until, within
from tests.support.processes import VANISHED_TIMEOUT, Server
from tests.support.sockets import connect, receive, reset

KIB, MIB = 1024, 1024 * 1024
MANY = 2000  # connections that are held
SHORT = 8000  # connections that are reset at once
SLOW = Behavior(b"x", b"x")
GREEDY = 200
TO_SEND = 200 * MIB  # by each of them
EACH = 400 * KIB  # for each of them, most of it in the kernel
EACH_STREAM = 800 * KIB  # a StreamReader holds twice its `limit`, and what one recv() returned
IDLE = 0.1  # of a core, more than without the attack
RECOVERY = 2.0  # seconds
VANISHED_SECONDS = 4

each_attacked = pytest.mark.parametrize("driver", attacked("tcp-echo"), ids=str)
# A pool that is full accepts nobody, and so cannot fail as those that accept everybody do.
each_unbounded = pytest.mark.parametrize(
    "driver", [each for each in attacked("tcp-echo") if each.safe or each.at_once > MANY], ids=str
)
each_safe = pytest.mark.parametrize("driver", safe("tcp-echo"), ids=str)


def connect_and_reset(address: Address, count: int) -> None:
    """Open and reset many connections, one after the other."""
    for number in range(count):
        reset(connect(address))
        if number % 50 == 0:
            time.sleep(0.02)  # else this would measure how fast this machine connects


@each_attacked
def test_many_connections(measured: Row, driver: Driver) -> None:
    """10,000 connections within seconds, of which 2,000 stay, keep nobody waiting."""
    many, short = round(MANY * driver.scale), round(SHORT * driver.scale)
    with serving(driver) as server:
        before = server.descriptors
        with (
            well_behaved("tcp-echo", server.address, late=10 if driver.safe else 1) as clients,
            Attackers(server.address, many, SILENT, SLOW) as attackers,
        ):
            if driver.safe:
                connect_and_reset(server.address, short)
                until(lambda: attackers.opened == many, f"{many} connections")
                until(lambda: server.descriptors >= before + many, f"{many} are accepted")
                assert (attackers.connected, attackers.closed, attackers.refused) == (many, [], 0)
            else:
                until(lambda: attackers.opened > min(many / 2, driver.at_once), "they are many")
                time.sleep(2.5)  # longer than a client waits
            memory = server.memory
        if driver.safe:
            until(lambda: server.descriptors == before, "all are closed")
    figures = f"{clients.outcome}; {memory / MIB:.0f} MiB"
    if driver.safe:
        measured.limit(ALL_SERVED)
        measured.safe(figures)
        assert not clients.outcome.harmed
    else:
        measured.naive(driver.name, figures)
        if driver.at_once < many:
            assert clients.outcome.served == 0


def busy(server: Server, held: list[socket.socket], seconds: float) -> tuple[float, float]:
    """Talk to a server; return the part of a core that it took, and the slowest answer's time."""
    spent, began, slowest = server.cpu, time.monotonic(), 0.0
    while time.monotonic() < began + seconds:
        for client in held:
            asked = time.monotonic()
            tcp_echo.returned(client, b"still here")
            slowest = max(slowest, time.monotonic() - asked)
        time.sleep(0.05)
    return (server.cpu - spent) / (time.monotonic() - began), slowest


@each_unbounded
def test_no_descriptors(measured: Row, driver: Driver) -> None:
    """Without a free descriptor, and 100 that wait, it idles; then it serves them all.

    Clients that it has a connection with are served as before. The kernel keeps the others, and
    would say at every single poll that there is one.
    """
    with serving(driver) as server, ExitStack() as stack:
        held = [stack.enter_context(connect(server.address)) for _ in range(20)]
        for client in held:
            tcp_echo.returned(client, b"Hello")
        quiet, _ = busy(server, held, 1)
        with server.limited(resource.RLIMIT_NOFILE, psutil.Process.num_fds):
            waiting = [stack.enter_context(connect(server.address)) for _ in range(100)]
            for client in waiting:
                client.sendall(b"Hello")
            share, slowest = busy(server, held, 1)
            assert not select.select(waiting, [], [], 0)[0]
        relieved = time.monotonic()
        for client in waiting:
            assert receive(client, 5) == b"Hello"
        recovered = time.monotonic() - relieved
    figures = (
        f"{100 * share:.1f} % of a core, quiet {100 * quiet:.1f} %; the {len(held)} clients it had"
        f" are answered in at most {1000 * slowest:.0f} ms; recovered after {recovered:.1f} s"
    )
    if driver.safe:
        measured.limit(
            f"at most {100 * IDLE:.0f} % of a core more; recovered within {RECOVERY:.0f} s"
        )
        measured.safe(figures)
        assert share <= quiet + IDLE
        assert within(recovered, RECOVERY)
    else:
        measured.naive(driver.name, figures)
        assert share > quiet + IDLE


def send_much(address: Address, count: int, stack: ExitStack) -> int:
    """Send as much as is taken of many clients, and read nothing; return how many bytes were."""
    chunk = bytes(256 * 1024)
    left = {}
    epoll = stack.enter_context(select.epoll())
    for _ in range(count):
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
    return count * TO_SEND - sum(more for _, more in left.values())


def queued(address: Address) -> int:
    """Return how many bytes the kernel holds for a server: /proc/net/tcp, tx_queue and rx_queue."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    of_server = [line[4] for line in lines if line[1].endswith(f":{address.port:04X}")]
    return sum(int(size, 16) for queues in of_server for size in queues.split(":"))


@each_unbounded
def test_never_reads(measured: Row, driver: Driver) -> None:
    """200 clients that send 200 MiB each, and read nothing of what comes back, fill no memory."""
    count = round(GREEDY * driver.scale)
    limit = EACH_STREAM if driver.name == "coroutines" else EACH
    with (
        serving(driver) as server,
        ExitStack() as stack,
        well_behaved("tcp-echo", server.address) as clients,
    ):
        before = server.memory
        taken = send_much(server.address, count, stack) / count
        memory = (server.memory - before) / count
        buffers = queued(server.address) / count
    figures = (
        f"{clients.outcome}; of each {taken / MIB:.1f} MiB were taken,"
        f" {memory / KIB:.0f} KiB are in the server and {buffers / KIB:.0f} KiB in the kernel"
    )
    if driver.safe:
        measured.limit(f"{ALL_SERVED}; at most {limit // KIB} KiB of each, the kernel's included")
        measured.safe(figures)
        assert not clients.outcome.harmed
        assert memory + buffers <= limit
    else:
        measured.naive(driver.name, figures)
        assert memory + buffers > limit


def sockets(container: Container) -> int:
    """Return how many descriptors of sockets the processes in a container have."""
    found = "find /proc/[0-9]*/fd -lname 'socket:*' 2>/dev/null | wc -l"
    return int(succeed(container, "sh", "-c", found))


@each_unbounded
def test_vanished(
    measured: Row, engine: docker.DockerClient, tools_image: str, driver: Driver
) -> None:
    """50 peers that vanish without a FIN, half of them in the middle of an answer, are dropped."""
    settings = {VANISHED_TIMEOUT: str(VANISHED_SECONDS), **driver.settings}
    with machine(engine, tools_image, driver.command, None, **settings) as server:
        before = sockets(server)
        gone = ["python", "-m", "tests.hostile.peers"]
        with machine(engine, tools_image, gone, server) as vanishing:
            assert sockets(server) == before + peers.COUNT
            ports = f"{peers.FIRST_PORT}:{peers.FIRST_PORT + peers.COUNT}"
            for chain, side in (("INPUT", "--sport"), ("OUTPUT", "--dport")):
                succeed(server, "iptables", "-A", chain, "-p", "tcp", side, ports, "-j", "DROP")
            vanishing.kill()
        began = time.monotonic()
        if driver.safe:
            until(lambda: sockets(server) == before, "the descriptors are free", every=0.1)
        else:
            time.sleep(1.5 * VANISHED_SECONDS)
        took, left = time.monotonic() - began, sockets(server) - before
        assert tcp_echo.exchange(published(server, "20000/tcp"), b"Hello") == b"Hello"
    if driver.safe:
        measured.limit(f"no descriptor left, where {VANISHED_TIMEOUT}={VANISHED_SECONDS}")
        measured.safe(f"none left after {took:.1f} s")
        assert within(took, 1.5 * VANISHED_SECONDS)
    else:
        measured.naive(driver.name, f"{left} left")
        assert left == peers.COUNT


@pytest.mark.parametrize("transform", ["none", "upper"])
@each_safe
def test_writes_first(measured: Row, driver: Driver, transform: str) -> None:
    """A client that sends 32 MiB, and meanwhile takes what comes, has all of it back.

    No server that bounds its memory can help one that takes nothing until all is sent: both wait
    for the other to read.
    """
    data = os.urandom(32 * MIB)
    with serving(driver, ECHO_TRANSFORM=transform) as server:
        began = time.monotonic()
        received = tcp_echo.echo(server.address, data)
        took = time.monotonic() - began
        with connect(server.address, 1) as naive, pytest.raises(TimeoutError):
            naive.sendall(data)
    measured.limit("every byte equal")
    measured.safe(f"{len(received) // MIB} MiB in {took:.1f} s")
    measured.naive("a client that sends first and then reads", "hangs")
    assert received == (data.upper() if transform == "upper" else data)
