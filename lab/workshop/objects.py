"""A client of `multiprocessing.connection` in single steps, so that a check can stop at each.

    challenge -> digest -> WELCOME -> our challenge -> the server's digest -> our WELCOME -> objects

What comes is never unpickled: `safe_pickle` decodes it.
"""

import os
import socket
from contextlib import suppress
from typing import Any

from lab.workshop.client import Client, Failed
from services import safe_pickle
from services.connection import frames, handshake


def send(client: Client, message: bytes) -> None:
    """Send a message, with its length in front."""
    client.send(frames.encode(message))


def receive(client: Client) -> bytes:
    """Return the next message."""
    size = frames.HEADER.size
    header = b""
    if not client.silent(client.patience):
        with suppress(OSError):  # a reset: it comes again below
            header = client.socket.recv(size, socket.MSG_PEEK)
    if len(header) < size:
        header = client.receive(size)
        return client.receive(*frames.HEADER.unpack(header))
    (length,) = frames.HEADER.unpack(header)
    return client.receive(size + length)[size:]


def challenged(client: Client) -> bytes:
    """Return the server's challenge; Failed("not_asked") or ("no_challenge") if none comes."""
    try:
        message = receive(client)
    except Failed as failure:
        if failure.kind == "no_answer":
            raise Failed("not_asked", waited=client.patience) from None
        raise
    if not message.startswith(handshake.CHALLENGE):
        raise Failed("no_challenge", got=message)
    return message.removeprefix(handshake.CHALLENGE)


def answer(client: Client, challenge: bytes, key: bytes) -> bool:
    """Answer a challenge by this key; return whether the server says WELCOME."""
    send(client, handshake.respond(key, challenge))
    return receive(client) == handshake.WELCOME


def enter(client: Client, key: bytes) -> None:
    """Go through the handshake.

    Failed("key_refused"), and "no_digest" or "not_proved" if the server does not prove that it
    knows the key too.
    """
    challenge = challenged(client)
    if not answer(client, challenge, key):
        raise Failed("key_refused")
    name = b"{sha256}" if handshake.named_digest(challenge)[0] else b""
    ours = name + os.urandom(32 if name else 20)
    send(client, handshake.CHALLENGE + ours)
    try:
        digest = receive(client)
    except Failed:
        raise Failed("no_digest", waited=client.patience) from None
    if not handshake.proves(key, ours, digest):
        raise Failed("not_proved")
    send(client, handshake.WELCOME)


def exchange(client: Client, value: object) -> Any:
    """Send an object, and return the one that comes back; Failed("not_plain") for a program."""
    send(client, safe_pickle.dumps(value))
    return plain(receive(client))


def plain(message: bytes) -> Any:
    """Return the plain data that a message is a pickle of; Failed("not_plain") otherwise."""
    try:
        return safe_pickle.loads(message)
    except safe_pickle.UnpicklingError as error:
        raise Failed("not_plain", got=message, said=str(error)) from None
