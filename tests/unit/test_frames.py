"""Where a message of an object connection begins and ends."""

import socket
import struct
import tracemalloc
from multiprocessing.connection import Connection
from threading import Thread

import pytest

from services.connection.frames import SMALL, FrameError, Incoming, MessageTooLarge, encode
from tests.support.sockets import receive

LIMIT = 20_000
SIZES = (1, 0, 3, LIMIT, 2, SMALL - 4, SMALL, 0, LIMIT)


@pytest.mark.parametrize("size", [0, 1, 2, 255, 16 * 1024, 16 * 1024 + 1, 100_000])
def test_a_message_is_framed_as_the_standard_library_does(size: int) -> None:
    """`Connection` writes what `encode` returns, and reads it back."""
    message = bytes(size)
    ours, theirs = socket.socketpair()
    with ours, Connection(theirs.detach()) as connection:
        sender = Thread(target=connection.send_bytes, args=(message,))
        sender.start()
        assert receive(ours, 4 + size) == encode(message)
        sender.join()
        sender = Thread(target=ours.sendall, args=(encode(message),))
        sender.start()
        assert connection.recv_bytes() == message
        sender.join()


def test_messages_come_out_one_by_one_and_what_follows_stays() -> None:
    """Until the rest of it has come as well."""
    incoming = Incoming(LIMIT)
    assert list(incoming.messages(encode(b"one") + encode(b"two") + b"\0\0")) == [b"one", b"two"]
    assert incoming.size == 2
    assert list(incoming.messages(b"\0\5three")) == [b"three"]
    assert incoming.size == 0


def test_it_does_not_matter_in_which_parts_a_message_comes() -> None:
    """Large and small ones, in parts of any size."""
    whole = [bytes([n]) * size for n, size in enumerate(SIZES)]
    stream = b"".join(map(encode, whole))
    for size in (1, 2, 3, 4, 5, 7, 1000, SMALL - 1, SMALL, SMALL + 1, 10_000, len(stream)):
        incoming = Incoming(LIMIT)
        found: list[bytes] = []
        for start in range(0, len(stream), size):
            assert incoming.size == start - sum(4 + len(message) for message in found)
            found += incoming.messages(stream[start : start + size])
        assert found == whole
        assert incoming.size == 0


def test_a_large_message_is_not_copied_if_its_header_came_alone() -> None:
    """The standard library's clients send it so, from 16 KiB on."""
    incoming = Incoming(LIMIT)
    message = bytes(LIMIT)
    assert LIMIT > SMALL
    assert list(incoming.messages(encode(message)[:4])) == []
    (found,) = incoming.messages(message)
    assert found is message


def test_what_looks_like_a_message_in_the_middle_of_one_is_a_part_of_it() -> None:
    """Also where it has just the bytes of a whole one."""
    inner = encode(b"inner")
    incoming = Incoming(LIMIT)
    header, body = encode(inner)[:4], encode(inner)[4:]
    assert list(incoming.messages(header)) == []
    assert list(incoming.messages(body)) == [inner]


def test_a_message_of_just_the_limit_is_taken() -> None:
    """The limit is the largest size that is accepted."""
    assert list(Incoming(LIMIT).messages(encode(bytes(LIMIT)))) == [bytes(LIMIT)]


def test_the_limit_can_change_between_two_messages() -> None:
    """Each length is measured against the limit at the moment when it is read."""
    incoming = Incoming(1)
    messages = iter(incoming.messages(encode(b"1") + encode(b"22") + encode(b"4444")))
    assert next(messages) == b"1"
    incoming.limit = 2
    assert next(messages) == b"22"
    with pytest.raises(FrameError):
        next(messages)


@pytest.mark.parametrize("size", [LIMIT + 1, 2**31 - 1, -1, -(2**31)])
def test_a_size_that_will_not_be_read_is_refused_at_once(size: int) -> None:
    """The error comes with the header, before a byte of the message, or with all of it."""
    for data in (b"", bytes(max(0, min(size, LIMIT + 1)))):
        with pytest.raises(FrameError, match=rf"of {size} bytes was announced; 0 to {LIMIT}"):
            list(Incoming(LIMIT).messages(struct.pack("!i", size) + data))


def test_memory_is_taken_only_for_what_has_come() -> None:
    """Not for what was announced, and not many times as much where it comes in small parts."""
    incoming = Incoming(2**30)
    tracemalloc.start()
    try:
        list(incoming.messages(struct.pack("!i", 2**30)))
        for _ in range(100_000):
            list(incoming.messages(b"ab"))
        taken, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 2 * 200_000
    assert peak < 3 * 200_000


def dropping() -> Incoming:
    """Return what drops messages that are too large, as for an authenticated client."""
    incoming = Incoming(LIMIT)
    incoming.drops_too_large = True
    return incoming


def outcomes(incoming: Incoming, data: bytes) -> list[bytes | str]:
    """Return all messages in `data`, and the errors of those that are too large."""
    found: list[bytes | str] = []
    while data or incoming.queued:
        before = incoming.size
        try:
            for message in incoming.messages(data):
                found.append(message)  # noqa: PERF402 - those before an error count too
        except MessageTooLarge as error:
            found.append(f"{error}: {error.beginning!r}")
        if not data and incoming.size == before:
            break
        data = b""
    return found


def test_a_message_that_is_too_large_is_dropped() -> None:
    """In whatever parts it comes; those around it come out."""
    beginning = bytes(range(16))
    large = beginning + bytes(LIMIT)
    stream = encode(b"one") + encode(large) + encode(large) + encode(b"two") + encode(large)
    error = f"a message of {len(large)} bytes was sent; at most {LIMIT} are accepted: {beginning!r}"
    for size in (1, 2, 3, 5, 7, 19, 20, 21, 1000, LIMIT, len(large) + 4, len(large) + 11, 10**6):
        incoming = dropping()
        found: list[bytes | str] = []
        for start in range(0, len(stream), size):
            found += outcomes(incoming, stream[start : start + size])
            assert incoming.size <= LIMIT + 4
        assert found == [b"one", error, error, b"two", error], size
        assert incoming.size == 0


def test_a_length_of_64_bits_is_that_of_a_message_too() -> None:
    """Of more than 2 GiB, which `Connection` announces by a length of -1."""
    incoming = dropping()
    size = 2**31 + 5
    assert outcomes(incoming, struct.pack("!iQ", -1, size)) == []
    part = bytes(2**24)
    for _ in range(2**7):
        assert outcomes(incoming, part) == []
    (error, message) = outcomes(incoming, b"12345" + encode(b"next"))
    assert str(error).startswith(f"a message of {size} bytes was sent")
    assert message == b"next"


@pytest.mark.parametrize(
    "header", [struct.pack("!i", -2), struct.pack("!iQ", -1, LIMIT), struct.pack("!iQ", -1, 0)]
)
def test_a_length_that_no_message_has_is_an_error_at_once(header: bytes) -> None:
    """Negative, or of 64 bits where fewer are enough."""
    with pytest.raises(FrameError, match="bytes was announced"):
        list(dropping().messages(header))
