"""How long the second of two answers takes, and a single one; and whether all bytes come back."""

import os
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from statistics import median

from lab.workshop.check import Client, Failed, Figures, Mine, check
from lab.workshop.client import Recording

COUNT = 21  # of measurements: the median is not moved by a few that a busy machine delays
DELAYED = 0.02  # seconds: half of Linux's shortest delayed ACK (TCP_DELACK_MIN, 40 ms)
PICTURED = 3  # pairs
LAB = "services.tcp_echo.stream_handler"  # writes at once
LONG = 8 * 1024 * 1024  # bytes: more than the kernel buffers for a client that does not read
SHORT = 200  # lines after that


@check("6.1")
def two_lines(mine: Mine) -> Figures:
    """Send two lines in one segment, and measure when each answer comes."""
    with mine.connect() as client:
        pairs = [pair(client) for _ in range(COUNT)]
    first, gap = (median(each) for each in zip(*pairs, strict=True))
    with mine.connect() as client:
        for _ in range(PICTURED):
            _, last = pair(client)
            client.note(f"{1000 * last:.1f} ms from the first answer to the second")
    mine.measured(count=COUNT, first=1000 * first, gap=1000 * gap)
    # Where even a first answer takes long, the network, or a busy machine, delays the second too.
    if gap > first + DELAYED:
        raise Failed
    return {}


@check("6.2")
def one_line(mine: Mine) -> Figures:
    """Send one line and wait; by turns, so that what delays one server delays the other."""
    with (
        mine.ours("python", "-m", LAB, ECHO_TRANSFORM="upper") as address,
        mine.connect() as client,
        Client(address, mine.patience, Recording(0, "")) as other,
    ):
        both = [(single(client), single(other)) for _ in range(COUNT)]
    own, ours = (median(each) for each in zip(*both, strict=True))
    mine.measured(count=COUNT, own=1000 * own, ours=1000 * ours)
    if own > ours + DELAYED:
        raise Failed
    with mine.connect() as client:
        line, begun = words(), words()
        client.send(line + begun[:5])
        client.note("a line, and the first 5 bytes of the next one")
        if client.silent(mine.patience):
            raise Failed("held", waited=mine.patience)
        client.receive(len(line))
    return {}


@check("6.3")
def all_of_it(mine: Mine) -> Figures:
    """Send a long line and many short ones; receive when the answer has filled all buffers."""
    short = [words(2 + secrets.randbelow(8000)) for _ in range(SHORT)]
    lines = b"".join([words(LONG), *short])
    wanted = lines.upper()
    with mine.connect() as client, ThreadPoolExecutor(1) as pool:
        mine.recordings.clear()  # megabytes are no picture
        client.patience *= 5
        client.socket.settimeout(client.patience)
        sending = pool.submit(client.send, lines)
        client.silent(mine.patience)
        time.sleep(0.2 * mine.patience)
        got = client.receive(len(wanted))
        sending.result()
    mine.measured(count=len(wanted))
    if got != wanted:
        at = next(at for at in range(len(got)) if got[at] != wanted[at])
        raise Failed(at=at, wanted=wanted[at : at + 12], got=got[at : at + 12])
    return {}


def pair(client: Client) -> tuple[float, float]:
    """Send two lines at once; return after how many seconds the first answer, then the second."""
    first, second = words(), words()
    until_first = client.ask(first + second, first.upper())
    began = time.monotonic()
    if (got := client.receive(len(second))) != second.upper():
        raise Failed("wrong", asked=second, wanted=second.upper(), got=got)
    return until_first, time.monotonic() - began


def single(client: Client) -> float:
    """Send a line; return after how many seconds its answer had come."""
    line = words()
    return client.ask(line, line.upper())


def words(size: int = 0) -> bytes:
    """Return a line that nobody has sent before, by default a short one."""
    return os.urandom((size or 8 + secrets.randbelow(8)) // 2).hex().encode() + b"\n"
