"""Many clients that send or ask for much at once, and read it."""

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from xmlrpc.client import dumps

import pytest

import clients.connections
from clients.addresses import Address
from services import safe_pickle
from services.connection import frames
from services.connection.protocol import Limits
from tests.hostile.reliability import Row
from tests.support.drivers import Driver, safe, serving
from tests.support.pace import FAR
from tests.support.sockets import connect, rest_of

MIB = 1024 * 1024
READERS = 200
ALLOWED = 64 * MIB  # that the server's memory may grow by

Request = tuple[bytes, int]  # and how many bytes of a body the answer has at least


def post(path: str, kind: str, body: bytes) -> bytes:
    """Return a POST request."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


FORM = "application/x-www-form-urlencoded"
VALUE = "x" * (MIB - 1000)
HTTP: dict[str, Request] = {
    "kv": (post("/RPC2", "text/xml", dumps(("large",), "get").encode()), len(VALUE)),
    "rest": (post("/hello", FORM, b"name=" + 65_536 * b'"'), 12 * 65_536),
    "httpbin": (b"GET /bytes/102400 HTTP/1.1\r\nHost: localhost\r\n\r\n", 102_400),
    "httpbin, 900 KB each way": (post("/post", "text/plain", 900_000 * b"x"), 900_000),
}


def answer_size(connection: socket.socket, slowly: bool = False) -> int:
    """Read an answer with a Content-Length; return the bytes of its body, 0 if it is no 200."""
    with connection.makefile("rb") as file:
        status = file.readline()
        length = 0
        while (line := file.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        size = 0
        while size < length and (part := file.read(min(64 * 1024, length - size))):
            size += len(part)
            if slowly:
                time.sleep(0.02)
    return size if status.startswith(b"HTTP/1.1 200 ") and size == length else 0


def store_a_large_value(address: Address) -> None:
    """Give kv the value that is asked for."""
    with connect(address) as connection:
        connection.sendall(post("/RPC2", "text/xml", dumps(("large", VALUE), "set").encode()))
        assert answer_size(connection)


@contextmanager
def stalled(address: Address, request: bytes) -> Iterator[socket.socket]:
    """Connect, ask, and read nothing."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(FAR)
        client.connect(address)
        client.sendall(request)
        yield client


@pytest.mark.parametrize("what", HTTP)
def test_many_readers_over_http(measured: Row, what: str) -> None:
    """200 clients that read get all of a large answer; one reads slowly; one, not at all."""
    (driver,) = safe(what.partition(",")[0])
    request, size = HTTP[what]
    took: list[float] = []

    def read(ask: Callable[[socket.socket], int]) -> int:
        with connect(server.address) as connection:
            began = time.monotonic()
            connection.sendall(request)
            received = ask(connection)
            took.append(time.monotonic() - began)
            return received

    with serving(driver) as server:
        if driver.service == "kv":
            store_a_large_value(server.address)
        before = server.memory
        with stalled(server.address, request), ThreadPoolExecutor(READERS + 1) as threads:
            slow = threads.submit(read, lambda connection: answer_size(connection, slowly=True))
            answers = list(threads.map(read, READERS * [answer_size]))
            assert slow.result() >= size
        growth = server.peak - before
        log = server.log
    whole = sum(answer >= size for answer in answers)
    took.sort()
    measured.limit(f"all {READERS} whole, and the slow one; at most {ALLOWED // MIB} MiB")
    measured.safe(f"{whole} whole, p99 {took[READERS * 99 // 100]:.1f} s; {growth / MIB:.0f} MiB")
    assert whole == READERS, log[-2000:]
    assert growth <= ALLOWED


PART = 64 * 1024  # bytes that a slow client sends or receives at once
LARGEST = Limits().max_message
# Bytes of a message, how many clients send one, and the memory that the server may take, all in
# all: to decode and answer a single one of 16 MiB takes it 115 MiB.
OBJECTS = {"4 MiB": (4 * MIB, READERS, 128 * MIB), "16 MiB": (LARGEST, 24, 224 * MIB)}


def echoed(peer: socket.socket, message: bytes, pause: float = 0.0) -> int:
    """Send a message and read its answer, with a pause after each part; return the bytes read."""
    for start in range(0, len(message), PART if pause else len(message)):
        peer.sendall(message[start : start + PART] if pause else message)
        time.sleep(pause)
    missing = frames.HEADER.size
    size = 0
    while size < missing and (part := peer.recv(min(PART, missing - size))):
        if not size:
            missing += frames.HEADER.unpack_from(part)[0]
        size += len(part)
        time.sleep(pause)
    return size


@pytest.mark.parametrize("driver", safe("object-echo", "rpc"), ids=str)
@pytest.mark.parametrize("what", OBJECTS)
def test_many_large_objects(driver: Driver, measured: Row, key: bytes, what: str) -> None:
    """All get back a large object, also a slow one; who stalls with all of the room is closed."""
    size, count, allowed = OBJECTS[what]
    count = round(count * driver.scale)
    data = bytes(size - 100)
    value: object = data if driver.service == "object-echo" else ("echo", (data,), {})
    message = frames.encode(safe_pickle.dumps(value))
    took: list[float] = []

    def ask(pause: float) -> int:
        with clients.connections.connect(server.address, key, FAR) as peer:
            began = time.monotonic()
            received = echoed(peer, message, pause)
            took.append(time.monotonic() - began)
            return received

    with (
        serving(driver) as server,
        clients.connections.connect(server.address, key, FAR) as half,
        clients.connections.connect(server.address, key, FAR) as deaf,
        ThreadPoolExecutor(count + 1) as threads,
    ):
        half.sendall(frames.HEADER.pack(LARGEST) + bytes(PART))
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.sendall(message)
        answers = list(threads.map(ask, [0.01, *count * [0.0]]))
        memory, log = server.peak, server.log
        assert rest_of(half) == b""
    whole = sum(answer > len(data) for answer in answers)
    took.sort()
    measured.limit(f"all {count + 1} whole; {allowed // MIB} MiB")
    measured.safe(f"{whole} whole, p99 {took[len(took) * 99 // 100]:.1f} s; {memory / MIB:.0f} MiB")
    assert whole == count + 1, log[-2000:]
    assert memory <= allowed
