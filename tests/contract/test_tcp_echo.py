"""What the TCP echo promises, whatever its concurrency model."""

import os
import re
import resource
import select
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from socket import AF_INET, SOCK_STREAM

import psutil
import pytest

from clients import tcp_echo
from clients.addresses import Address
from clients.checks import Check
from scripts import processes
from services.tcp_echo import stream_handler
from tests.helpers import LOOPBACK, receive, refuses_to_start, reset, rest_of, until
from tests.processes import Server, running

ONE_AT_A_TIME = ["raw_loop", "single", "stream_handler"]
SIDE_BY_SIDE = ["prethreaded", "forked", "threaded", "evented"]
VARIANTS = ONE_AT_A_TIME + SIDE_BY_SIDE
MIB = 1024 * 1024


def only(*variants: str) -> pytest.MarkDecorator:
    """Test what these variants promise; another test says what becomes of it with the others."""
    return pytest.mark.parametrize("variant", variants, indirect=True)


one_at_a_time = only(*ONE_AT_A_TIME)
side_by_side = only(*SIDE_BY_SIDE)


def command(variant: str) -> list[str]:
    """Return how a variant is started."""
    return ["python", "-m", f"services.tcp_echo.{variant}"]


@pytest.fixture(scope="module", params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> str:
    """Name each variant in turn."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def server(variant: str) -> Iterator[Server]:
    """Run the variant; whatever its peers do, its log has no traceback."""
    with running(command(variant)) as server:
        yield server
        assert "Traceback" not in "".join(server.log)


@pytest.fixture
def address(server: Server) -> Address:
    """Return where the server is."""
    return server.address


def connect(address: Address) -> socket.socket:
    """Return a connection whose calls fail rather than wait for ever."""
    return socket.create_connection(address, 10)


def unanswered(connections: Sequence[socket.socket]) -> bool:
    """Whether nothing comes on any of these connections for a while."""
    return not select.select(connections, [], [], 0.3)[0]


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
        s.settimeout(5)
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


@only("forked", "threaded", "evented")
def test_the_clients_check_of_fifty_connections_holds(address: Address) -> None:
    """There is a place for each of them."""
    tcp_echo.check_many(address)


def test_the_clients_check_of_fifty_connections_fails_where_they_wait() -> None:
    """With a timeout, which is what it is for: in these models the last one is not served."""
    with ExitStack() as stack, ThreadPoolExecutor() as threads:
        servers = [
            stack.enter_context(running(command(variant)))
            for variant in (*ONE_AT_A_TIME, "prethreaded")
        ]
        checks = [threads.submit(tcp_echo.check_many, server.address) for server in servers]
        assert [type(check.exception()) for check in checks] == [TimeoutError] * len(servers)
        assert [tcp_echo.exchange(server.address, b"and now") for server in servers] == [
            b"and now"
        ] * len(servers)


def test_the_health_check_passes(address: Address) -> None:
    """The exchange that container health checks make succeeds."""
    tcp_echo.health(address, 5)


def test_every_byte_comes_back_unchanged_and_in_order(address: Address) -> None:
    """All values of a byte, more than all buffers together hold, both directions at once."""
    data = os.urandom(32 * MIB)
    with connect(address) as connection, ThreadPoolExecutor(1) as thread:
        sending = thread.submit(connection.sendall, data)
        received = receive(connection, len(data))
        sending.result()
    assert received == data


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


@only("forked", "threaded", "evented")
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
        assert unanswered([second])
        first.close()
        assert receive(second, 5) == b"Hello"


@one_at_a_time
def test_a_hundred_wait_in_the_queue_and_are_served_in_order(address: Address) -> None:
    """None has to send its SYN again, which would be after a second."""
    with connect(address) as first, ExitStack() as stack:
        first.sendall(b"Hello")
        assert receive(first, 5) == b"Hello"
        waiting = [stack.enter_context(socket.create_connection(address, 0.9)) for _ in range(100)]
        for client in reversed(waiting):
            client.settimeout(10)
            client.sendall(b"Hello")
        first.close()
        for number, client in enumerate(waiting):
            assert receive(client, 5) == b"Hello"
            assert not select.select(waiting[number + 1 :], [], [], 0)[0]
            client.close()


@pytest.mark.parametrize(
    ("variant", "places"), [("prethreaded", 16), ("forked", 256)], indirect=["variant"]
)
def test_a_bounded_model_serves_as_many_as_it_has_places(address: Address, places: int) -> None:
    """Four more connect and wait, however idle the others are; whoever leaves lets one in."""
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(address)) for _ in range(places + 4)]
        for client in clients:
            client.sendall(b"Hello")
        for client in clients[:places]:
            assert receive(client, 5) == b"Hello"
        for number, leaving in enumerate(clients[:4]):
            assert unanswered(clients[places + number :])
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
        greedy = [stack.enter_context(connect(server.address)) for _ in range(3)]
        for connection in greedy:
            connection.sendall(b"Hello")
            assert receive(connection, 5) == b"Hello"
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
        assert unanswered([waiting])
        reset(greedy)
        assert receive(waiting, 5) == b"Hello"


@side_by_side
def test_a_slow_reader_gets_everything_and_holds_up_nobody(server: Server) -> None:
    """Others have their answers while its own are on the way, and those take no memory."""
    data = os.urandom(32 * MIB)
    with connect(server.address) as slow, ThreadPoolExecutor(1) as thread:
        slow.sendall(b"Hello")
        assert receive(slow, 5) == b"Hello"
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


@only("evented")
def test_a_client_that_was_slow_costs_nothing_once_it_has_everything(server: Server) -> None:
    """Its connection could be written to at any moment, and epoll must not report that."""
    process = psutil.Process(server.process.pid)
    with connect(server.address) as slow:
        sent = stuff(slow, 256 * MIB)
        slow.settimeout(10)
        assert len(receive(slow, sent)) == sent
        spent = sum(process.cpu_times()[:2])
        assert unanswered([slow])
        assert sum(process.cpu_times()[:2]) - spent < 0.1


def test_stream_handler_disconnects_a_silent_client_and_the_others_wait_for_ever() -> None:
    """Not long before its timeout; a second after it is as much of ever as there is here."""
    with ExitStack() as stack:
        servers = [stack.enter_context(running(command(variant))) for variant in VARIANTS]
        connections = [stack.enter_context(connect(server.address)) for server in servers]
        clients = dict(zip(connections, VARIANTS, strict=True))
        began = time.monotonic()
        for client in clients:
            client.sendall(b"Hello")
            assert receive(client, 5) == b"Hello"
        early = max(0.0, began + stream_handler.Echo.timeout - 1 - time.monotonic())
        assert not select.select(clients, [], [], early)[0]
        (cut,), _, _ = select.select(clients, [], [], 5)
        assert clients.pop(cut) == "stream_handler"
        assert cut.recv(1) == b""
        assert not select.select(clients, [], [], 1)[0]
        for client in clients:
            client.sendall(b"still here")
            assert receive(client, 10) == b"still here"


def test_stream_handler_disconnects_a_client_that_never_reads() -> None:
    """And serves the next one, who would wait for ever otherwise."""
    with (
        running(command("stream_handler")) as server,
        connect(server.address) as greedy,
        connect(server.address) as waiting,
    ):
        waiting.sendall(b"Hello")
        assert stuff(greedy, 256 * MIB) < 256 * MIB
        assert receive(waiting, 5) == b"Hello"
        assert any("connection closed: TimeoutError" in line for line in server.log)


def test_a_reset_by_a_peer_does_not_end_it(server: Server) -> None:
    """Neither before anything was sent, nor with data under way, nor from a client in the queue."""
    with connect(server.address) as first:
        first.sendall(b"Hello")
        receive(first, 5)
        queued = connect(server.address)
        queued.sendall(b"Hello")
        reset(queued)
    for amount in (0, 5, 4 * MIB):
        connection = connect(server.address)
        stuff(connection, amount)
        reset(connection)
        assert tcp_echo.exchange(server.address, b"next") == b"next"


@side_by_side
def test_a_reset_by_a_peer_is_no_trouble_for_others(address: Address) -> None:
    """Who was connected before is served as before."""
    with connect(address) as other:
        for amount in (0, 5, 4 * MIB):
            connection = connect(address)
            stuff(connection, amount)
            reset(connection)
            other.sendall(b"still here")
            assert receive(other, 10) == b"still here"


def test_upper_changes_the_letters_of_ascii_and_nothing_else(variant: str) -> None:
    """The recipes' other echo server; a character's bytes above ASCII stay as they are."""
    data = bytes(range(256)) + "欢迎访问 straße".encode()
    with running(command(variant), ECHO_TRANSFORM="upper") as server:
        assert tcp_echo.exchange(server.address, b"Hello") == b"HELLO"
        assert tcp_echo.echo(server.address, data) == data.upper()
        large = os.urandom(2 * MIB)
        assert tcp_echo.echo(server.address, large) == large.upper()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("ECHO_TRANSFORM", "lower", "Not one of 'none', 'upper'"),
        ("WIRELAB_PORT", "65536", "Not a port number (0 to 65535)"),
        ("WIRELAB_LOG", "loud", "Not one of 'info', 'debug'"),
    ],
)
def test_a_bad_setting_is_one_line(variant: str, name: str, value: str, message: str) -> None:
    """It names the variable and the value, and the server does not start."""
    line = refuses_to_start(command(variant), **{name: value})
    assert line == f"{name} has value {value!r}. {message}"


def test_a_port_in_use_is_one_line(variant: str) -> None:
    """It names the address."""
    with socket.create_server((LOOPBACK, 0)) as holder:
        port = str(holder.getsockname()[1])
        line = refuses_to_start(command(variant), WIRELAB_PORT=port)
    assert line.startswith(f"cannot listen on {LOOPBACK}:{port}: Address already in use")


@pytest.mark.parametrize(
    ("variant", "descriptors"),
    [
        *((name, 1) for name in ONE_AT_A_TIME),
        ("prethreaded", 10),
        ("forked", 0),
        ("threaded", 10),
        ("evented", 10),
    ],
    indirect=["variant"],
)
def test_ten_connections_take_descriptors(variant: str, descriptors: int) -> None:
    """One each where they share a process, one in all where they take turns, else its child's."""
    with running(command(variant)) as server, ExitStack() as stack:
        process = psutil.Process(server.process.pid)
        at_first = process.num_fds()
        clients = [stack.enter_context(connect(server.address)) for _ in range(10)]
        for client in clients:
            client.sendall(b"Hello")
        for client in clients[:1] if variant in ONE_AT_A_TIME else clients:
            assert receive(client, 5) == b"Hello"
        until(lambda: process.num_fds() == at_first + descriptors)


@only("evented")
def test_without_descriptors_it_waits_and_recovers(variant: str) -> None:
    """Those connected are served, the log is not flooded, and who waits gets his turn."""
    with running(command(variant)) as server, ExitStack() as clients:
        held = [clients.enter_context(connect(server.address)) for _ in range(10)]
        for connection in held:
            connection.sendall(b"Hello")
            assert receive(connection, 5) == b"Hello"
        in_use = psutil.Process(server.process.pid).num_fds()
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (in_use, in_use))
        waiting = clients.enter_context(connect(server.address))
        waiting.sendall(b"Hello")
        until(lambda: any("Too many open files" in line for line in server.log))
        began = time.monotonic()
        for _ in range(20):
            held[0].sendall(b"Hello")
            assert receive(held[0], 5) == b"Hello"
        complaints = [line for line in server.log if "Too many open files" in line]
        assert len(complaints) <= 5 + 15 * (time.monotonic() - began)  # ten a second, and some
        held.pop().close()
        assert receive(waiting, 5) == b"Hello"


@only("threaded")
def test_without_descriptors_it_spins_and_recovers(variant: str) -> None:
    """A failed accept goes unnoticed, and is tried again at once, over and over."""
    with running(command(variant)) as server, ExitStack() as clients:
        held = [clients.enter_context(connect(server.address)) for _ in range(10)]
        for connection in held:
            connection.sendall(b"Hello")
            assert receive(connection, 5) == b"Hello"
        process = psutil.Process(server.process.pid)
        in_use = process.num_fds()
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (in_use, in_use))
        waiting = clients.enter_context(connect(server.address))
        waiting.sendall(b"Hello")
        spent = sum(process.cpu_times())
        until(lambda: sum(process.cpu_times()) > spent + 0.5, 20)  # idle, it takes a minute or more
        held[0].sendall(b"Hello")
        assert receive(held[0], 5) == b"Hello"
        held.pop().close()
        assert receive(waiting, 5) == b"Hello"


@only("threaded")
def test_who_finds_no_thread_is_hung_up_on(variant: str) -> None:
    """Those connected are served, and new ones again as soon as there is room."""
    with running(command(variant)) as server, connect(server.address) as held:
        held.sendall(b"Hello")
        assert receive(held, 5) == b"Hello"
        process = psutil.Process(server.process.pid)
        too_little = process.memory_info().vms + MIB  # a thread's stack takes 8 MiB of it
        _, hard = resource.prlimit(process.pid, resource.RLIMIT_AS)
        resource.prlimit(process.pid, resource.RLIMIT_AS, (too_little, hard))
        with connect(server.address) as unlucky:
            assert unlucky.recv(1) == b""
        assert any("can't start new thread" in line for line in server.log)
        held.sendall(b"still here")
        assert receive(held, 10) == b"still here"
        resource.prlimit(process.pid, resource.RLIMIT_AS, (hard, hard))
        assert tcp_echo.exchange(server.address, b"room again") == b"room again"


@only("forked")
def test_ended_children_are_reaped(server: Server) -> None:
    """None is left as a zombie, of many."""
    for _ in range(20):
        tcp_echo.exchange(server.address, b"Hello")
    until(lambda: family(server)[1:] == [])


@only("forked")
def test_a_child_has_its_signals_to_itself(server: Server) -> None:
    """It neither has the parent's handlers nor holds anything back: proc(5), SigCgt and SigBlk."""
    with connect(server.address) as client:
        client.sendall(b"Hello")
        assert receive(client, 5) == b"Hello"
        status = Path(f"/proc/{family(server)[-1].pid}/status").read_text()
    masks = dict(re.findall(r"(Sig\w+):\s+([0-9a-f]+)", status))
    stopping = 1 << signal.SIGTERM - 1 | 1 << signal.SIGINT - 1
    assert int(masks["SigCgt"], 16) & stopping == 0
    assert int(masks["SigBlk"], 16) == 0


@only("forked")
def test_a_killed_parent_leaves_no_children_and_the_port_free(variant: str) -> None:
    """It has no chance to end them; the kernel does, although their clients are connected."""
    with running(command(variant)) as server, ExitStack() as clients:
        for _ in range(3):
            client = clients.enter_context(connect(server.address))
            client.sendall(b"Hello")
            assert receive(client, 5) == b"Hello"
        children = family(server)[1:]
        assert len(children) == 3
        server.process.kill()
        server.process.wait()
        until(lambda: not any(processes.alive(child.pid) for child in children), 1)
        with running(command(variant), WIRELAB_PORT=str(server.address.port)) as successor:
            assert tcp_echo.exchange(successor.address, b"new") == b"new"
