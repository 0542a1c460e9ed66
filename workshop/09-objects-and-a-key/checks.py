"""Clients with the key and without, and clients that stop in the middle of the handshake."""

import os
import secrets
from contextlib import ExitStack, suppress

from lab.workshop.check import Failed, Mine, check
from lab.workshop.client import Client
from lab.workshop.objects import answer, challenged, enter, exchange, receive, send
from services.connection import handshake

PRINTED = b"peekaboo"  # the key that the recipe is printed with


@check("9.1")
def the_key(mine: Mine) -> dict[str, object]:
    """Have an object echoed, with the key in the file."""
    values = [{"text": os.urandom(8).hex(), "list": [1, (2.5, None)]}, os.urandom(200)]
    with mine.connect() as client:
        try:
            enter(client, mine.key)
        except Failed:
            if knows(mine, PRINTED):
                raise Failed("printed", size=len(mine.key)) from None
            raise
        for value in values:
            got = exchange(client, value)
            if got != value:
                sent = f"{value!r:.60}"
                raise Failed("wrong", asked=sent, wanted=sent, got=f"{got!r:.60}")
    return {"size": len(mine.key), "count": len(values)}


@check("9.2")
def the_leaving(mine: Mine) -> None:
    """Leave in the middle of the handshake, in three ways."""
    for how, leave in (("FIN", close), ("RST", reset), (handshake.FAILURE.decode(), mistake)):
        with mine.connect() as client:
            leave(client)
        if served(mine) and served(mine):  # the second, if the first has come too early
            continue
        if mine.status is None:
            raise Failed(how=how, waited=mine.patience)
        raise Failed("ended", how=how, status=mine.status)


@check("9.3")
def the_idle(mine: Mine) -> dict[str, object]:
    """Stay connected, and have others come."""
    count = 3 + secrets.randbelow(4)
    number = 0
    with ExitStack() as opened:
        clients = []
        try:
            for number in range(1, count + 1):  # noqa: B007
                clients.append(opened.enter_context(mine.connect()))
                enter(clients[-1], mine.key)
            for number in range(count, 0, -1):
                exchange(clients[number - 1], number)
        except Failed:
            if number > 1:
                raise Failed(number=number, before=number - 1, waited=mine.patience) from None
            raise
    return {"count": count}


@check("9.4")
def the_silent(mine: Mine) -> dict[str, object]:
    """Fall silent in the middle of the handshake, alone and in a crowd."""
    count = 20 + secrets.randbelow(21)
    with ExitStack() as opened:
        for number in range(1, count + 1):
            try:
                client = opened.enter_context(mine.connect())
                challenge = challenged(client)
                if number % 2 == 0:
                    answer(client, challenge, mine.key)
            except Failed:
                if number > 1:
                    raise Failed("several", number=number - 1, waited=mine.patience) from None
                raise
            if number == 1:
                client.note("this client says nothing more")
            if number in (1, count) and not served(mine):
                client.note("the next client still waits")
                kind = "several" if number > 1 else ""
                raise Failed(kind, number=number, waited=mine.patience)
    return {"count": count}


@check("9.5")
def the_strangers(mine: Mine) -> None:
    """Come with a digest made of nothing, and with the key that is printed everywhere."""
    with mine.connect() as client:
        named = handshake.named_digest(challenged(client))[0]
        digest = b"{sha256}" + os.urandom(32) if named else os.urandom(16)
        send(client, digest)
        said = b""
        with suppress(Failed):  # to close without a word is a refusal too
            said = receive(client)
    if said == handshake.WELCOME:
        raise Failed(digest=digest.removeprefix(b"{sha256}").hex())
    if knows(mine, PRINTED):
        raise Failed("printed")


def knows(mine: Mine, key: bytes) -> bool:
    """Whether the server accepts this key."""
    if mine.status is not None:  # a wrong key has ended it
        mine.restart()
    with suppress(Failed), mine.connect() as client:
        return answer(client, challenged(client), key)
    return False


def served(mine: Mine) -> bool:
    """Whether one more client with the key has its object back."""
    value = os.urandom(8)
    with suppress(Failed), mine.connect() as client:
        enter(client, mine.key)
        return bool(exchange(client, value) == value)
    return False


def close(client: Client) -> None:
    """Close, instead of answering the challenge."""
    challenged(client)


def reset(client: Client) -> None:
    """Reset the connection instead."""
    challenged(client)
    client.reset()


def mistake(client: Client) -> None:
    """Answer the challenge by a key that nobody else knows."""
    challenge = challenged(client)
    with suppress(Failed):  # to close without a word is a refusal too
        answer(client, challenge, os.urandom(32))
