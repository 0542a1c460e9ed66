"""SIGTERM: without clients, with idle ones, in the middle of an answer; and who comes after it."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from lab.workshop.check import Failed, Mine, check
from lab.workshop.client import Client, Recording

ENDS = 3  # times the patience: that a server may take to end when nothing keeps it
LAST_ANSWER = 2  # times the patience: that a client takes its time, in the middle of an answer
LINE = 8 * 1024 * 1024  # bytes: more than the kernel buffers for a client that does not read


@check("5.1", needs="process")
def nobody_there(mine: Mine) -> dict[str, object]:
    """Have a client come and go, then tell the server to stop."""
    with mine.connect() as client:
        client.ask(b"hello\n", b"HELLO\n")
        client.finish()
        client.ends(mine.patience)
    seconds = stopped(mine)
    if seconds is None:
        raise Failed("runs", waited=ENDS * mine.patience)
    status = mine.process.returncode
    if status < 0:
        raise Failed(status=128 - status, signal=signal.Signals(-status).name)
    if status:
        raise Failed("status", status=status)
    return {"milliseconds": 1000 * seconds}


@check("5.2", needs="process")
def idle_clients(mine: Mine) -> dict[str, object]:
    """Keep two connections open: one that never says anything, and one that has had its answer."""
    with mine.connect(), mine.connect() as second:
        # Connections are accepted in their order: with this answer the first is accepted, too.
        second.ask(b"hello\n", b"HELLO\n")
        second.note("SIGTERM")
        seconds = stopped(mine)
        if seconds is None:
            raise Failed(waited=ENDS * mine.patience)
    return {"milliseconds": 1000 * seconds}


@check("5.3", needs="process")
def an_answer_in_flight(mine: Mine) -> dict[str, object]:
    """Tell it to stop in the middle of an answer, and take the rest of that at leisure."""
    with mine.connect() as client:
        wanted = in_flight(client)
        mine.terminate()
        client.note("SIGTERM")
        mine.ended(LAST_ANSWER * mine.patience)
        try:
            with unrecorded(client):
                got = client.receive(len(wanted))
        except Failed as failure:
            client.note(f"{failure.figures['count']:,} bytes more came, and no others")
            raise Failed(count=1 + failure.figures["count"], wanted=1 + len(wanted)) from None
        if got != wanted:
            raise Failed("wrong", asked=wanted[:8].lower(), wanted=wanted[:8], got=got[:8])
        client.note(f"{len(got):,} bytes more came: the answer is complete")
        if mine.ended(ENDS * mine.patience) is None:
            raise Failed("stays", count=1 + len(got), waited=ENDS * mine.patience)
        client.ends(mine.patience)
        client.note(f"the process has ended, with status {mine.process.returncode}")
        return {"count": 1 + len(got)}


@check("5.4", needs="process")
def a_new_client(mine: Mine) -> dict[str, object]:
    """While such an answer is on its way, have another client come."""
    with mine.connect() as client:
        in_flight(client)
        mine.terminate()
        client.note("SIGTERM")
        began = time.monotonic()
        while connects(mine):
            if time.monotonic() - began > LAST_ANSWER * mine.patience:
                answered = mine.serves(b"next\n", b"NEXT\n")
                raise Failed("answered" if answered else "", waited=time.monotonic() - began)
            time.sleep(0.02)
        return {"milliseconds": 1000 * (time.monotonic() - began)}


def stopped(mine: Mine) -> float | None:
    """Send SIGTERM, and return after how many seconds it ended; None if it runs on."""
    mine.terminate()
    return mine.ended(ENDS * mine.patience)


def in_flight(client: Client) -> bytes:
    """Ask for an answer so long that it cannot be sent unless it is read; read one byte of it.

    Returns the rest that is to come.
    """
    line = os.urandom(LINE // 2).hex().encode()[:-1] + b"\n"
    with unrecorded(client):
        client.send(line)
    client.note(f"a line of {len(line):,} bytes went out, and its answer begins")
    client.receive(1)
    return line[1:].upper()


@contextmanager
def unrecorded(client: Client) -> Iterator[None]:
    """Keep megabytes out of the picture."""
    recording, client.recording = client.recording, Recording(0, "")
    try:
        yield
    finally:
        client.recording = recording


def connects(mine: Mine) -> bool:
    """Whether somebody listens: the kernel connects a client, whether or not it is accepted."""
    try:
        socket.create_connection(mine.address, mine.patience).close()
    except ConnectionRefusedError:
        return False
    except OSError:
        return True
    return True
