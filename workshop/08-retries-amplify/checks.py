"""Calls over networks that are slow, that drip, that lose an answer, that lose a connection."""

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise

from lab.workshop.check import Failed, Figures, Mine, check
from lab.workshop.network import Network, network, toxic

CALLS = 8
RETRIES = 2  # that the lesson allows, for all calls together
PAUSE = 0.1  # seconds before a retry, at least
REQUEST = re.compile(rb"^(?:GET|POST) ", re.MULTILINE)
LINE = re.compile(r"^call (\d+): (.*)$", re.MULTILINE)
NEVER = 600_000  # milliseconds
COMMAND = ("gunicorn", "--config", "services/rest/gunicorn.conf.py")


@contextmanager
def served(mine: Mine, *toxics: Mapping[str, object]) -> Iterator[Network]:
    """Run the lab's server, and a network before it."""
    with (
        mine.ours(*COMMAND) as server,
        network(mine, server, "rest", *toxics) as lent,
    ):
        yield lent


def called(
    mine: Mine, lent: Network, deadline: float, *, calls: int = 1, method: str = "GET"
) -> dict[int, str]:
    """Run the client; return what it says has come of its calls."""
    ran = mine.run(
        seconds=6 * deadline,
        WIRELAB_REST_ADDRESS=str(lent.address),
        WIRELAB_CALLS=str(calls),
        WIRELAB_METHOD=method,
        WIRELAB_DEADLINE=str(deadline),
    )
    if ran.status:
        raise Failed("client_ended", status=ran.status)
    answers = {int(number): answer.strip() for number, answer in LINE.findall(ran.output)}
    for number in range(calls):
        if number not in answers:
            raise Failed("no_line", wanted=f"call {number}: ")
    return answers


def requests(lent: Network) -> int:
    """Return how many requests the client has sent."""
    return sum(len(REQUEST.findall(each.data)) for each in lent.data())


def answered(answers: dict[int, str]) -> None:
    """Hold each call to an answer."""
    without = [number for number, answer in answers.items() if answer != "200"]
    if without:
        number = without[0]
        raise Failed("unanswered", number=number, answer=answers[number], count=len(without))


@check("8.1")
def nothing_fails(mine: Mine) -> Figures:
    """Call where nothing goes wrong: one request for each call."""
    with served(mine) as lent:
        answers = called(mine, lent, 5 * mine.patience, calls=CALLS)
        sent = requests(lent)
    mine.measured(all=CALLS, sent=sent)
    answered(answers)
    if sent > CALLS:
        raise Failed
    return {}


@check("8.2")
def slow_and_not_down(mine: Mine) -> Figures:
    """Let all requests through, and hold all answers back."""
    mine.measured(all=CALLS, deadline=mine.patience)
    with served(mine, toxic("latency", latency=NEVER)) as lent:
        try:
            called(mine, lent, mine.patience, calls=CALLS)
        except Failed as failure:
            if failure.kind != "not_ended":  # which is what the next check is about
                raise
        finally:
            lent.step = mine.patience / 4
            sent = requests(lent)
            mine.measured(sent=sent, times=sent / CALLS)
    if sent > CALLS + RETRIES:
        raise Failed
    return {"retries": max(0, sent - CALLS)}


@check("8.3")
def a_byte_now_and_then(mine: Mine) -> Figures:
    """Have the answer come in small pieces, each of them in time."""
    deadline = mine.patience
    mine.measured(deadline=deadline)
    delay = int(0.2 * deadline * 1_000_000)
    with served(mine, toxic("slicer", average_size=4, size_variation=0, delay=delay)) as lent:
        ended = True
        try:
            called(mine, lent, deadline)
        except Failed as failure:
            if failure.kind != "not_ended":
                raise
            ended = False
        if not (records := lent.records()):
            raise Failed("no_request")
        seconds = time.time() - records[0].arrived
    mine.measured(seconds=seconds)
    if not ended:
        raise Failed("still")
    if seconds > 2 * deadline:
        raise Failed
    return {}


@check("8.4")
def the_answer_is_lost(mine: Mine) -> Figures:
    """Let a POST through, and reset the connection when its answer comes."""
    with served(mine, toxic("reset_peer", timeout=0)) as lent:
        answers = called(mine, lent, 3 * mine.patience, method="POST")
        sent = requests(lent)
    mine.measured(sent=sent, answer=answers[0])
    if sent > 1:
        raise Failed
    if answers[0] != "unknown":
        raise Failed("said")
    return {}


@check("8.5")
def the_connection_is_lost(mine: Mine) -> Figures:
    """Reset the first two connections, so that a GET needs three."""
    with served(mine, toxic("fail_first", "upstream", connections=RETRIES)) as lent:
        answers = called(mine, lent, 5 * mine.patience)
        began: dict[int, float] = {}
        for each in lent.records():
            began.setdefault(each.connection, each.arrived)
    pauses = [later - earlier for earlier, later in pairwise(began.values())]
    mine.measured(connections=len(began), milliseconds=1000 * min(pauses, default=0))
    answered(answers)
    if pauses and min(pauses) < PAUSE:
        raise Failed
    return {}
