"""object-echo and rpc as the recipes have them: what they keep of the promises, and what not."""

import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import psutil
import pytest

from tests.support.clients import stock
from tests.support.drivers import named, serving
from tests.support.pace import FAR, until
from tests.support.processes import Server
from tests.support.sockets import connect

both = pytest.mark.parametrize("service", ["object-echo", "rpc"])


class Pid:
    """Unpickled, it is the number of the process that does that."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.getpid, ()


@contextmanager
def classic(service: str) -> Iterator[Server]:
    """Run the recipe's server."""
    (driver,) = named(service, "classic")
    with serving(driver) as server:
        yield server


def connected(server: Server, key: bytes) -> "Connection[Any, Any]":
    """Connect with the standard library's own client."""
    return stock(server.address, key)


def challenged(server: Server, seconds: float = 5.0) -> bool:
    """Whether a client that connects now is sent a challenge within so many seconds."""
    with connect(server.address) as client:
        client.settimeout(seconds)
        try:
            return b"#CHALLENGE#" in client.recv(100)
        except TimeoutError:
            return False


def test_the_transcript_of_object_echo_comes_out_as_printed(key: bytes) -> None:
    """And what the server can import comes back too: it is unpickled, and pickled again."""
    with classic("object-echo") as server, connected(server, key) as c:
        for value in ("hello", 42, [1, 2, 3, 4, 5], len, os.urandom(4 * 1024 * 1024)):
            c.send(value)
            assert c.recv() == value


def test_the_calls_of_rpc_come_out_as_printed(key: bytes) -> None:
    """Whether a request is pickled once or, as the recipe's proxy does, twice."""
    request: tuple[str, tuple[int, int], dict[str, int]] = ("add", (2, 3), {})
    with classic("rpc") as server, connected(server, key) as c:
        c.send(request)
        assert c.recv() == (True, 5)
        c.send(pickle.dumps(request))
        assert pickle.loads(c.recv()) == 5


def test_object_echo_serves_one_client_at_a_time(key: bytes) -> None:
    """The next one is not even challenged before the first has left."""
    with classic("object-echo") as server:
        with connected(server, key) as first:
            first.send("served")
            assert first.recv() == "served"
            assert not challenged(server, 0.3)
        assert challenged(server)


def test_rpc_serves_clients_at_once(key: bytes) -> None:
    """Each has a thread."""
    with (
        classic("rpc") as server,
        connected(server, key) as first,
        connected(server, key) as second,
    ):
        for c in (second, first):
            c.send(("add", (2, 3), {}))
            assert c.recv() == (True, 5)


@both
def test_a_client_that_falls_silent_in_the_handshake_keeps_all_later_ones_waiting(
    service: str,
) -> None:
    """They are in the kernel's queue, until it leaves."""
    with classic(service) as server:
        with connect(server.address) as silent:
            assert b"#CHALLENGE#" in silent.recv(100)
            assert not challenged(server, 0.3)
        if service == "object-echo":
            assert challenged(server)


@pytest.mark.parametrize("data", [b"", b"\0\0\0\4oops"], ids=["a port scan", "a wrong answer"])
def test_a_broken_handshake_ends_rpc(data: bytes) -> None:
    """`accept` raises, and nothing catches that; object-echo catches everything."""
    with classic("object-echo") as server, connect(server.address):
        pass
    with classic("rpc") as server:
        with connect(server.address) as client:
            assert b"#CHALLENGE#" in client.recv(100)
            client.sendall(data)
        assert server.process.wait(FAR) == 1
        assert "Traceback" in server.log


@both
def test_what_a_pickle_names_is_run(service: str, key: bytes) -> None:
    """A client that knows the key has the server call what it likes: here os.getpid."""
    with classic(service) as server, connected(server, key) as c:
        c.send(Pid() if service == "object-echo" else ("echo", (Pid(),), {}))
        answer = c.recv()
        assert answer in (server.process.pid, (True, server.process.pid))


@both
def test_memory_is_reserved_for_whatever_is_announced(service: str, key: bytes) -> None:
    """Four bytes are enough for 256 MiB of address space, until that client leaves."""
    size = 256 * 1024 * 1024
    with classic(service) as server:
        process = psutil.Process(server.process.pid)
        with connected(server, key) as c:
            before = process.memory_info().vms
            os.write(c.fileno(), size.to_bytes(4, "big"))
            until(lambda: process.memory_info().vms >= before + size, "it is reserved")
        until(lambda: process.memory_info().vms < before + size, "it is released")
