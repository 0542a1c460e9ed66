"""The client's end of a connection: whole messages, or an error in time."""

import os
import socket
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from clients.connections import exchange
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


def test_a_server_that_closes_in_an_answer_ends_it(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    """What there is of it is no answer."""
    ours, theirs = ends
    theirs.sendall(frames.encode(safe_pickle.dumps("pong"))[:-1])
    theirs.shutdown(socket.SHUT_WR)
    with pytest.raises(EOFError):
        exchange(ours, "ping")


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
    with pytest.raises(frames.FrameError, match=f"of {size} bytes"):
        exchange(ours, "ping")


def test_more_than_an_answer_is_refused(ends: tuple[socket.socket, socket.socket]) -> None:
    """It would be taken for the beginning of the next one."""
    ours, theirs = ends
    theirs.sendall(frames.encode(safe_pickle.dumps("pong")) + b"\0")
    with pytest.raises(frames.FrameError):
        exchange(ours, "ping")
