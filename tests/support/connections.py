"""The client's side of an object connection, without sockets, for tests of the server's."""

import hmac
from collections.abc import Callable, Iterator

from services.connection import frames
from services.connection.handshake import CHALLENGE, WELCOME
from services.connection.protocol import Answer, Limits, Protocol

KEY = b"k" * 32


def answering(to_message: Callable[[bytes], bytes] = bytes.upper, steps: int = 1) -> Answer:
    """Return what a server answers in so many steps; it tells its clients the text of an error."""

    def in_steps(message: bytes) -> Iterator[bytes | None]:
        yield from [None] * (steps - 1)
        yield to_message(message)

    return Answer(in_steps, lambda error: f"refused: {error}".encode())


def drain(protocol: Protocol) -> bytes:
    """Take what the protocol has to send."""
    outgoing = bytes(protocol.data_to_send())
    protocol.sent(len(outgoing))
    return outgoing


def messages(data: bytes) -> list[bytes]:
    """Return the messages in `data`."""
    incoming = frames.Incoming(Limits().max_message)
    taken = list(incoming.messages(data))
    assert incoming.size == 0
    return taken


def handshake_of_client(protocol: Protocol) -> bytes:
    """Return all that a client sends in its handshake; it needs our challenge, and no more."""
    (challenge,) = messages(drain(protocol))
    answer = hmac.new(KEY, challenge.removeprefix(CHALLENGE), "md5").digest()
    return b"".join(map(frames.encode, (answer, CHALLENGE + bytes(20), WELCOME)))


def authenticate(protocol: Protocol) -> Protocol:
    """Complete the handshake, and return the protocol."""
    protocol.receive_data(handshake_of_client(protocol))
    drain(protocol)
    return protocol
