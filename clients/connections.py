"""Connections of `multiprocessing.connection`, with the timeouts that it lacks."""

import math
import socket
import struct
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge
from typing import Any

from clients.addresses import Address
from services.connection import plain_pickle


def connect(where: Address | str, key: bytes, timeout: float) -> "Connection[Any, Any]":
    """Connect to an address, or to the UNIX socket of a path, and authenticate both sides.

    Does what `multiprocessing.connection.Client(where, authkey=key)` does, but fails with
    TimeoutError where that would wait for ever: on a peer that says nothing for `timeout`
    seconds. (It is for each wait, so one that says a little now and then can take longer.) Raises
    AuthenticationError for a wrong key.
    """
    if isinstance(where, str):
        stream = socket.socket(socket.AF_UNIX)
        try:
            stream.settimeout(timeout)
            stream.connect(where)
        except BaseException:
            stream.close()
            raise
    else:
        stream = socket.create_connection(where, timeout)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # Connection uses os.read and os.write on the bare descriptor, which know nothing of Python's
    # timeouts; the kernel does. When one expires they fail with EAGAIN: BlockingIOError.
    stream.settimeout(None)
    fraction, seconds = math.modf(timeout)
    timeval = struct.pack("@ll", int(seconds), max(1, int(1e6 * fraction)))
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)
    connection: Connection[Any, Any] = Connection(stream.detach())
    try:
        answer_challenge(connection, key)
        deliver_challenge(connection, key)
    except BlockingIOError:
        connection.close()
        raise TimeoutError("no authentication in time") from None
    except BaseException:
        connection.close()
        raise
    return connection


def exchange(connection: "Connection[Any, Any]", value: object) -> Any:
    """Send an object and return the one that comes back.

    Like `send` and `recv`, but what comes back may only be plain data: `recv` gives it to
    `pickle.loads`, which calls whatever it names. Raises TimeoutError, or EOFError when the
    server has closed; after either the connection is out of step and must be closed.
    """
    try:
        connection.send_bytes(plain_pickle.dumps(value))
        return plain_pickle.loads(connection.recv_bytes())
    except BlockingIOError:
        raise TimeoutError("no answer in time") from None
