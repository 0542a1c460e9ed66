"""SIGTERM: without clients, with idle ones, in the middle of an answer; and who comes after it."""

import os
import signal
import socket
import time
from contextlib import suppress

from lab.workshop.check import Client, Failed, Figures, Mine, check

ENDS = 3  # times the patience: that a server may take to end when nothing keeps it
LAST_ANSWER = 2  # times the patience: that a client takes its time, in the middle of an answer
LINE = 8 * 1024 * 1024  # bytes: more than the kernel buffers for a client that does not read


@check("5.1", needs="process")
def nobody_there(mine: Mine) -> Figures:
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
def idle_clients(mine: Mine) -> Figures:
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
def an_answer_in_flight(mine: Mine) -> Figures:
    """Tell it to stop in the middle of an answer, and take the rest of that at leisure."""
    with mine.connect() as client:
        wanted = in_flight(client)
        mine.terminate()
        client.note("SIGTERM")
        mine.ended(LAST_ANSWER * mine.patience)
        got = rest(client, len(wanted))
        if len(got) < len(wanted):
            client.note(f"{len(got):,} bytes more came, and no others")
            client.ends(mine.patience)
            raise Failed(count=1 + len(got), wanted=1 + len(wanted))
        if got != wanted:
            raise Failed("wrong", asked=wanted[:8].lower(), wanted=wanted[:8], got=got[:8])
        client.note(f"{len(got):,} bytes more came: the answer is complete")
        if mine.ended(ENDS * mine.patience) is None:
            raise Failed("stays", count=1 + len(got), waited=ENDS * mine.patience)
        client.ends(mine.patience)
        client.note(f"the process has ended, with status {mine.process.returncode}")
        return {"count": 1 + len(got)}


@check("5.4", needs="process")
def a_new_client(mine: Mine) -> Figures:
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
    with suppress(OSError):  # then its answer does not begin
        client.socket.sendall(line)
    client.note(f"a line of {len(line):,} bytes went out, and its answer begins")
    client.receive(1)
    return line[1:].upper()


def rest(client: Client, count: int) -> bytes:
    """Receive so many bytes, or fewer if it ends; megabytes are no part of the picture."""
    got = bytearray()
    client.socket.settimeout(client.patience)
    with suppress(OSError):  # it was reset, or nothing came
        while chunk := client.socket.recv(count - len(got)):
            got += chunk
    return bytes(got)


def connects(mine: Mine) -> bool:
    """Whether somebody listens: the kernel connects a client, whether or not it is accepted."""
    try:
        socket.create_connection(mine.address, mine.patience).close()
    except ConnectionRefusedError:
        return False
    except OSError:
        return True
    return True
