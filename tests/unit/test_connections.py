"""The client's end of a connection: whole messages, or an error in time."""

import os
import socket
import struct
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing import AuthenticationError

import pytest

from clients.addresses import Address
from clients.checks import WrongAnswer
from clients.connections import connect, exchange
from services import safe_pickle
from services.connection import frames

REQUEST = frames.encode(safe_pickle.dumps("ping"))
ANSWER = os.urandom(3_000_000)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Return the client's end of a connection and the server's."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(5)
        yield ours, theirs


def set_timeout(stream: socket.socket, seconds: float) -> None:
    """Have the kernel limit each wait, as connect() does."""
    timeval = struct.pack("@ll", 0, int(1e6 * seconds))
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)


def test_an_answer_that_comes_in_pieces_is_put_together(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    """Also when it takes longer than the timeout, which is for a silence."""
    ours, theirs = ends
    set_timeout(ours, 0.9)

    def serve() -> bytes:
        request = theirs.recv(1000)
        answer = frames.encode(safe_pickle.dumps(ANSWER))
        for start, stop in ((0, 2), (2, 1000), (1000, 1_000_000), (1_000_000, None)):
            theirs.sendall(answer[start:stop])
            time.sleep(0.5)
        return request

    with ThreadPoolExecutor(1) as thread:
        request = thread.submit(serve)
        assert exchange(ours, "ping") == ANSWER
    assert request.result() == REQUEST


PONG = frames.encode(safe_pickle.dumps("pong"))


@pytest.mark.parametrize("came", range(len(PONG)))
def test_a_server_that_closes_in_an_answer_ends_it(
    ends: tuple[socket.socket, socket.socket], came: int
) -> None:
    """What there is of it is no answer, and the error says how much is missing."""
    ours, theirs = ends
    theirs.sendall(PONG[:came])
    theirs.shutdown(socket.SHUT_WR)
    message = (
        f"the answer is incomplete: it ends {(4 if came < 4 else len(PONG)) - came} bytes before"
        if came
        else "the server has closed the connection instead of answering"
    )
    with pytest.raises(EOFError, match=message):
        exchange(ours, "ping")


@pytest.mark.parametrize(
    "pickle", [b"garbage", b"cos\nsystem\n(S'true'\ntR."], ids=["no pickle", "a call"]
)
def test_an_answer_that_is_no_plain_data_is_wrong(
    ends: tuple[socket.socket, socket.socket], pickle: bytes
) -> None:
    """It is the server's fault, and not that of the value which was sent."""
    ours, theirs = ends
    theirs.sendall(frames.encode(pickle))
    with pytest.raises(WrongAnswer, match="not an answer: "):
        exchange(ours, "ping")


@pytest.mark.parametrize(
    ("greeting", "error", "message"),
    [
        pytest.param(b"", EOFError, "closed the connection during authentication", id="nothing"),
        pytest.param(b"\0\0", OSError, "end of file during message", id="half a length"),
        pytest.param(
            frames.encode(b"#CHALLENGE#" + bytes(20))[:-1], OSError, "end of file", id="half"
        ),
        pytest.param(
            frames.encode(b"Hello"),
            WrongAnswer if sys.version_info < (3, 12) else AuthenticationError,
            "Hello",
            id="no challenge",
        ),
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", OSError, "bad message length", id="HTTP"),
    ],
)
def test_a_server_of_another_protocol_is_told(
    greeting: bytes, error: type[Exception], message: str
) -> None:
    """Or one that breaks off in the authentication."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as thread:

        def greet() -> None:
            client, _ = listener.accept()
            with client:
                client.sendall(greeting)
                client.shutdown(socket.SHUT_WR)
                with suppress(ConnectionResetError):  # of a client that has left some unread
                    client.recv(1000)

        served = thread.submit(greet)
        with pytest.raises(error, match=message):
            connect(Address(*listener.getsockname()), b"k" * 32, 5.0)
        served.result()


@pytest.mark.parametrize("part", [b"", b"\0\0", b"\0\0\0\x10half"], ids=["none", "head", "body"])
def test_a_server_that_falls_silent_in_an_answer_times_out(
    ends: tuple[socket.socket, socket.socket], part: bytes
) -> None:
    """Wherever it stops."""
    ours, theirs = ends
    set_timeout(ours, 0.1)
    theirs.sendall(part)
    with pytest.raises(TimeoutError, match="no answer in time"):
        exchange(ours, "ping")


@pytest.mark.parametrize("size", [0, -1, -(2**31)])
def test_an_answer_of_no_size_is_refused(
    ends: tuple[socket.socket, socket.socket], size: int
) -> None:
    """And what follows it is not read as one."""
    ours, theirs = ends
    theirs.sendall(frames.HEADER.pack(size) + bytes(100))
    with pytest.raises(WrongAnswer, match=f"of {size} bytes"):
        exchange(ours, "ping")


def test_more_than_an_answer_is_refused(ends: tuple[socket.socket, socket.socket]) -> None:
    """It would be taken for the beginning of the next one."""
    ours, theirs = ends
    theirs.sendall(frames.encode(safe_pickle.dumps("pong")) + b"\0")
    with pytest.raises(WrongAnswer, match="of 19 bytes was announced, and 20 came"):
        exchange(ours, "ping")
