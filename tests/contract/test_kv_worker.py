"""The event-driven worker of the key-value store: nobody keeps anybody else waiting."""

import http.client
import os
import resource
import select
import signal
import socket
import threading
import time
import xmlrpc.client
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from clients import kv
from services.kv.store import Store
from tests.support.drivers import DRIVERS, serving
from tests.support.pace import FAR, until, within
from tests.support.processes import SILENCE_TIMEOUT, Server
from tests.support.sockets import connect, rest_of

MIB = 1024 * 1024
NAMES = 306_000
ROOM = 4  # bodies of a MiB
HEAD = (
    b"POST /RPC2 HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/xml\r\n"
    b"Content-Length: %d\r\n\r\n"
)
DURABLE = DRIVERS["kv"][0]


@pytest.fixture
def server() -> Iterator[Server]:
    """Run a store for one test."""
    with serving(DURABLE) as server:
        kv.health(server.address, FAR)
        yield server


def request(body: bytes, length: int | None = None) -> bytes:
    """Return a request, maybe with another length than its body has."""
    length = len(body) if length is None else length
    return HEAD % length + body


def call(name: str, *arguments: Any) -> bytes:
    """Return a call as a request."""
    return request(xmlrpc.client.dumps(arguments, name, allow_none=True).encode())


def test_calls_that_are_sent_ahead_are_answered_in_order(server: Server) -> None:
    """Also the last one when the client has said that it will send no more."""
    with connect(server.address) as client:
        calls = [call("get", "x"), call("set", "x", "one"), call("get", "x"), call("delete", "x")]
        client.sendall(b"".join(calls))
        client.shutdown(socket.SHUT_WR)
        answers = rest_of(client).split(b"HTTP/1.1 200 OK\r\n")[1:]
    held = [b"no such key", b"<nil/>", b"one", b"<nil/>"]
    assert [text in answer for text, answer in zip(held, answers, strict=True)] == [True] * 4


def test_silent_clients_keep_nobody_waiting(server: Server) -> None:
    """Three hundred: with nothing, half a head or half a body."""
    half = call("get", "x")[:-1]
    with ExitStack() as stack:
        for number in range(300):
            stack.enter_context(connect(server.address)).sendall((b"", half[:20], half)[number % 3])
        with kv.proxy(server.address) as store:
            for number in range(100):
                store.set("x", number)
                assert store.get("x") == number


def test_half_a_request_has_its_time_and_idle_clients_have_theirs() -> None:
    """The first is told so, and its connection ends; the second can call again."""
    with serving(DURABLE, **{SILENCE_TIMEOUT: "1"}) as server, ExitStack() as stack:
        idle = stack.enter_context(kv.proxy(server.address))
        idle.exists("x")
        halves = [stack.enter_context(connect(server.address)) for _ in range(2)]
        for half, cut in zip(halves, (20, -1), strict=True):
            half.sendall(call("get", "x")[:cut])
        for half in halves:
            assert rest_of(half).startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        assert idle.exists("x") is False


def test_a_body_too_large_is_refused_although_it_is_being_sent(server: Server) -> None:
    """The client can send all of it and finds the answer then, and no reset in place of it."""
    with connect(server.address) as client:
        client.sendall(request(b"x" * 4 * MIB))
        assert rest_of(client).startswith(b"HTTP/1.1 413 Content Too Large\r\n")


def test_calls_that_are_never_complete_take_little_memory(server: Server) -> None:
    """Twenty clients send all but the end of a MiB: each is evicted while others wait for room."""
    with (
        kv.proxy(server.address) as store,
        ExitStack() as stack,
        ThreadPoolExecutor(20) as threads,
    ):
        store.set("x", "x")
        before = server.memory
        clients = [stack.enter_context(connect(server.address)) for _ in range(20)]
        body = request(b"x" * (MIB - 1), length=MIB)
        sent = [threads.submit(client.sendall, body) for client in clients]
        waiting = select.poll()
        for client in clients:
            waiting.register(client, select.POLLIN)
        while len(waiting.poll(0)) < len(clients) - ROOM:
            assert store.get("x") == "x"
        assert server.memory - before < 16 * MIB
        answered = {descriptor for descriptor, _ in waiting.poll(0)}
        for client, sending in zip(clients, sent, strict=True):
            if client.fileno() in answered:
                assert client.recv(100).startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
            else:
                sending.result()
                client.sendall(b"x")
                assert client.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")


def test_answers_that_are_not_taken_take_little_memory(server: Server) -> None:
    """Sixty clients ask for a MiB, over and over, and read nothing."""
    with kv.proxy(server.address) as store, ExitStack() as stack:
        store.set("large", "x" * (MIB - 1000))
        before = server.memory
        for _ in range(60):
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.settimeout(FAR)
            client.connect(server.address)
            client.sendall(call("get", "large") * 10)
            store.set("small", "x")
        assert server.memory - before < 40 * MIB


@pytest.fixture(scope="module")
def many_names(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a store with so many names that to list them takes a while."""
    file = tmp_path_factory.mktemp("many") / "kv.sqlite3"
    with closing(Store(file)) as store, store.group():
        for number in range(NAMES):
            store.set(f"name {number}", "")
    return file


def test_others_are_served_while_many_names_are_listed(many_names: Path) -> None:
    """Three clients want them at once, each gets them all, and the others hardly notice."""
    with (
        serving(DURABLE, WIRELAB_KV_FILE=str(many_names)) as server,
        ThreadPoolExecutor(3) as threads,
        kv.proxy(server.address, FAR) as store,
    ):

        def names() -> bytes:
            with connect(server.address) as client:
                client.sendall(call("keys"))
                client.shutdown(socket.SHUT_WR)
                return rest_of(client)

        waits = []
        began = time.monotonic()
        answers = [threads.submit(names) for _ in range(3)]
        while not all(answer.done() for answer in answers):
            asked = time.monotonic()
            assert store.exists("name 7") is True
            waits.append(time.monotonic() - asked)
        took = time.monotonic() - began
        assert [answer.result().count(b"<string>name ") for answer in answers] == [NAMES] * 3
    assert len(waits) > 100
    assert max(waits) < took / 5


def test_without_a_free_descriptor_it_waits_for_one(server: Server) -> None:
    """It idles and serves those that it has; whoever waits is served when one has left."""
    with kv.proxy(server.address) as store, ExitStack() as waiting:
        store.exists("x")
        with (
            server.limited(resource.RLIMIT_NOFILE, lambda worker: worker.num_fds() + 5),
            ExitStack() as stack,
        ):
            for _ in range(5):
                stack.enter_context(connect(server.address))
            late = waiting.enter_context(connect(server.address))
            late.sendall(call("exists", "x"))
            until(lambda: "accept: [Errno 24]" in server.log, "it has no descriptor left")
            before = server.cpu
            late.settimeout(1)
            with pytest.raises(TimeoutError):
                late.recv(1)
            assert within(server.cpu - before, 0.2)
            assert store.exists("x") is False
            stack.close()
            late.settimeout(FAR)
            assert late.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_server_that_stops_answers_what_still_comes(server: Server) -> None:
    """The answer says that it is the last; then the connection ends."""
    with closing(http.client.HTTPConnection(*server.address, timeout=FAR)) as connection:

        def last() -> bool:
            body = xmlrpc.client.dumps(("x",), "exists")
            connection.request("POST", "/", body, {"Content-Type": "text/xml"})
            response = connection.getresponse()
            assert response.status == 200
            response.read()
            return response.will_close

        assert not last()
        server.process.terminate()
        until(last, "the last answer")
        assert server.ended() == 0


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
                old = server.worker
                os.kill(server.process.pid, signal.SIGHUP)
                until(lambda old=old: not old.is_running(), "the old worker ends")  # type: ignore[misc]
        finally:
            stopped.set()
        assert min(writer.result() for writer in writers) > 0
