"""A node that is cut off, a leader that is killed, two nodes of three that say nothing.

Then a connection that ends before the answer; and three clients at once.
"""

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count
from math import inf
from random import Random
from threading import Event, Thread

from clients.addresses import Address
from lab.linearizability import Operation, first_impossible
from lab.workshop.check import Failed, Figures, Mine, check
from lab.workshop.client import Recording
from lab.workshop.cluster import EVERY, NODES, leaders, put, status, until
from lab.workshop.gateway import ETCD, Call, Fate, gateway
from services.wire.record import Stream

PROMISED = 5.0  # seconds to an answer, and to the next write after the loss of a leader
MAX_SILENCE = 6.5  # seconds; a node gives up after 7, however slow the machine is
PAUSE = 0.02  # seconds between two writes
BEFORE = 0.6  # seconds of writes before and after the leader is gone
CALLS = 120  # of each client, for a history
SEED = 12
HONEST = ("unavailable", "unknown")

Ask = Callable[[str], str]


def new_name() -> str:
    """Return a name that no check has used: what is late there, does not get in the way here."""
    return f"x-{secrets.token_hex(2)}"


@contextmanager
def client(mine: Mine, where: Sequence[Address]) -> Iterator[Ask]:
    """Run the program, with nodes in this order; lend a function that asks it."""
    seconds = min(PROMISED * mine.patience, MAX_SILENCE)
    with mine.asked(WIRELAB_ETCD=",".join(map(str, where))) as dialogue:
        yield partial(dialogue.ask, seconds=seconds)


def settled(mine: Mine, ask: Ask, line: str) -> str:
    """Ask until there is another answer than that there is none, as long as that may take."""
    end = time.monotonic() + PROMISED * mine.patience
    while (said := ask(line)) in HONEST and time.monotonic() < end:
        time.sleep(PAUSE)
    return said


def in_order(where: Mapping[str, Address], first: str) -> list[Address]:
    """Return the addresses of all nodes, that of one first."""
    return [where[node] for node in sorted(NODES, key=lambda node: node != first)]


def leader(where: Mapping[str, Address]) -> str:
    """Return the node that leads, or ""."""
    return next((node for node, known in leaders(where).items() if known == node), "")


def is_led(address: Address) -> bool:
    """Whether a node knows a leader."""
    return status(address).get("leader", "0") != "0"


@check("12.1", needs="process")
def a_copy(mine: Mine) -> Figures:
    """Cut a node off from the others; write there, and ask here."""
    name = new_name()
    where = mine.nodes.restore()
    leading = leader(where)
    node = next(each for each in NODES if each != leading)
    mine.measured(node=node, name=name, old="3", new="4")
    put(where[leading], name, "3")
    with client(mine, in_order(where, node)) as ask:
        said = settled(mine, ask, f"get {name}")
        if said != "3":
            raise Failed("first", said=said)
        mine.nodes.cut_off(node)
        put(where[leading], name, "4")
        said = ask(f"get {name}")
    if said == "3":
        raise Failed
    if said not in ("4", *HONEST):
        raise Failed("other", said=said)
    return {"said": said}


class Line:
    """What happens to a register while the program writes: for figures, and for the picture."""

    def __init__(self, recording: Recording, name: str, ask: Ask) -> None:
        self.recording, self.name = recording, name
        recording.by = "timeline"
        self.done: list[str] = []  # values
        self.unknown: list[str] = []
        self._ask = ask
        self._numbers = count(1)

    def write(self) -> str:
        """Have the next number written; return what the program says."""
        value = str(next(self._numbers))
        line = f"set {self.name} {value}"
        self._record("upstream", line)
        said = self._ask(line)
        self._record("downstream", said)
        if said in ("ok", "unknown"):
            (self.done if said == "ok" else self.unknown).append(value)
        elif said != "unavailable":
            raise Failed("other_than", asked=line, said=said)
        time.sleep(PAUSE)
        return said

    def write_for(self, seconds: float) -> None:
        """Have numbers written for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.write()

    @contextmanager
    def watching(self, where: Mapping[str, Address]) -> Iterator[None]:
        """Note who leads, whenever that changes."""
        ended = Event()

        notes = self.recording.notes

        def watch() -> None:
            while not ended.wait(EVERY):
                if (now := leader(where)) != notes[-1][1]:
                    notes.append((time.time(), now))

        notes.append((time.time(), leader(where)))
        thread = Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _record(self, stream: Stream, said: str) -> None:
        self.recording.add("data", stream, "check", "program", said.encode())


@check("12.2", needs="process")
def the_leader_is_gone(mine: Mine) -> Figures:
    """Kill the leader, which the program asks first, while it writes."""
    name = new_name()
    where = mine.nodes.restore()
    leading = leader(where)
    promised = PROMISED * mine.patience
    mine.measured(leader=leading, name=name, promised=promised)
    with client(mine, in_order(where, leading)) as ask:
        line = Line(mine.record(), name, ask)
        with line.watching(where):
            began = time.monotonic()
            while line.write() != "ok":
                if time.monotonic() - began > promised:
                    raise Failed("never", seconds=time.monotonic() - began)
            line.write_for(BEFORE)
            with ThreadPoolExecutor(1) as engine:  # which takes its time
                killing = engine.submit(mine.nodes.kill, leading)
                while not killing.done():
                    line.write()
            killing.result()
            gone = time.monotonic()
            tried = 1
            while line.write() != "ok":
                tried += 1
                if time.monotonic() - gone > promised:
                    raise Failed(seconds=time.monotonic() - gone, tried=tried)
            seconds = time.monotonic() - gone
            line.write_for(BEFORE)
        if (said := settled(mine, ask, f"get {name}")) in HONEST:
            raise Failed("unread", said=said)
    if said not in (line.done[-1], *line.unknown):
        raise Failed("lost", said=said, value=line.done[-1])
    return {"seconds": seconds, "now": leader(where), "count": len(line.done)}


@check("12.3", needs="process")
def two_of_three(mine: Mine) -> Figures:
    """Pause the leader and another node, and have the third one asked first."""
    name = new_name()
    where = mine.nodes.restore()
    leading = leader(where)
    left, other = (node for node in NODES if node != leading)
    mine.measured(left=left, name=name)
    with client(mine, in_order(where, left)) as ask:
        said = settled(mine, ask, f"set {name} 1")
        if said != "ok":
            raise Failed("first", said=said)
        mine.nodes.pause(leading, other)
        until(lambda: not is_led(where[left]), f"{left} to miss the leader")
        began = time.monotonic()
        said = ask(f"set {name} 2")
        mine.measured(said=said, seconds=time.monotonic() - began)
    if said == "ok":
        raise Failed
    if said not in HONEST:
        raise Failed("other")
    return {}


@check("12.4", needs="process")
def no_answer(mine: Mine) -> Figures:
    """End the connection before the answer to a write: twice after it was done, once before.

    What is sent again is answered.
    """
    name = new_name()
    where = mine.nodes.restore()
    put(where[leader(where)], name, "3")
    fate: Fate = "pass"
    writes = 0

    def before(call: Call) -> Fate:
        nonlocal writes
        if call.method == "range":
            return "pass"
        writes += 1
        return fate if writes == 1 else "pass"

    recording = mine.record()
    recording.by = "server"
    with (
        gateway(where[leader(where)], recording, before, dialect=ETCD) as only,
        client(mine, [only]) as ask,
    ):
        for line, fate in (  # noqa: B007 - `before` reads it
            (f"set {name} 4", "lose the answer"),
            (f"cas {name} 4 5", "lose the answer"),
            (f"set {name} 6", "lose the call"),
        ):
            writes = 0
            said = ask(line)
            mine.measured(asked=line, said=said, writes=writes)
            if writes > 1:
                raise Failed
            if said in ("ok", "True"):
                raise Failed("claimed")
            if said != "unknown":
                raise Failed("denied")
    return {"count": 3}


class Clients:
    """Three of them, each with another node first, on one register; and the history of it all."""

    def __init__(self, mine: Mine, name: str, where: Mapping[str, Address]) -> None:
        self.history: list[Operation] = []
        self.whose: dict[float, int] = {}  # by the time of a call
        self._mine, self._name, self._where = mine, name, where
        self._new, self._numbers = count(1), count(1)

    def run(self, calls: int) -> None:
        """Have each of them make so many calls."""
        with ExitStack() as running, ThreadPoolExecutor(len(NODES)) as threads:
            asks = [
                running.enter_context(client(self._mine, in_order(self._where, node)))
                for node in NODES
            ]
            for each in [threads.submit(self._call, ask, calls) for ask in asks]:
                each.result()

    def _call(self, ask: Ask, calls: int) -> None:
        number = next(self._numbers)
        random = Random(SEED + number)  # noqa: S311 - to be repeated
        seen = "0"
        for _ in range(calls):
            method = random.choices(["get", "set", "compare_and_set"], [40, 20, 40])[0]
            new = () if method == "get" else (str(next(self._new)),)
            words = (seen, *new) if method == "compare_and_set" else new
            operation = Operation(self._name, method, words, time.monotonic())
            self.whose[operation.called] = number
            line = asked(operation)
            said = ask(line)
            if method == "get" and said.isdecimal():
                seen = said
            if said != "unavailable":
                self.history.append(answered(operation, line, said))

    def before(self, wrong: Operation) -> Operation:
        """Return the last write that was answered before a call was made."""
        return max(
            (each for each in self.history if is_write(each) and each.answered <= wrong.called),
            key=lambda each: each.answered,
        )


def asked(operation: Operation) -> str:
    """Return the line that the program is given for an operation."""
    command = {"compare_and_set": "cas"}.get(operation.method, operation.method)
    return " ".join((command, operation.name, *operation.arguments))


def answered(operation: Operation, line: str, said: str) -> Operation:
    """Return an operation with its answer, which is lost where nobody knows."""
    now = time.monotonic()
    match operation.method, said:
        case _, "unknown":
            return operation
        case "set", "ok":
            return operation._replace(answered=now)
        case "get", _ if said.isdecimal():
            return operation._replace(answered=now, answer=said)
        case "compare_and_set", "True" | "False":
            return operation._replace(answered=now, answer=said == "True")
    raise Failed("other_than", asked=line, said=said)


def is_write(operation: Operation) -> bool:
    """Whether an operation has certainly written."""
    return operation.answered < inf and (operation.method == "set" or operation.answer is True)


def answer(operation: Operation) -> str:
    """Return what the program said of an operation."""
    return "ok" if operation.method == "set" else str(operation.answer)


@check("12.5", needs="process")
def a_history(mine: Mine) -> Figures:
    """Have three of the program call at once, and look for an order that explains all answers."""
    name = new_name()
    where = mine.nodes.restore()
    clients = Clients(mine, name, where)
    began = time.monotonic()
    put(where[leader(where)], name, "0")
    clients.history.append(Operation(name, "set", ("0",), began, time.monotonic()))
    clients.run(CALLS)
    mine.measured(calls=len(clients.history), name=name)
    if wrong := first_impossible(clients.history):
        last = clients.before(wrong)
        raise Failed(
            client=clients.whose[wrong.called],
            asked=asked(wrong),
            said=answer(wrong),
            when=wrong.answered - began,
            last=asked(last),
            last_when=last.answered - began,
        )
    return {}
