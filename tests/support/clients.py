"""Clients of each service: connected, and ready to make one exchange after the other."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from http.client import HTTPConnection, HTTPResponse
from multiprocessing.connection import Client, Connection
from random import Random
from typing import Any

import clients.connections
import clients.kv
from clients.addresses import Address
from clients.checks import expect
from clients.rpc import RPCProxy
from clients.tcp_echo import returned
from clients.udp_time import TimeClient
from services.connection.authkey import authkey
from tests.support.pace import FAR
from tests.support.sockets import connect

Where = Address | str  # the latter is the path of a UNIX socket
Ask = Callable[[str], object]


def connected(service: str, where: Where, seconds: float = FAR) -> AbstractContextManager[Ask]:
    """Connect to a service; lend a function that makes one exchange, on that connection.

    It takes a word, which no other client uses, and raises WrongAnswer for the answer to another.
    The key is that of WIRELAB_AUTHKEY_FILE.
    """
    return CLIENTS[service](where, seconds)


@contextmanager
def tcp_echo(address: Address, seconds: float) -> Iterator[Ask]:
    """Have bytes come back."""
    with connect(address, seconds) as stream:

        def ask(word: str) -> None:
            expect("the echo", returned(stream, word.encode()), word.encode())

        yield ask


@contextmanager
def udp_time(address: Address, seconds: float) -> Iterator[Ask]:
    """Have the time told, under an ID; what is lost is sent again, as any client must."""
    with TimeClient(address, 0.1, attempts=int(4 * seconds), ceiling=0.25) as client:

        def ask(_word: str) -> None:
            client.ask()
            expect("replies that are not ours", client.statistics.forged, 0)

        yield ask


def web(target: str, wanted: str) -> Callable[[Address, float], AbstractContextManager[Ask]]:
    """Have a word that is sent in a query come back in the answer, as `wanted` says."""

    @contextmanager
    def client(address: Address, seconds: float) -> Iterator[Ask]:
        with closing(HTTPConnection(address.host, address.port, timeout=seconds)) as connection:

            def ask(word: str) -> None:
                connection.request("GET", target.format(word))
                response = connection.getresponse()
                body = response.read().decode()
                expect("the status", response.status, 200)
                expect("the word in the answer", wanted.format(word) in body, True)

            yield ask

    return client


@contextmanager
def kv(address: Address, seconds: float) -> Iterator[Ask]:
    """Have what was set come back."""
    with clients.kv.proxy(address, seconds) as store:
        name = f"client-{os.getpid()}-{threading.get_ident()}"

        def ask(word: str) -> None:
            store.set(name, word)
            expect("the value", store.get(name), word)

        yield ask


@contextmanager
def object_echo(where: Where, seconds: float) -> Iterator[Ask]:
    """Have an object come back."""
    with clients.connections.connect(where, authkey(), seconds) as stream:

        def ask(word: str) -> None:
            value = {"word": word, "list": [1, (2.5, None)], "bytes": b"\0"}
            expect("the object", clients.connections.exchange(stream, value), value)

        yield ask


@contextmanager
def rpc(where: Where, seconds: float) -> Iterator[Ask]:
    """Have numbers added."""
    with RPCProxy(where, authkey(), seconds) as proxy:
        random = Random()  # noqa: S311 - numbers to add

        def ask(_word: str) -> None:
            first, second = random.randrange(10**9), random.randrange(10**9)
            expect("the sum", proxy.add(first, second), first + second)

        yield ask


CLIENTS: dict[str, Callable[[Any, float], AbstractContextManager[Ask]]] = {
    "tcp-echo": tcp_echo,
    "udp-time": udp_time,
    "rest": web("/hello?name={}", "<h1>Hello {}!</h1>"),
    "kv": kv,
    "object-echo": object_echo,
    "rpc": rpc,
    "httpbin": web("/get?word={}", '"word": "{}"'),
}


def stock(where: Where, key: bytes) -> "Connection[Any, Any]":
    """Connect with the standard library's own client of object-echo and rpc."""
    return Client(where if isinstance(where, str) else (where.host, where.port), authkey=key)


def http_answer(connection: socket.socket, method: str | None = None) -> tuple[HTTPResponse, bytes]:
    """Return the next answer on a connection, and its body."""
    response = HTTPResponse(connection, method=method)
    response.begin()
    return response, response.read()


def http_exchange(
    address: Address, request: bytes, method: str | None = None, seconds: float = FAR
) -> tuple[HTTPResponse, bytes]:
    """Send a request as it is, in one piece; return the answer to it, and its body.

    A server that answers before it has read everything resets the connection, and who is still
    sending then never gets to read the answer.
    """
    with connect(address, seconds) as connection:
        connection.sendall(request)
        return http_answer(connection, method)
