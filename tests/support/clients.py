"""Clients of each service: connected, and ready to make one exchange after the other."""

import socket
from contextlib import AbstractContextManager
from http.client import HTTPResponse
from multiprocessing.connection import Client, Connection
from typing import Any

from clients.addresses import Address
from clients.client import Ask, client
from tests.support.pace import FAR
from tests.support.sockets import connect

Where = Address | str  # the latter is the path of a UNIX socket


def connected(service: str, where: Where, seconds: float = FAR) -> AbstractContextManager[Ask]:
    """Connect to a service; lend a function that makes one exchange, on that connection.

    It takes a word, which no other client uses, and raises WrongAnswer for the answer to another.
    The key is that of WIRELAB_AUTHKEY_FILE.
    """
    return client(service).conversation(where, seconds)


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
