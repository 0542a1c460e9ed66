"""Well-behaved clients beside an attack, and whether each is answered, rightly and soon.

They are a process of their own, so that what the attack costs Python here is not counted as the
server's time: `with good_clients("rest", address) as good: ...`, then `good.outcome`.
"""

import json
import math
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from http.client import HTTPConnection
from random import Random

import clients.kv
from clients.addresses import Address, host_and_port
from clients.checks import WrongAnswer, expect
from clients.connections import connect, exchange
from clients.rpc import RPCProxy
from clients.tcp_echo import returned
from clients.udp_time import TimeClient
from services.connection.handshake import authkey
from tests.helpers import ROOT

PAUSE = 0.05  # seconds between two requests of a client
REQUESTS = 10  # with each connection; the next are made with another
LATE = 5.0  # seconds after which a request counts as failed

Ask = Callable[[str], object]


@dataclass
class Outcome:
    """What the clients saw; times are in seconds."""

    clients: int
    answers: int = 0
    served: int = 0  # clients that got answers, and never failed
    failures: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    p50: float = math.inf
    p99: float = math.inf
    worst: float = math.inf

    @property
    def all_well(self) -> bool:
        """Whether every request of every client was answered, and rightly."""
        return self.served == self.clients and not self.failures and not self.wrong

    def __str__(self) -> str:
        served = f"{self.served} of {self.clients} clients served"
        wrong = f", {len(self.wrong)} wrong answers" if self.wrong else ""
        failed = f", {len(self.failures)} requests failed" if self.failures else ""
        return served + wrong + failed + (f", p99 {1000 * self.p99:.0f} ms" if self.answers else "")


class Good:
    """The running clients; `outcome` is there once they have stopped."""

    outcome: Outcome


@contextmanager
def good_clients(
    service: str, address: Address | str, count: int = 20, late: float = LATE, **environment: str
) -> Iterator[Good]:
    """Run `count` clients of a service as long as the body of the `with` does.

    `environment` is theirs: WIRELAB_AUTHKEY_FILE for those that need a key.
    """
    good = Good()
    where = address if isinstance(address, str) else str(address)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.hostile.good", service, where, str(count), str(late)],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    assert process.stdout
    try:
        assert process.stdout.readline() == "started\n"
        yield good
        output, _ = process.communicate(timeout=late + 10)
        good.outcome = Outcome(**json.loads(output))
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


@contextmanager
def tcp_echo(address: Address, late: float) -> Iterator[Ask]:
    """Have bytes come back."""
    with closing(socket.create_connection(address, late)) as stream:

        def ask(word: str) -> None:
            expect("the echo", returned(stream, word.encode()), word.encode())

        yield ask


@contextmanager
def udp_time(address: Address, late: float) -> Iterator[Ask]:
    """Have the time told, under an ID; what is lost is sent again, as any client must."""
    attempts = 20
    with TimeClient(address, late / 50, attempts, ceiling=late / attempts) as client:

        def ask(_word: str) -> None:
            client.ask()
            expect("replies that are not ours", client.statistics.forged, 0)

        yield ask


def web(target: str, wanted: str) -> Callable[[Address, float], Iterator[Ask]]:
    """Have a word that is sent in a query come back in the answer, as `wanted` says."""

    def conversation(address: Address, late: float) -> Iterator[Ask]:
        with closing(HTTPConnection(address.host, address.port, timeout=late)) as connection:

            def ask(word: str) -> None:
                connection.request("GET", target.format(word))
                response = connection.getresponse()
                body = response.read().decode()
                expect("the status", response.status, 200)
                expect("the word in the answer", wanted.format(word) in body, True)

            yield ask

    return conversation


@contextmanager
def kv(address: Address, late: float) -> Iterator[Ask]:
    """Have what was set come back."""
    with clients.kv.proxy(address, late) as store:
        name = f"good-{os.getpid()}-{threading.get_ident()}"

        def ask(word: str) -> None:
            store.set(name, word)
            expect("the value", store.get(name), word)

        yield ask


@contextmanager
def object_echo(address: Address | str, late: float) -> Iterator[Ask]:
    """Have an object come back."""
    with connect(address, authkey(), late) as stream:

        def ask(word: str) -> None:
            value = {"word": word, "list": [1, (2.5, None)], "bytes": b"\0"}
            expect("the object", exchange(stream, value), value)

        yield ask


@contextmanager
def rpc(address: Address | str, late: float) -> Iterator[Ask]:
    """Have numbers added."""
    with RPCProxy(address, authkey(), late) as proxy:
        random = Random()  # noqa: S311 - numbers to add

        def ask(_word: str) -> None:
            first, second = random.randrange(10**9), random.randrange(10**9)
            expect("the sum", proxy.add(first, second), first + second)

        yield ask


CONVERSATIONS = {
    "tcp-echo": tcp_echo,
    "udp-time": udp_time,
    "rest": contextmanager(web("/hello?name={}", "<h1>Hello {}!</h1>")),
    "kv": kv,
    "object-echo": object_echo,
    "rpc": rpc,
    "httpbin": contextmanager(web("/get?word={}", '"word": "{}"')),
}


class Client(threading.Thread):
    """One client: asks, checks, waits a moment, and now and then connects anew."""

    def __init__(self, number: int, service: str, address: Address | str, late: float) -> None:
        super().__init__(daemon=True)
        self.took: list[float] = []  # seconds, of each request that was answered
        self.answered: list[float] = []  # when each of them was, on the monotonic clock
        self.failures: list[str] = []
        self.wrong: list[str] = []
        self.stopping = threading.Event()
        self._number = number
        self._arguments = address, late
        self._conversation = CONVERSATIONS[service]

    def run(self) -> None:
        """Ask until it is enough."""
        while not self.stopping.is_set():
            began = time.monotonic()
            try:
                with self._conversation(*self._arguments) as ask:  # type: ignore[arg-type]
                    for _ in range(REQUESTS):
                        ask(f"{self._number}-{len(self.took)}")
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


def main(service: str, where: str, count: str, late: str) -> None:
    """Run the clients until the standard input ends, then print what they saw as JSON."""
    address = where if where.startswith("/") else host_and_port(where, "the address")
    made = [Client(number, service, address, float(late)) for number in range(int(count))]
    for client in made:
        client.start()
    print("started", flush=True)
    sys.stdin.read()
    for client in made:
        client.stopping.set()
    for client in made:
        client.join(float(late) + 1)
    took = sorted(seconds for client in made for seconds in client.took)
    outcome = Outcome(
        clients=len(made),
        answers=len(took),
        served=sum(
            bool(client.took) and not client.failures and not client.wrong for client in made
        ),
        failures=[text for client in made for text in client.failures],
        wrong=[text for client in made for text in client.wrong],
    )
    if took:
        outcome.p50, outcome.p99 = took[len(took) // 2], took[int(0.99 * len(took))]
        outcome.worst = took[-1]
    print(json.dumps(asdict(outcome)))


if __name__ == "__main__":
    main(*sys.argv[1:])
