"""Where a message of an object connection begins and ends."""

import socket
import struct
from multiprocessing.connection import Connection
from threading import Thread

import pytest

from services.connection import frames
from services.connection.frames import FrameError
from tests.helpers import receive

LIMIT = 1000


@pytest.mark.parametrize("size", [1, 2, 255, 16 * 1024, 16 * 1024 + 1, 100_000])
def test_a_message_is_framed_as_the_standard_library_does(size: int) -> None:
    """`Connection` writes what `encode` returns, and reads it back."""
    message = bytes(size)
    ours, theirs = socket.socketpair()
    with ours, Connection(theirs.detach()) as connection:
        sender = Thread(target=connection.send_bytes, args=(message,))
        sender.start()
        assert receive(ours, 4 + size) == frames.encode(message)
        sender.join()
        sender = Thread(target=ours.sendall, args=(frames.encode(message),))
        sender.start()
        assert connection.recv_bytes() == message
        sender.join()


def test_messages_are_taken_one_by_one_and_leave_the_rest() -> None:
    """What follows a message stays for the next call."""
    received = bytearray(frames.encode(b"one") + frames.encode(b"two") + b"\0\0")
    assert frames.take(received, LIMIT) == b"one"
    assert frames.take(received, LIMIT) == b"two"
    assert frames.take(received, LIMIT) is None
    assert received == b"\0\0"


def test_an_incomplete_message_is_left_alone() -> None:
    """Each byte but the last is not enough, and none is lost."""
    whole = frames.encode(b"message")
    for end in range(len(whole)):
        received = bytearray(whole[:end])
        assert frames.take(received, LIMIT) is None
        assert received == whole[:end]


def test_a_message_of_just_the_limit_is_taken() -> None:
    """The limit is the largest size that is accepted."""
    assert frames.take(bytearray(frames.encode(bytes(LIMIT))), LIMIT) == bytes(LIMIT)


@pytest.mark.parametrize("size", [LIMIT + 1, 2**31 - 1, 0, -1, -(2**31)])
def test_a_size_that_will_not_be_read_is_refused_at_once(size: int) -> None:
    """The error comes with the header, before a byte of the message."""
    with pytest.raises(FrameError, match=rf"of {size} bytes was announced; 1 to 1000"):
        frames.take(bytearray(struct.pack("!i", size)), LIMIT)
