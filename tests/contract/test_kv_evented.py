"""The event-driven worker of the key-value store: nobody keeps anybody else waiting."""

import http.client
import os
import resource
import signal
import socket
import threading
import xmlrpc.client
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from clients import kv
from clients.addresses import Address
from tests.helpers import resident, rest_of, until
from tests.processes import Server, running

MIB = 1024 * 1024


@contextmanager
def serving(file: Path, **environment: str) -> Iterator[Server]:
    """Run the durable store."""
    command = ["gunicorn", "-c", "services/kv/gunicorn.conf.py"]
    with running(command, WIRELAB_KV_FILE=str(file), **environment) as server:
        yield server
        assert "Traceback" not in "".join(server.log)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Run a store for one test."""
    with serving(tmp_path / "kv.sqlite3") as server:
        kv.health(server.address, 5)
        yield server


def worker(server: Server) -> psutil.Process:
    """Return the process that serves."""
    (found,) = until(psutil.Process(server.process.pid).children)
    return found


def request(body: bytes, length: int | None = None) -> bytes:
    """Return a request, maybe with another length than its body has."""
    length = len(body) if length is None else length
    return b"POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % length + body


def call(name: str, *arguments: Any) -> bytes:
    """Return a call as a request."""
    return request(xmlrpc.client.dumps(arguments, name, allow_none=True).encode())


def connect(address: Address, stack: ExitStack) -> socket.socket:
    """Connect until the stack is left."""
    return stack.enter_context(socket.create_connection(address, 5))


def test_calls_that_are_sent_ahead_are_answered_in_order(server: Server) -> None:
    """Also the last one when the client has said that it will send no more."""
    with socket.create_connection(server.address, 5) as client:
        calls = [call("get", "x"), call("set", "x", "one"), call("get", "x"), call("delete", "x")]
        client.sendall(b"".join(calls))
        client.shutdown(socket.SHUT_WR)
        answers = rest_of(client).split(b"HTTP/1.1 200 OK\r\n")[1:]
    held = [b"no such key", b"<nil/>", b"one", b"<nil/>"]
    assert [text in answer for text, answer in zip(held, answers, strict=True)] == [True] * 4


def test_silent_clients_keep_nobody_waiting(server: Server) -> None:
    """Three hundred: mute, with half a head, with half a body."""
    half = call("get", "x")[:-1]
    with ExitStack() as stack:
        for number in range(300):
            connect(server.address, stack).sendall((b"", half[:20], half)[number % 3])
        with kv.proxy(server.address) as store:
            for number in range(100):
                store.set("x", number)
                assert store.get("x") == number


def test_half_a_request_has_its_time_and_idle_clients_have_theirs(tmp_path: Path) -> None:
    """The first is told so, and its connection ends; the second can call again."""
    file = tmp_path / "kv.sqlite3"
    with serving(file, WIRELAB_SILENCE_TIMEOUT="1") as server, ExitStack() as stack:
        idle = stack.enter_context(kv.proxy(server.address))
        idle.exists("x")
        halves = [connect(server.address, stack) for _ in range(2)]
        for half, cut in zip(halves, (20, -1), strict=True):
            half.sendall(call("get", "x")[:cut])
        for half in halves:
            assert rest_of(half).startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        assert idle.exists("x") is False


def test_a_body_too_large_is_refused_although_it_is_being_sent(server: Server) -> None:
    """The client can send all of it and finds the answer then, and no reset in place of it."""
    with socket.create_connection(server.address, 5) as client:
        client.sendall(request(b"x" * 4 * MIB))
        assert rest_of(client).startswith(b"HTTP/1.1 413 Content Too Large\r\n")


def test_calls_that_are_never_complete_take_little_memory(server: Server) -> None:
    """A hundred clients send all but the end of a MiB: those that came first give way."""
    process = worker(server)
    with kv.proxy(server.address) as store, ExitStack() as stack:
        store.set("x", "x")
        before = resident(process.pid)
        clients = []
        for _ in range(100):
            clients.append(connect(server.address, stack))
            clients[-1].sendall(request(b"x" * (MIB - 1), length=MIB))
            assert store.get("x") == "x"
        assert resident(process.pid) - before < 40 * MIB
        assert clients[0].recv(100).startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        clients[-1].sendall(b"x")
        assert clients[-1].recv(100).startswith(b"HTTP/1.1 200 OK\r\n")


def test_answers_that_are_not_taken_take_little_memory(server: Server) -> None:
    """Sixty clients ask for a MiB, over and over, and read nothing."""
    process = worker(server)
    with kv.proxy(server.address) as store, ExitStack() as stack:
        store.set("large", "x" * (MIB - 1000))
        before = resident(process.pid)
        for _ in range(60):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.settimeout(5)
            client.connect(server.address)
            client.sendall(call("get", "large") * 10)
            store.set("small", "x")
        assert resident(process.pid) - before < 40 * MIB


def test_without_a_free_descriptor_it_waits_for_one(server: Server) -> None:
    """At rest, with those served that it has; and whoever waits is served when one has left."""
    process = worker(server)
    with kv.proxy(server.address) as store, ExitStack() as waiting:
        store.exists("x")
        few = process.num_fds() + 5
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (few, few))
        with ExitStack() as stack:
            for _ in range(5):
                connect(server.address, stack)
            late = connect(server.address, waiting)
            late.sendall(call("exists", "x"))
            until(lambda: "accept: [Errno 24]" in "".join(server.log))
            before = sum(process.cpu_times()[:2])
            late.settimeout(1)
            with pytest.raises(TimeoutError):
                late.recv(1)
            assert sum(process.cpu_times()[:2]) - before < 0.2
            assert store.exists("x") is False
        late.settimeout(5)
        assert late.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_server_that_stops_answers_what_still_comes(server: Server) -> None:
    """The answer says that it is the last; then the connection ends."""
    with closing(http.client.HTTPConnection(*server.address, timeout=5)) as connection:

        def last() -> bool:
            body = xmlrpc.client.dumps(("x",), "exists")
            connection.request("POST", "/", body)
            response = connection.getresponse()
            assert response.status == 200
            response.read()
            return response.will_close

        assert not last()
        server.process.terminate()
        until(last)
        assert server.process.wait(2) == 0


def test_a_reload_fails_no_call(server: Server) -> None:
    """Under load gunicorn starts a worker and stops the old one, three times."""
    stopped = threading.Event()

    def write(number: int) -> int:
        calls = 0
        with kv.proxy(server.address) as store:
            while not stopped.is_set():
                store.set(str(number), calls)
                assert store.get(str(number)) == calls
                calls += 1
        return calls

    with ThreadPoolExecutor(4) as threads:
        writers = [threads.submit(write, number) for number in range(4)]
        try:
            for _ in range(3):
                old = worker(server).pid
                os.kill(server.process.pid, signal.SIGHUP)
                until(lambda old=old: not psutil.pid_exists(old))  # type: ignore[misc]
        finally:
            stopped.set()
        assert min(writer.result() for writer in writers) > 0
