"""What the TCP echo promises, whatever its concurrency model."""

import os
import resource
import select
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from socket import AF_INET, SOCK_STREAM

import psutil
import pytest

from clients import tcp_echo
from clients.addresses import Address
from clients.checks import Check
from tests.helpers import LOOPBACK, receive, refuses_to_start, reset, resident, rest_of, until
from tests.processes import Server, running

VARIANTS = ["evented"]
MIB = 1024 * 1024


def command(variant: str) -> list[str]:
    """Return how a variant is started."""
    return ["python", "-m", f"services.tcp_echo.{variant}"]


@pytest.fixture(scope="module", params=VARIANTS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Run each variant in turn."""
    with running(command(request.param)) as server:
        yield server


@pytest.fixture
def address(server: Server) -> Address:
    """Return where the server is."""
    return server.address


def connect(address: Address) -> socket.socket:
    """Return a connection whose calls fail rather than wait for ever."""
    return socket.create_connection(address, 10)


def test_the_transcript_of_the_recipe_comes_out_as_printed(address: Address) -> None:
    """Five bytes out, the same five back."""
    with socket.socket(AF_INET, SOCK_STREAM) as s:
        s.settimeout(5)
        s.connect(("localhost", address.port))
        assert s.send(b"Hello") == 5
        assert s.recv(8192) == b"Hello"


@pytest.mark.parametrize("check", tcp_echo.CHECKS, ids=[check.what for check in tcp_echo.CHECKS])
def test_what_the_client_checks_holds(address: Address, check: Check) -> None:
    """Every check of the client passes."""
    check.run(address)


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


def test_many_connections_are_served_at_once(address: Address) -> None:
    """Two hundred are open, and the last one is answered first."""
    with ExitStack() as stack:
        connections = [stack.enter_context(connect(address)) for _ in range(200)]
        for number, connection in enumerate(connections):
            connection.sendall(b"%03d" % number)
        for number, connection in reversed(list(enumerate(connections))):
            assert receive(connection, 3) == b"%03d" % number


def stuff(connection: socket.socket, limit: int) -> int:
    """Send until nothing is taken any more for a while; return how many bytes were."""
    sent = 0
    chunk = bytes(256 * 1024)
    connection.setblocking(False)
    while sent < limit and select.select([], [connection], [], 0.5)[1]:
        sent += connection.send(chunk)
    return sent


def test_a_client_that_never_reads_costs_no_memory_and_holds_up_nobody(server: Server) -> None:
    """What the socket buffers do not take stays with that client."""
    with ExitStack() as stack:
        tcp_echo.exchange(server.address, b"warm up")
        before = resident(server.process.pid)
        for _ in range(3):
            greedy = stack.enter_context(connect(server.address))
            assert stuff(greedy, 256 * MIB) < 256 * MIB
            assert tcp_echo.exchange(server.address, b"still served") == b"still served"
        assert resident(server.process.pid) - before < 4 * MIB


def test_a_slow_reader_gets_everything_and_holds_up_nobody(server: Server) -> None:
    """Others have their answers while its own are on the way, and those take no memory."""
    data = os.urandom(32 * MIB)
    before = resident(server.process.pid)
    with connect(server.address) as slow, ThreadPoolExecutor(1) as thread:
        sending = thread.submit(slow.sendall, data)
        received = bytearray()
        while len(received) < len(data) // 2:
            received += receive(slow, 64 * 1024)
            assert tcp_echo.exchange(server.address, b"quick") == b"quick"
        assert not sending.done()
        assert resident(server.process.pid) - before < 4 * MIB
        received += receive(slow, len(data) - len(received))
        sending.result()
    assert received == data


def test_a_reset_by_a_peer_is_no_trouble_for_others(address: Address) -> None:
    """Neither before anything was sent nor with data under way in both directions."""
    with connect(address) as other:
        for amount in (0, 5, 4 * MIB):
            connection = connect(address)
            stuff(connection, amount)
            reset(connection)
            other.sendall(b"still here")
            assert receive(other, 10) == b"still here"
    assert tcp_echo.exchange(address, b"and new") == b"and new"


@pytest.mark.parametrize("variant", VARIANTS)
def test_upper_changes_the_letters_of_ascii_and_nothing_else(variant: str) -> None:
    """The recipes' other echo server; a character's bytes above ASCII stay as they are."""
    data = bytes(range(256)) + "欢迎访问 straße".encode()
    with running(command(variant), ECHO_TRANSFORM="upper") as server:
        assert tcp_echo.exchange(server.address, b"Hello") == b"HELLO"
        assert tcp_echo.echo(server.address, data) == data.upper()
        large = os.urandom(2 * MIB)
        assert tcp_echo.echo(server.address, large) == large.upper()


@pytest.mark.parametrize("variant", VARIANTS)
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


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_port_in_use_is_one_line(variant: str) -> None:
    """It names the address."""
    with socket.create_server((LOOPBACK, 0)) as holder:
        port = str(holder.getsockname()[1])
        line = refuses_to_start(command(variant), WIRELAB_PORT=port)
    assert line.startswith(f"cannot listen on {LOOPBACK}:{port}: Address already in use")


@pytest.mark.parametrize("variant", VARIANTS)
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
