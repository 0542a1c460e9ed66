"""Connections of `multiprocessing.connection`, with the timeouts that it lacks."""

import math
import os
import socket
import struct
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge
from typing import Any

from clients.addresses import Address, unix_socket
from clients.checks import WrongAnswer
from services import safe_pickle
from services.connection import frames
from services.connection.protocol import Limits
from services.memory import keep_freed_memory

SMALL = 4096  # bytes: a message of no more is received by one system call


def connect(where: Address | str, key: bytes, timeout: float) -> socket.socket:
    """Connect to an address, or to the UNIX socket of a path, and authenticate both sides.

    Does what `multiprocessing.connection.Client(where, authkey=key)` does, but fails with
    TimeoutError where that would wait for ever: on a peer that says nothing for `timeout`
    seconds. (It is for each wait, so one that says a little now and then can take longer.) Raises
    AuthenticationError for a wrong key, and WrongAnswer for what is no authentication: there Python
    3.12 and 3.13 raise AuthenticationError too, which quotes it.
    """
    keep_freed_memory(Limits().max_message)
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
    # From here on the kernel keeps the time: Python's timeouts would be unknown to Connection,
    # which reads and writes the bare descriptor, and cost a poll(2) before each recv(2). When one
    # of the kernel's expires, either fails with EAGAIN: BlockingIOError.
    stream.settimeout(None)
    fraction, seconds = math.modf(timeout)
    timeval = struct.pack("@ll", int(seconds), max(1, int(1e6 * fraction)))
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)
    try:
        connection: Connection[Any, Any] = Connection(os.dup(stream.fileno()))
        with connection:
            answer_challenge(connection, key)
            deliver_challenge(connection, key)
    except BlockingIOError:
        stream.close()
        raise TimeoutError("no authentication in time") from None
    except EOFError:
        stream.close()
        raise EOFError("the server has closed the connection during authentication") from None
    except (AssertionError, ValueError) as error:  # which of them depends on the Python
        stream.close()
        raise WrongAnswer(f"not the authentication of multiprocessing: {error}") from None
    except BaseException:
        stream.close()
        raise
    return stream


def socket_of(service: str) -> str:
    """Return the path of the UNIX socket of a service; LookupError where there is none."""
    if not (path := unix_socket(service)):
        folder = os.environ.get("WIRELAB_SOCKETS")
        raise LookupError(f"WIRELAB_SOCKETS has value {folder!r}. No folder with {service}.sock")
    return str(path)


def exchange(stream: socket.socket, value: object) -> Any:
    """Send an object and return the one that comes back.

    Like `send` and `recv` of a Connection, but what comes back may only be plain data: `recv`
    gives it to `pickle.loads`, which calls whatever it names. Raises TimeoutError, EOFError
    when the server has closed, or WrongAnswer for what is no message or no plain data; after any of
    them the stream is out of step and must be closed.
    """
    message = frames.encode(safe_pickle.dumps(value))
    try:
        stream.sendall(message)
        return safe_pickle.loads(receive(stream))
    except BlockingIOError:
        raise TimeoutError("no answer in time") from None
    except ValueError as error:  # FrameError and UnpicklingError are
        raise WrongAnswer(f"not an answer: {error}") from error


def receive(stream: socket.socket) -> bytes:
    """Return the one message that is to come; EOFError where the stream ends before it does."""
    data = stream.recv(SMALL)
    if not data:
        raise EOFError("the server has closed the connection instead of answering")
    if len(data) < frames.HEADER.size:
        data += rest(stream, frames.HEADER.size - len(data))
    (size,) = frames.HEADER.unpack_from(data)
    missing = frames.HEADER.size + size - len(data)
    if missing < 0:
        came = len(data) - frames.HEADER.size
        raise frames.FrameError(f"a message of {size} bytes was announced, and {came} came")
    message = data[frames.HEADER.size :]
    return message + rest(stream, missing) if missing else message


def rest(stream: socket.socket, count: int) -> bytes:
    """Return the next `count` bytes.

    The kernel waits for all of them (MSG_WAITALL), until a timeout or a signal comes in between:
    then it returns those that there are.
    """
    data = stream.recv(count, socket.MSG_WAITALL)
    while len(data) < count:
        more = stream.recv(count - len(data), socket.MSG_WAITALL)
        if not more:
            missing = count - len(data)
            raise EOFError(f"the answer is incomplete: it ends {missing} bytes before its end")
        data += more
    return data
