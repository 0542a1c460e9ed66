"""Well-behaved clients beside an attack, and whether each is answered, rightly and soon.

They are a process of their own, so that what the attack costs Python here is not counted as the
server's time: `with well_behaved("rest", address) as clients: ...`, then `clients.outcome`. They
talk to the server for a while before the body of the `with` runs: what is soon under attack is
judged by what it is in peace, in the same run and on the same machine.
"""

import json
import math
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

from clients.addresses import host_and_port
from clients.checks import WrongAnswer
from lab import ROOT
from tests.support.clients import Where, connected
from tests.support.pace import FAR, until, within

PAUSE = 0.05  # seconds between two requests of a client
REQUESTS = 10  # with each connection; the next are made with another
LATE = 10.0  # seconds after which a request counts as failed
QUIET = 20  # requests of each client before the attack
# Under attack the slowest of a hundred answers may take so many times what it takes without, and
# so many seconds more. Measured is about 5 times; blocked clients wait until the attack ends.
FACTOR = 20
FLOOR = 0.2
ALL_SERVED = "all served"  # what docs/reliability.md calls that


@dataclass
class Outcome:
    """What the clients saw during the attack; times are in seconds."""

    clients: int
    quiet: float  # the p99 before the attack
    answers: int = 0
    served: int = 0  # clients that got answers, and never failed
    failures: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    p50: float = math.inf
    p99: float = math.inf
    worst: float = math.inf

    @property
    def failed(self) -> list[str]:
        """What was wrong with requests, unless every one of every client was answered rightly."""
        if self.served == self.clients and not self.failures and not self.wrong:
            return []
        return [str(self), *self.wrong[:3], *self.failures[:3]]

    @property
    def harmed(self) -> list[str]:
        """What harm the attack has done: requests that failed, or else answers that came late."""
        if self.failed or within(self.p99, limit := FACTOR * self.quiet + FLOOR):
            return self.failed
        return [f"{self}: more than {1000 * limit:.0f} ms"]

    def __str__(self) -> str:
        parts = [f"{self.served} of {self.clients} clients served"]
        if self.wrong:
            parts.append(f"{len(self.wrong)} wrong answers")
        if self.failures:
            parts.append(f"{len(self.failures)} requests failed")
        if self.answers:
            parts.append(f"p99 {1000 * self.p99:.0f} ms")
        if self.quiet < math.inf:
            parts.append(f"quiet {1000 * self.quiet:.0f} ms")
        return ", ".join(parts)


class Clients:
    """The running clients; `outcome` is there once they have stopped."""

    outcome: Outcome


@contextmanager
def well_behaved(
    service: str, where: Where, count: int = 20, late: float = LATE, quiet: int = QUIET
) -> Iterator[Clients]:
    """Run `count` clients of a service, `quiet` requests of each before the body of the `with`."""
    clients = Clients()
    arguments = [service, str(where), str(count), str(late), str(quiet)]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.hostile.well_behaved", *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    assert process.stdout
    try:
        assert process.stdout.readline() == "started\n"
        yield clients
        output, _ = process.communicate(timeout=late + FAR)
        clients.outcome = Outcome(**json.loads(output))
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


class Client(threading.Thread):
    """One client: asks, checks, waits a moment, and now and then connects again."""

    def __init__(self, number: int, service: str, where: Where, late: float) -> None:
        super().__init__(daemon=True)
        self.took: list[float] = []  # seconds, of each request that was answered
        self.answered: list[float] = []  # when each of them was, on the monotonic clock
        self.failures: list[str] = []
        self.wrong: list[str] = []
        self.stopping = threading.Event()
        self._number = number
        self._arguments = service, where, late

    def run(self) -> None:
        """Ask until told to stop."""
        while not self.stopping.is_set():
            began = time.monotonic()
            try:
                with connected(*self._arguments) as ask:
                    for _ in range(REQUESTS):
                        ask(f"{self._number}-{began}")
                        self.answered.append(time.monotonic())
                        self.took.append(self.answered[-1] - began)
                        if self.stopping.wait(PAUSE):
                            return
                        began = time.monotonic()
            except WrongAnswer as error:
                self.wrong.append(str(error))
            except Exception as error:  # noqa: BLE001 - whatever it is, the client was not served
                self.failures.append(f"{type(error).__name__}: {error}"[:200])
                self.stopping.wait(PAUSE)


def p99(took: list[float]) -> float:
    """Return what 99 of 100 requests took at most, in seconds; infinity if there were none."""
    return sorted(took)[int(0.99 * len(took))] if took else math.inf


def main(service: str, where: str, count: str, late: str, quiet: str) -> None:
    """Run the clients until the standard input ends, then print what they saw as JSON."""
    address = where if where.startswith("/") else host_and_port(where, "the address")
    made = [Client(number, service, address, float(late)) for number in range(int(count))]
    for client in made:
        client.start()
    for client in made:
        until(lambda client=client: len(client.took) >= int(quiet), "answers before the attack")  # type: ignore[misc]
    before = [len(client.took) for client in made]
    print("started", flush=True)
    sys.stdin.read()
    for client in made:
        client.stopping.set()
    for client in made:
        client.join(float(late) + 1)
    during = [client.took[start:] for client, start in zip(made, before, strict=True)]
    took = sorted(seconds for some in during for seconds in some)
    outcome = Outcome(
        clients=len(made),
        quiet=p99([s for client, end in zip(made, before, strict=True) for s in client.took[:end]]),
        answers=len(took),
        served=sum(
            bool(some) and not client.failures and not client.wrong
            for client, some in zip(made, during, strict=True)
        ),
        failures=[text for client in made for text in client.failures],
        wrong=[text for client in made for text in client.wrong],
        p99=p99(took),
    )
    if took:
        outcome.p50, outcome.worst = took[len(took) // 2], took[-1]
    print(json.dumps(asdict(outcome)))


if __name__ == "__main__":
    main(*sys.argv[1:])
