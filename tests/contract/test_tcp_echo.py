"""What the TCP echo promises, whatever its concurrency model."""

import math
import os
import re
import resource
import select
import signal
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from socket import AF_INET, SOCK_STREAM

import psutil
import pytest

from clients import tcp_echo
from clients.addresses import Address
from clients.checks import Check
from lab import processes
from services.tcp_echo import stream_handler
from tests.support.drivers import DRIVERS, Driver, named, safe, serving
from tests.support.pace import FAR, until, within
from tests.support.processes import VANISHED_TIMEOUT, Server, refuses_to_start, running
from tests.support.sockets import connect, receive, reset, rest_of, unanswered

MIB = 1024 * 1024


def only(drivers: list[Driver]) -> pytest.MarkDecorator:
    """Test what these drivers promise; another test says what becomes of it with the others."""
    return pytest.mark.parametrize("driver", drivers, ids=str, indirect=True)


ALL = DRIVERS["tcp-echo"]
ONE_AT_A_TIME = [driver for driver in ALL if driver.at_once == 1]
SIDE_BY_SIDE = [driver for driver in ALL if driver.at_once > 1]
BOUNDED = [driver for driver in SIDE_BY_SIDE if driver.at_once < math.inf]
MANY_AT_ONCE = [driver for driver in ALL if driver.at_once > 200]

one_at_a_time = only(ONE_AT_A_TIME)
side_by_side = only(SIDE_BY_SIDE)


@pytest.fixture(scope="module", params=DRIVERS["tcp-echo"], ids=str)
def driver(request: pytest.FixtureRequest) -> Driver:
    """Name each driver, one after the other."""
    found: Driver = request.param
    return found


def greet(connection: socket.socket) -> None:
    """Have a few bytes echoed."""
    assert tcp_echo.returned(connection, b"Hello") == b"Hello"


def stay(address: Address, count: int, stack: ExitStack) -> list[socket.socket]:
    """Connect `count` times, have a few bytes echoed each time, and stay connected."""
    clients = [stack.enter_context(connect(address)) for _ in range(count)]
    for client in clients:
        greet(client)
    return clients


def family(server: Server) -> list[psutil.Process]:
    """Return the server's process and its children."""
    process = psutil.Process(server.process.pid)
    return [process, *process.children()]


def memory(server: Server) -> dict[psutil.Process, int]:
    """Return how much memory each process of the server has, in bytes; ended ones have none."""
    found = {}
    for process in family(server):
        with suppress(psutil.NoSuchProcess):
            found[process] = process.memory_info().rss
    return found


def growth(server: Server, before: dict[psutil.Process, int]) -> int:
    """Return by how many bytes those processes have grown that were there before."""
    return sum(
        max(0, now - before[process])
        for process, now in memory(server).items()
        if process in before
    )


def test_the_transcript_of_the_recipe_comes_out_as_printed(address: Address) -> None:
    """Five bytes out, the same five back."""
    with socket.socket(AF_INET, SOCK_STREAM) as s:
        s.settimeout(FAR)
        s.connect(("localhost", address.port))
        assert s.send(b"Hello") == 5
        assert s.recv(8192) == b"Hello"


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(check, id=check.what)
        for check in tcp_echo.CHECKS
        if check.run is not tcp_echo.check_many
    ],
)
def test_what_the_client_checks_holds(address: Address, check: Check) -> None:
    """Every check of the client passes that takes one connection at a time."""
    check.run(address)


@only(MANY_AT_ONCE)
def test_the_clients_check_of_fifty_connections_holds(address: Address) -> None:
    """There is a place for each of them."""
    tcp_echo.check_many(address)


def test_the_clients_check_of_fifty_connections_fails_where_they_wait() -> None:
    """With a timeout, which is what it is for: in these models the last one is not served."""
    with ExitStack() as stack, ThreadPoolExecutor() as threads:
        servers = [stack.enter_context(serving(driver)) for driver in ALL if driver.at_once < 50]
        checks = [threads.submit(tcp_echo.check_many, server.address) for server in servers]
        assert [type(check.exception()) for check in checks] == [TimeoutError] * len(servers)
        assert [tcp_echo.exchange(server.address, b"and now") for server in servers] == [
            b"and now"
        ] * len(servers)


def test_the_health_check_passes(address: Address) -> None:
    """The exchange that container health checks make succeeds."""
    tcp_echo.health(address, FAR)


def test_every_byte_comes_back_unchanged_and_in_order(address: Address) -> None:
    """All values of a byte, more than all buffers together hold, both directions at once."""
    data = os.urandom(32 * MIB)
    with connect(address) as connection, ThreadPoolExecutor(1) as thread:
        sending = thread.submit(connection.sendall, data)
        received = receive(connection, len(data))
        sending.result()
    assert received == data


def test_urgent_data_comes_back_in_its_place(address: Address) -> None:
    """A byte that is sent with MSG_OOB is a byte like any other (RFC 6093, 4)."""
    with connect(address) as connection:
        for turn in range(50):
            connection.sendall(b"%02d" % turn)
            connection.send(b"!", socket.MSG_OOB)
            connection.sendall(b"?")
            assert receive(connection, 4) == b"%02d!?" % turn
        connection.send(b"last", socket.MSG_OOB)
        connection.shutdown(socket.SHUT_WR)
        assert rest_of(connection) == b"last"


def test_a_conversation_may_have_many_turns(address: Address) -> None:
    """Each message is answered before the next one is sent."""
    with connect(address) as connection:
        for turn in range(500):
            message = b"turn %d" % turn
            connection.sendall(message)
            assert receive(connection, len(message)) == message


@pytest.mark.parametrize("size", [0, 1, 8192, 2 * MIB], ids=lambda size: f"{size} bytes")
def test_what_was_sent_before_the_fin_comes_back_after_it(address: Address, size: int) -> None:
    """The server closes its half only when it has sent everything."""
    data = os.urandom(size)
    with connect(address) as connection, ThreadPoolExecutor(1) as thread:

        def send() -> None:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)

        sending = thread.submit(send)
        assert rest_of(connection) == data
        sending.result()


@only(MANY_AT_ONCE)
def test_many_connections_are_served_at_once(address: Address) -> None:
    """Two hundred are open, and the last one is answered first."""
    with ExitStack() as stack:
        connections = [stack.enter_context(connect(address)) for _ in range(200)]
        for number, connection in enumerate(connections):
            connection.sendall(b"%03d" % number)
        for number, connection in reversed(list(enumerate(connections))):
            assert receive(connection, 3) == b"%03d" % number


@one_at_a_time
def test_the_second_client_waits_until_the_first_has_left(address: Address) -> None:
    """It does connect, and the kernel takes what it sends; the first is served as before."""
    with connect(address) as first, connect(address) as second:
        second.sendall(b"Hello")
        for turn in range(50):
            first.sendall(b"%02d" % turn)
            assert receive(first, 2) == b"%02d" % turn
        assert unanswered(second)
        first.close()
        assert receive(second, 5) == b"Hello"


def retransmitted(connection: socket.socket) -> int:
    """Return how many segments were sent again: linux/tcp.h, tcp_info.tcpi_total_retrans."""
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    (count,) = struct.unpack_from("I", info, 100)
    return int(count)


@one_at_a_time
def test_a_hundred_wait_in_the_queue_and_are_served_in_order(address: Address) -> None:
    """It has room for them: none has to send its SYN again."""
    with connect(address) as first, ExitStack() as stack:
        greet(first)
        waiting = [stack.enter_context(connect(address)) for _ in range(100)]
        assert not any(map(retransmitted, waiting))
        for client in reversed(waiting):
            client.sendall(b"Hello")
        first.close()
        for number, client in enumerate(waiting):
            assert receive(client, 5) == b"Hello"
            assert not select.select(waiting[number + 1 :], [], [], 0)[0]
            client.close()


@only(BOUNDED)
def test_a_bounded_model_serves_as_many_as_it_has_places(driver: Driver, address: Address) -> None:
    """Four more connect and wait, however idle the others are; whoever leaves lets one in."""
    places = int(driver.at_once)
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(address)) for _ in range(places + 4)]
        for client in clients:
            client.sendall(b"Hello")
        for client in clients[:places]:
            assert receive(client, 5) == b"Hello"
        for number, leaving in enumerate(clients[:4]):
            assert unanswered(*clients[places + number :])
            leaving.close()
            assert receive(clients[places + number], 5) == b"Hello"


def stuff(connection: socket.socket, limit: int) -> int:
    """Send until nothing is taken any more for a while; return how many bytes were."""
    sent = 0
    chunk = bytes(256 * 1024)
    connection.setblocking(False)
    while sent < limit and select.select([], [connection], [], 0.5)[1]:
        sent += connection.send(chunk)
    return sent


@side_by_side
def test_a_client_that_never_reads_costs_no_memory_and_holds_up_nobody(server: Server) -> None:
    """What the socket buffers do not take stays with that client."""
    with ExitStack() as stack:
        greedy = stay(server.address, 3, stack)
        before = memory(server)
        for connection in greedy:
            assert stuff(connection, 256 * MIB) < 256 * MIB
            assert tcp_echo.exchange(server.address, b"still served") == b"still served"
        assert growth(server, before) < 4 * MIB


@one_at_a_time
def test_a_client_that_never_reads_holds_up_everybody(address: Address) -> None:
    """The server waits for it in the middle of sending, until it leaves."""
    with connect(address) as greedy, connect(address) as waiting:
        assert stuff(greedy, 256 * MIB) < 256 * MIB
        waiting.sendall(b"Hello")
        assert unanswered(waiting)
        reset(greedy)
        assert receive(waiting, 5) == b"Hello"


@side_by_side
def test_a_slow_reader_gets_everything_and_holds_up_nobody(server: Server) -> None:
    """Others have their answers while its own are on the way, and those take no memory."""
    data = os.urandom(32 * MIB)
    with connect(server.address) as slow, ThreadPoolExecutor(1) as thread:
        greet(slow)
        before = memory(server)
        sending = thread.submit(slow.sendall, data)
        received = bytearray()
        while len(received) < len(data) // 2:
            received += receive(slow, 256 * 1024)
            assert tcp_echo.exchange(server.address, b"quick") == b"quick"
        assert not sending.done()
        assert growth(server, before) < 4 * MIB
        received += receive(slow, len(data) - len(received))
        sending.result()
    assert received == data


@only(safe("tcp-echo"))
def test_a_client_that_was_slow_costs_nothing_once_it_has_everything(server: Server) -> None:
    """Its connection could be written to at any moment, and epoll must not report that."""
    with connect(server.address) as slow:
        sent = stuff(slow, 256 * MIB)
        slow.settimeout(FAR)
        assert len(receive(slow, sent)) == sent
        spent = server.cpu
        assert unanswered(slow)
        assert within(server.cpu - spent, 0.1)


def test_stream_handler_disconnects_a_silent_client_and_the_others_wait_for_ever() -> None:
    """Not long before its timeout; a second after it is as much of ever as there is here."""
    with ExitStack() as stack:
        servers = [stack.enter_context(serving(driver)) for driver in ALL]
        connections = [stack.enter_context(connect(server.address)) for server in servers]
        clients = dict(zip(connections, ALL, strict=True))
        began = time.monotonic()
        for client in clients:
            greet(client)
        early = max(0.0, began + stream_handler.Echo.timeout - 1 - time.monotonic())
        assert not select.select(clients, [], [], early)[0]
        (closed,), _, _ = select.select(clients, [], [], FAR)
        assert clients.pop(closed).name == "stream_handler"
        assert closed.recv(1) == b""
        assert not select.select(clients, [], [], 1)[0]
        for client in clients:
            client.sendall(b"still here")
            assert receive(client, 10) == b"still here"


def test_stream_handler_disconnects_a_client_that_never_reads() -> None:
    """And serves the next one, who would wait for ever otherwise."""
    with (
        serving(*named("tcp-echo", "stream_handler")) as server,
        connect(server.address) as greedy,
        connect(server.address) as waiting,
    ):
        waiting.sendall(b"Hello")
        assert stuff(greedy, 256 * MIB) < 256 * MIB
        assert receive(waiting, 5) == b"Hello"
        assert "closed: TimeoutError" in server.log


def test_a_reset_by_a_peer_does_not_end_it(server: Server) -> None:
    """Neither before anything was sent, nor with data under way, nor from a client in the queue."""
    with connect(server.address) as first:
        greet(first)
        queued = connect(server.address)
        queued.sendall(b"Hello")
        reset(queued)
    for amount in (0, 5, 4 * MIB):
        connection = connect(server.address)
        stuff(connection, amount)
        reset(connection)
        assert tcp_echo.exchange(server.address, b"next") == b"next"


@side_by_side
def test_a_reset_by_a_peer_disturbs_nobody_else(address: Address) -> None:
    """Who was connected before is served as before."""
    with connect(address) as other:
        for amount in (0, 5, 4 * MIB):
            connection = connect(address)
            stuff(connection, amount)
            reset(connection)
            other.sendall(b"still here")
            assert receive(other, 10) == b"still here"


def test_upper_changes_the_letters_of_ascii_and_nothing_else(driver: Driver) -> None:
    """The recipes' other echo server; a character's bytes above ASCII stay as they are."""
    data = bytes(range(256)) + "欢迎访问 straße".encode()
    with serving(driver, ECHO_TRANSFORM="upper") as server:
        assert tcp_echo.exchange(server.address, b"Hello") == b"HELLO"
        assert tcp_echo.echo(server.address, data) == data.upper()
        large = os.urandom(2 * MIB)
        assert tcp_echo.echo(server.address, large) == large.upper()


def test_a_bad_transform_is_one_line(driver: Driver) -> None:
    """It names the variable and the value, and the server does not start."""
    line = refuses_to_start(driver.command, ECHO_TRANSFORM="lower")
    assert line == "ECHO_TRANSFORM has value 'lower'. Not one of 'none', 'upper'"


def test_ten_connections_take_descriptors(driver: Driver) -> None:
    """One each where they are served at once, one in all where one is; forked's has its child."""
    with serving(driver) as server, ExitStack() as stack:
        at_first = server.descriptors
        clients = [stack.enter_context(connect(server.address)) for _ in range(10)]
        for client in clients:
            client.sendall(b"Hello")
        served = int(min(driver.at_once, len(clients)))
        for client in clients[:served]:
            assert receive(client, 5) == b"Hello"
        wanted = at_first + served * (driver.name != "forked")
        until(lambda: server.descriptors == wanted, f"{wanted} descriptors")


@only(safe("tcp-echo"))
def test_without_descriptors_it_waits_and_recovers(driver: Driver) -> None:
    """Those connected are served, the log is not flooded, and who waits is served later."""
    with serving(driver) as server, ExitStack() as stack:
        held = stay(server.address, 20, stack)
        with server.limited(resource.RLIMIT_NOFILE, psutil.Process.num_fds):
            waiting = stack.enter_context(connect(server.address))
            waiting.sendall(b"Hello")
            until(lambda: "Too many open files" in server.log, "it has no descriptor left")
            began = time.monotonic()
            for _ in range(20):
                greet(held[0])
            complaints = server.log.count("Too many open files")
            assert complaints <= 5 + 15 * (time.monotonic() - began)  # ten a second, and some
            for leaving in held[1:] if driver.workers else held[-1:]:  # one of the same worker
                leaving.close()
            assert receive(waiting, 5) == b"Hello"


@only(named("tcp-echo", "threaded"))
def test_without_descriptors_it_spins_and_recovers(driver: Driver) -> None:
    """A failed accept goes unnoticed, and is tried again at once, over and over."""
    with serving(driver) as server, ExitStack() as stack:
        held = stay(server.address, 10, stack)
        with server.limited(resource.RLIMIT_NOFILE, psutil.Process.num_fds):
            waiting = stack.enter_context(connect(server.address))
            waiting.sendall(b"Hello")
            spent = server.cpu
            until(lambda: server.cpu > spent + 0.5, "it spins")  # idle, that takes a minute or more
            greet(held[0])
            held.pop().close()
            assert receive(waiting, 5) == b"Hello"


@only(named("tcp-echo", "threaded"))
def test_without_threads_it_closes_the_connection_and_goes_on(driver: Driver) -> None:
    """Those connected are served, and new ones again as soon as there is room."""
    with serving(driver) as server, connect(server.address) as held:
        greet(held)
        # A thread's stack takes 8 MiB more.
        with server.limited(resource.RLIMIT_AS, lambda process: process.memory_info().vms + MIB):
            with connect(server.address) as unlucky:
                assert unlucky.recv(1) == b""
            assert "can't start new thread" in server.log
            greet(held)
        assert tcp_echo.exchange(server.address, b"room again") == b"room again"


@only(named("tcp-echo", "forked"))
def test_ended_children_are_reaped(server: Server) -> None:
    """None is left as a zombie, of many."""
    for _ in range(20):
        tcp_echo.exchange(server.address, b"Hello")
    until(lambda: family(server)[1:] == [], "no child is left")


@only(named("tcp-echo", "forked"))
def test_a_child_has_its_signals_to_itself(server: Server) -> None:
    """It neither has the parent's handlers nor blocks signals: proc(5), SigCgt and SigBlk."""
    with connect(server.address) as client:
        greet(client)
        status = Path(f"/proc/{family(server)[-1].pid}/status").read_text()
    masks = dict(re.findall(r"(Sig\w+):\s+([0-9a-f]+)", status))
    stopping = 1 << signal.SIGTERM - 1 | 1 << signal.SIGINT - 1
    assert int(masks["SigCgt"], 16) & stopping == 0
    assert int(masks["SigBlk"], 16) == 0


@only(named("tcp-echo", "forked"))
def test_a_killed_parent_leaves_no_children_and_the_port_free(driver: Driver) -> None:
    """It has no chance to end them; the kernel does, although their clients are connected."""
    with running(driver.command) as server, ExitStack() as stack:
        stay(server.address, 3, stack)
        children = family(server)[1:]
        assert len(children) == 3
        server.process.kill()
        server.process.wait()
        until(lambda: not any(processes.alive(child.pid) for child in children), "they end")
        with serving(driver, WIRELAB_PORT=str(server.address.port)) as successor:
            assert tcp_echo.exchange(successor.address, b"new") == b"new"


def pausing(address: Address, stack: ExitStack, *, fin: bool) -> tuple[socket.socket, int]:
    """Send what is taken and read nothing, so that the window closes; return how much was sent."""
    client = stack.enter_context(socket.socket())
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(address)
    if not fin:
        return client, stuff(client, 256 * MIB)
    client.sendall(bytes(48 * 1024))  # less than the server takes, so that FIN arrives too
    client.shutdown(socket.SHUT_WR)
    return client, 48 * 1024


def states(server: Server) -> set[str]:
    """Return the states of the server's connections: tcp(7), or RFC 9293, 3.3.2."""
    found = [each for worker in server.workers for each in worker.net_connections("tcp")]
    return {each.status for each in found}


def test_a_client_may_pause_for_as_long_as_it_likes() -> None:
    """Here for ten times the timeout for clients that have vanished, also after its FIN.

    Its machine acknowledges whatever the kernel asks: RFC 9293, 3.8.6.1. It gets every byte, and
    takes no memory meanwhile.
    """
    with ExitStack() as stack:
        settings = {VANISHED_TIMEOUT: "1"}
        servers = [stack.enter_context(serving(each, **settings)) for each in safe("tcp-echo")]
        for server in servers:
            stay(server.address, 3, stack)
        before = [memory(server) for server in servers]
        paused = [
            pausing(server.address, stack, fin=fin) for server in servers for fin in (False, True)
        ]
        ended = select.poll()  # which reports errors and the end of a connection unasked
        for client, _ in paused:
            ended.register(client, 0)
        assert ended.poll(10_000) == []
        assert all(growth(*each) < 4 * MIB for each in zip(servers, before, strict=True))
        for client, sent in paused:
            client.settimeout(FAR)
            assert len(receive(client, sent)) == sent
        assert [client.recv(1) for client, _ in paused[1::2]] == [b""] * len(servers)


@only(safe("tcp-echo"))
def test_a_client_that_paused_after_its_fin_leaves_nothing_behind(driver: Driver) -> None:
    """The connection is closed once that client has everything."""
    with serving(driver, **{VANISHED_TIMEOUT: "1"}) as server, ExitStack() as stack:
        before = server.descriptors
        client, sent = pausing(server.address, stack, fin=True)
        until(lambda: psutil.CONN_LAST_ACK in states(server), "it has sent FIN, behind the data")
        assert receive(client, sent + 1) == bytes(sent)
        until(lambda: server.descriptors == before, "the descriptor is free")


@pytest.mark.parametrize("driver", named("tcp-echo", "coroutines"), ids=str)
def test_asyncio_maps_no_memory_for_each_message(driver: Driver) -> None:
    """It allocates 256 KiB to receive a few bytes; each new mapping has page faults."""
    clients, rounds = 64, 20
    with serving(driver) as server, ExitStack() as stack:
        connections = [stack.enter_context(connect(server.address)) for _ in range(clients)]

        def exchange() -> None:
            for connection in connections:
                connection.sendall(b"x")
            for connection in connections:
                assert receive(connection, 1) == b"x"

        def page_faults() -> int:
            # proc(5): after the name, which may have blanks, minflt is the eighth field.
            stat = Path(f"/proc/{server.worker.pid}/stat").read_text()
            return int(stat.rpartition(")")[2].split()[7])

        exchange()
        before = page_faults()
        for _ in range(rounds):
            exchange()
        assert page_faults() - before < clients * rounds / 4
