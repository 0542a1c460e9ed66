"""Questions over networks that repeat, delay, lose, and let anybody send."""

import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from threading import Thread

from clients.addresses import Address
from lab.workshop.check import Failed, Figures, Mine, check
from lab.workshop.network import Network, network, toxic
from services.udp_time.reply import reply_to

QUESTIONS = 4
LINE = re.compile(r"^question (\d+): ?(.*)$", re.MULTILINE)
ANSWER = re.compile(r"(\d+)(?:\D\S*)? \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}")
SEED = 47  # with it the first question is lost, and never more than two in a row
LATE = 400  # milliseconds that an answer takes: longer than the client waits for it
TOO_MANY = 20  # datagrams for one question: the lesson says 5
OLD = b"Thu Jan  1 00:00:00 1970"
UNANSWERED = "no answer"


@contextmanager
def served(mine: Mine, *toxics: Mapping[str, object], seed: int = 1) -> Iterator[Network]:
    """Run the lab's server, and a network before it."""
    with (
        mine.ours("python", "-m", "services.udp_time.raw_loop") as server,
        network(mine, server, "udp-time", *toxics, seed=seed) as lent,
    ):
        yield lent


def asked(
    mine: Mine, address: Address, questions: int = QUESTIONS, patience: float = 10
) -> dict[int, str]:
    """Run the client; return what it says that the answers are."""
    ran = mine.run(
        seconds=patience * mine.patience,
        WIRELAB_UDP_TIME_ADDRESS=str(address),
        WIRELAB_QUESTIONS=str(questions),
    )
    if ran.status:
        raise Failed("client_ended", status=ran.status)
    answers = {int(number): answer.strip() for number, answer in LINE.findall(ran.output)}
    for number in range(questions):
        if number not in answers:
            raise Failed("no_line", wanted=f"question {number}: ")
    return answers


def paired(answers: dict[int, str]) -> None:
    """Hold each answer to the number of its question."""
    took = {}
    for number, answer in answers.items():
        if answer == UNANSWERED:
            count = list(answers.values()).count(UNANSWERED)
            raise Failed("unanswered", number=number, count=count, all=len(answers))
        if not (named := ANSWER.fullmatch(answer)):
            raise Failed("unnamed", number=number, answer=answer)
        took[number] = int(named[1])
    if wrong := [number for number in took if took[number] != number]:
        last = wrong[-1]
        raise Failed(number=last, other=took[last], count=len(wrong), all=len(took))


@check("7.1")
def nothing_is_lost(mine: Mine) -> Figures:
    """Ask where nothing goes wrong: a datagram for each question is enough."""
    with served(mine) as lent:
        answers = asked(mine, lent.address, 2 * QUESTIONS)
        sent = len(lent.data())
    mine.measured(all=len(answers), sent=sent)
    paired(answers)
    if sent >= 2 * len(answers):
        raise Failed("too_many")
    return {}


@check("7.2")
def late_and_repeated(mine: Mine) -> Figures:
    """Have each answer come late, and four times."""
    toxics = (
        toxic("duplicate", name="twice", duplicate_rate=1),
        toxic("duplicate", name="and_twice", duplicate_rate=1),
        toxic("latency", latency=LATE),
    )
    mine.measured(late=LATE)
    with served(mine, *toxics) as lent:
        answers = asked(mine, lent.address)
        came = sum(each.left is not None for each in lent.data("downstream"))
    mine.measured(came=came)
    paired(answers)
    return {"all": len(answers)}


@check("7.3")
def nothing_comes(mine: Mine) -> Figures:
    """Lose everything."""
    with served(mine, toxic("blackhole", "upstream")) as lent:
        began = time.monotonic()
        try:
            answers = asked(mine, lent.address, 1, patience=5)
        except Failed as failure:
            if failure.kind != "not_ended":
                raise
            answers = {}
        seconds, sent = time.monotonic() - began, len(lent.data())
    mine.measured(seconds=seconds, sent=sent)
    if not answers and sent == 1:
        raise Failed
    if not answers or sent > TOO_MANY:
        raise Failed("for_ever")
    if ANSWER.fullmatch(answers[0]):
        raise Failed("invented", answer=answers[0])
    return {}


@check("7.4")
def some_are_lost(mine: Mine) -> Figures:
    """Lose some questions, the same ones each time."""
    with served(mine, toxic("packet_loss", "upstream", loss_rate=0.5), seed=SEED) as lent:
        try:
            answers = asked(mine, lent.address)
        finally:
            sent = lent.data()
            mine.measured(sent=len(sent), lost=sum(each.left is None for each in sent))
    paired(answers)
    return {"all": len(answers)}


Send = Callable[[bytes], None]


@contextmanager
def odd(mine: Mine, answer: Callable[[bytes, Send, Send], None]) -> Iterator[Address]:
    """Run a server of the check's own, and a stranger beside it; `answer` sends as either."""
    recording = mine.record("udp")
    recording.by = "server"
    with udp() as server, udp() as stranger:
        address = Address(*server.getsockname())

        def send(sender: socket.socket, client: tuple[str, int], datagram: bytes) -> None:
            if sender is stranger:
                recording.notes.append((time.time(), "the next one is from a stranger"))
            recording.add("data", "downstream", str(Address(*client)), str(address), datagram)
            sender.sendto(datagram, client)

        def serve() -> None:
            while True:
                question, client = server.recvfrom(2048)
                if client == stranger.getsockname():  # it is time to end
                    return
                recording.add("data", "upstream", str(Address(*client)), str(address), question)
                answer(question, partial(send, server, client), partial(send, stranger, client))

        thread = Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield address
        finally:
            stranger.sendto(b"", address)
            thread.join()


def udp() -> socket.socket:
    """Return a socket for datagrams, on a port that is free."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind(("127.0.0.1", 0))
    return made


@check("7.5")
def a_stranger(mine: Mine) -> Figures:
    """Have another socket answer first, in the server's words."""

    def answer(question: bytes, server: Send, stranger: Send) -> None:
        stranger(question + b" " + OLD)
        server(reply_to(question))

    with odd(mine, answer) as address:
        answers = asked(mine, address)
    mine.measured(all=len(answers))
    if fooled := [each for each in answers.values() if each.endswith(OLD.decode())]:
        raise Failed(count=len(fooled), answer=fooled[0])
    paired(answers)
    return {}


@check("7.6")
def an_empty_one(mine: Mine) -> Figures:
    """Send an empty datagram before each answer."""

    def answer(question: bytes, server: Send, _stranger: Send) -> None:
        server(b"")
        server(reply_to(question))

    with odd(mine, answer) as address:
        answers = asked(mine, address)
    mine.measured(all=len(answers))
    if empty := [number for number, each in answers.items() if not each]:
        raise Failed(number=empty[0], count=len(empty))
    paired(answers)
    return {}
