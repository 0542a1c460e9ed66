"""What the drivers of object connections promise, whatever a server answers."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from clients.connections import connect
from services.connection import frames
from services.connection.protocol import SMALL
from tests.support.clients import stock
from tests.support.pace import FAR
from tests.support.processes import Server, running

# It goes on with a large message for as long as it takes until a small one is answered.
SERVER = """
from services import runtime
from services.connection import {driver}
from services.connection.protocol import SMALL, Answer

small = []

def answer(message):
    yield None
    if len(message) <= SMALL:
        small.append(message)
    while not small:
        yield None
    yield message

runtime.main(lambda address: {driver}.serve(address, Answer(answer, None)), default_port=0)
"""
LARGE = b"x" * (SMALL + 1)


@pytest.fixture(params=["evented", "coroutines", "threaded"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Run each of them."""
    with running(["python", "-c", SERVER.format(driver=request.param)]) as server:
        yield server


def test_others_are_served_between_the_steps_of_an_answer(server: Server, key: bytes) -> None:
    """Also one that comes meanwhile."""
    with stock(server.address, key) as first:
        first.send_bytes(LARGE)
        assert not first.poll(0.1)
        with stock(server.address, key) as other:
            other.send_bytes(b"small")
            assert other.recv_bytes() == b"small"
        assert first.recv_bytes() == LARGE


def test_who_reads_nothing_keeps_nobody_from_a_turn(server: Server, key: bytes) -> None:
    """However full the kernel's buffers are when the turn of its own large message comes."""
    small, large = frames.encode(bytes(SMALL)), frames.encode(bytes(32 * SMALL))
    with ExitStack() as stack:
        for count in range(1, 25):
            deaf = stack.enter_context(connect(server.address, key, FAR))
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.setblocking(False)
            with suppress(BlockingIOError):
                deaf.sendall(small * count + large)
        with stock(server.address, key) as other:
            for _ in range(3):
                other.send_bytes(bytes(32 * SMALL))
                assert other.poll(FAR)
                assert len(other.recv_bytes()) == 32 * SMALL
