"""One client alone; then another one between its read and its write; then answers that are lost."""

import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from clients.addresses import Address
from clients.kv import increment, proxy
from lab.workshop.check import Failed, Figures, Mine, check
from lab.workshop.gateway import MAX_RECORDED, Call, Fate, gateway

NAME = "visits"
BEGIN = 40
WRITES = ("set", "compare_and_set")
LOST: tuple[Fate, ...] = ("lose the answer", "lose the call")
MAX_CALLS = 40  # of a program for each time that it is told to count
MAX_REPEATED = 20  # of a call that cannot succeed


class Others:
    """Another client, that counts under the same name while the participant's program does."""

    def __init__(self, kv: Address, note: Callable[[str], None]) -> None:
        self._kv, self.note = kv, note
        self.reset()

    def reset(self) -> None:
        """Begin to observe the program anew."""
        self.counted = 0
        self.counts_next = False  # after the program's next call
        self.calls = 0
        self.writes = 0
        self.has_read = False  # since its last write that took effect
        self.refused: Call | None = None  # its last write that took no effect
        self.repeated = 0  # how often it has made that again

    def count(self) -> None:
        """Add 1, as the store's own clients do."""
        with proxy(self._kv) as store:
            try:
                new = increment(store, NAME)
            except ValueError:  # what is there is no number, which value() says
                return
        self.counted += 1
        self.note(f"another client: {new - 1} + 1 = {new}")

    def value(self) -> int:
        """Return the number in the store, 0 if there is none."""
        with proxy(self._kv) as store:
            found = store.get(NAME) if store.exists(NAME) else 0
        if type(found) is not int:
            raise Failed("no_number", value=repr(found))
        return found

    def after(self, call: Call) -> None:
        """Take note of what the program's call has done."""
        if self.counts_next:
            self.counts_next = False
            self.note("done by the store; the connection ends before the answer")
            self.count()
        if call.arguments[:1] != (NAME,):
            return
        if call.method == "get":
            self.has_read = True
        elif call.method == "set" or call.result is True:
            self.writes += 1
            self.has_read, self.refused = False, None
        elif call.result is False:
            self.repeated = self.repeated + 1 if call == self.refused else 0
            self.refused = call


@contextmanager
def counting(
    mine: Mine, step: Callable[[Others, Call], Fate] = lambda *_: "pass", begin: int | None = BEGIN
) -> Iterator[tuple[Others, Callable[[int], tuple[int, list[int]]]]]:
    """Start kv; lend the other client, and what runs the program: its status, and its numbers.

    Before each of the program's calls, `step` says what becomes of it. A program that calls for
    ever is ended.
    """
    recording = mine.record()

    def note(text: str) -> None:
        if len(recording.records) < MAX_RECORDED:
            recording.notes.append((time.time(), text))

    with tempfile.TemporaryDirectory(prefix="wirelab-") as folder:
        settings = {"WIRELAB_KV_FILE": str(Path(folder, "kv.sqlite3"))}
        command = ("gunicorn", "-c", "services/kv/gunicorn.conf.py")
        with mine.ours(*command, **settings) as kv:
            others = Others(kv, note)
            if begin is not None:
                with proxy(kv) as store:
                    store.set(NAME, begin)
            limit = 0
            ended_after = 0  # calls

            def before(call: Call) -> Fate:
                nonlocal ended_after
                others.calls += 1
                if others.calls > limit or others.repeated > MAX_REPEATED:
                    ended_after = ended_after or others.calls
                    mine.process.kill()
                return step(others, call)

            with gateway(kv, recording, before, others.after) as address:

                def run(times: int) -> tuple[int, list[int]]:
                    nonlocal limit
                    others.reset()
                    for each in (recording.records, recording.notes, recording.sent):
                        each.clear()
                    limit = MAX_CALLS * times
                    ran = mine.run(NAME, str(times), WIRELAB_KV_ADDRESS=str(address))
                    numbers = [int(each) for each in re.findall(r"(?m)^\d+$", ran.output)]
                    if ended_after:
                        calls = {"calls": ended_after, "reached": len(numbers), "times": times}
                        if others.refused is None:
                            raise Failed("endless", **calls)
                        _, expected, new = others.refused.arguments
                        found = {"expected": expected, "new": new, "value": others.value()}
                        raise Failed("stuck", **calls, **found)
                    return ran.status, numbers

                yield others, run


@check("11.1", needs="process")
def alone(mine: Mine) -> Figures:
    """Count where nothing was counted yet, and go on from there."""
    with counting(mine, begin=None) as (others, run):
        wanted = [1, 2, 3, 4, 5]
        found = []
        for times in (3, 2):
            status, numbers = run(times)
            found += numbers
            if status:
                raise Failed("ended", status=status, reached=found)
        if found != wanted or others.value() != len(wanted):
            raise Failed(found=found, wanted=wanted, value=others.value())
        return {"found": found}


@check("11.2", needs="process")
def interleaved(mine: Mine) -> Figures:
    """Once for each increment, another client counts after the program has read the number.

    That is before its next call, or, every second time, before it writes.
    """
    times = 24
    step_in = 0  # at the increment of this number

    def step(others: Others, call: Call) -> Fate:
        nonlocal step_in
        writes = call.method in WRITES
        if others.has_read and others.writes == step_in and (writes or step_in % 2 == 0):
            step_in += 1
            others.count()
        return "pass"

    with counting(mine, step) as (others, run):
        mine.measured(times=times)
        status, numbers = run(times)
        asked, counted = times + others.counted, others.value() - BEGIN
        if status:
            raise Failed("ended", status=status, reached=numbers)
        if counted != asked:
            raise Failed(asked=asked, others=others.counted, counted=counted)
        return {"asked": asked, "others": others.counted, "counted": counted}


@check("11.3", needs="process")
def contended(mine: Mine) -> Figures:
    """Another client comes first, again and again."""
    times, first = 2, 12
    mine.measured(times=times, first=first)

    def step(others: Others, call: Call) -> Fate:
        if call.method in WRITES and others.counted < first * (others.writes + 1):
            others.count()
        return "pass"

    with counting(mine, step) as (others, run):
        status, numbers = run(times)
        asked, counted = times + others.counted, others.value() - BEGIN
        if status or counted != asked:
            figures = {"status": status, "reached": len(numbers), "others": others.counted}
            raise Failed("" if status else "lost", asked=asked, counted=counted, **figures)
        return {"calls": others.calls, "counted": counted}


@check("11.4", needs="process")
def answers_lost(mine: Mine) -> Figures:
    """End the connection before the answer to a write: once after it was done, once before.

    The program cannot tell one from the other, also not by looking: another client has counted too.
    """
    times, lost_at = 10, 2
    mine.measured(times=times, lost_at=lost_at)
    fate: Fate = "pass"
    lost = False

    def step(others: Others, call: Call) -> Fate:
        nonlocal lost
        if lost or call.method not in WRITES or others.writes < lost_at - 1:
            return "pass"
        lost = True
        if fate == "lose the call":
            others.note("the next call is lost on its way to the store")
            others.count()
        others.counts_next = fate == "lose the answer"
        return fate

    with counting(mine, step) as (others, run):
        for each in LOST:
            fate, lost = each, False
            before = others.value()
            status, numbers = run(times)
            counted = others.value() - before - others.counted
            figures = {"status": status, "reached": len(numbers), "counted": counted}
            judge(times, **figures)
        return figures


def judge(times: int, status: int, reached: int, counted: int) -> None:
    """Hold a program to what it has said: by its status, and by the numbers that it printed."""
    said = range(times, times + 1) if status == 0 else range(reached, reached + 2)
    if counted in said:
        return
    kind = "" if counted > said[-1] else "lost"
    raise Failed(kind, status=status, reached=reached, counted=counted)
