"""The load generator for RPC: client processes that call, check and measure, as JSON.

    python -m bench.rpc_load ours 127.0.0.1 17000 --call add --clients 16 --seconds 3

A call is `add`, or an echo of a number of bytes, or `records`: two lists, of a thousand records and
of none, which the server can only put together when it has decoded both. Or it is `connect`: a new
connection with an echo of one byte, which shows what the first call costs after the handshake.

Every client is a process: in one interpreter they would wait for each other. All are connected
and warmed up before the clock starts. In a closed loop each calls again as soon as it is
answered. With --rate the loop is open: calls are due at fixed times, and their latency counts
from then, so that a server that stalls does not also put off the calls that would show it.

Before the clock starts, "measuring" is printed and a line is read, if there is one: whoever looks
at the CPU time of the server has the time to do so.

After its report it keeps the connections for a while, so that the server can be looked at.
"""

import argparse
import ctypes
import importlib
import json
import math
import mmap
import multiprocessing
import os
import pkgutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Semaphore
from pathlib import Path
from typing import Any

from bench.peers import rpc
from clients.cli.options import parsed

WARM_UP_SECONDS = 0.2
GRACE_SECONDS = 5.0  # for the calls under way when the time is up
HOLD_SECONDS = 3.0
RECORDS = 1000
FASTEST = 50_000  # calls per second of one client; none makes as many
PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999, "max": 1.0}

Connect = Callable[[tuple[str, int]], AbstractContextManager[rpc.Functions]]

# The clients' package is imported once, before there are clients; nothing here starts a thread.
fork = multiprocessing.get_context("fork")


class Totals(ctypes.Structure):
    """What one client counts."""

    _fields_ = (
        ("served", ctypes.c_long),
        ("wrong", ctypes.c_long),
        ("errors", ctypes.c_long),
        ("cpu_seconds", ctypes.c_double),
    )


class Notes:
    """What one client sees, in memory that the parent shares: killing the client loses nothing.

    `due` and `answered` are times of time.monotonic(), call by call; 0 where there is none.
    """

    def __init__(self, calls: int) -> None:
        self.totals: Any = fork.RawValue(Totals)
        # A RawArray would be zeroed, and so take its memory, from end to end.
        self.due = memoryview(mmap.mmap(-1, 8 * calls)).cast("d")
        self.answered = memoryview(mmap.mmap(-1, 8 * calls)).cast("d")


class Load:
    """One run: what the parent and all its clients know."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.connect: Connect = importlib.import_module(f"{rpc.__name__}.{options.client}").connect
        self.data = os.urandom(int(options.call)) if options.call.isdecimal() else b"x"
        self.records = rpc.records(RECORDS)
        rate = options.rate / options.clients if options.rate else FASTEST
        self.notes = [Notes(math.ceil(rate * options.seconds)) for _ in range(options.clients)]
        self.ready, self.done, self.go = fork.Semaphore(0), fork.Semaphore(0), fork.Event()
        self.start = fork.RawValue(ctypes.c_double)

    def run(self) -> None:
        """Run the clients until the time is up, and print what they saw."""
        clients = [
            fork.Process(target=self.client, args=(number,), daemon=True)
            for number in range(self.options.clients)
        ]
        try:
            for client in clients:
                client.start()
            if awaited(clients, self.ready, time.monotonic() + self.options.patience):
                print("measuring", flush=True)
                sys.stdin.readline()
                self.start.value = time.monotonic() + 0.1
                self.go.set()
                awaited(clients, self.done, self.end() + GRACE_SECONDS)
            print(json.dumps(self.report(time.monotonic())), flush=True)
            time.sleep(HOLD_SECONDS)
        finally:
            for started in fork.active_children():
                started.kill()

    def end(self) -> float:
        """Return when the time is up."""
        return float(self.start.value + self.options.seconds)

    def client(self, number: int) -> None:
        """Be one client."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which kills us
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        # Should the parent be killed, the kernel ends us, whatever code we are in.
        signal.alarm(
            math.ceil(self.options.patience + self.options.seconds + GRACE_SECONDS + HOLD_SECONDS)
        )
        # By default the kernel adds up to 50 us to a sleep, for timers to expire together.
        Path("/proc/self/timerslack_ns").write_text("1")
        notes = self.notes[number]
        try:
            with self.ready_to_call((self.options.host, self.options.port)) as right:
                self.call(right, notes, number)
        except Exception as error:  # noqa: BLE001 - whatever a package raises
            notes.totals.errors += 1
            sys.exit(f"client {number}: {type(error).__name__}: {error}")

    @contextmanager
    def ready_to_call(self, address: tuple[str, int]) -> Iterator[Callable[[], bool]]:
        """Lend a function that makes a call and returns whether the answer was right."""
        if self.options.call == "connect":

            def connect_and_echo() -> bool:
                with self.connect(address) as (_, echo, _):
                    return echo(self.data) == self.data

            yield connect_and_echo
            return
        with self.connect(address) as (add, echo, join):
            if self.options.call == "add":
                yield lambda: add(2, 3) == 5
            elif self.options.call == "records":
                yield lambda: join(self.records, []) == self.records
            else:
                yield lambda: echo(self.data) == self.data

    def call(self, right: Callable[[], bool], notes: Notes, client: int) -> None:
        """Warm up, call `right` when the clock has started, and wait to be killed."""
        totals, answered = notes.totals, notes.answered
        right()  # however long the first one takes
        totals.served = 1
        warm = time.monotonic() + WARM_UP_SECONDS
        while time.monotonic() < warm:
            right()
        self.ready.release()
        self.go.wait()
        numbers = (
            self.open_loop(notes.due, client) if self.options.rate else self.closed_loop(notes.due)
        )
        cpu = time.process_time()
        for number in numbers:
            if not right():
                totals.wrong += 1
            answered[number] = time.monotonic()
        totals.cpu_seconds = time.process_time() - cpu
        self.done.release()
        signal.pause()

    def closed_loop(self, due: "memoryview[float]") -> Iterator[int]:
        """Yield the number of each call; one is due as soon as the one before is answered."""
        end = self.end()
        time.sleep(max(0.0, self.start.value - time.monotonic()))
        for number in range(len(due)):
            if (now := time.monotonic()) > end:
                return
            due[number] = now
            yield number

    def open_loop(self, due: "memoryview[float]", client: int) -> Iterator[int]:
        """Yield the number of each call when it is due, or later where the one before took long.

        Those that are due and cannot be made before the time is up are not answered.
        """
        rate, end = self.options.rate, self.end()
        places = range(client, math.ceil(rate * self.options.seconds), self.options.clients)
        for number, place in enumerate(places):
            due[number] = self.start.value + place / rate
        for number in range(len(places)):
            if (now := time.monotonic()) > end:
                return
            if due[number] > now:
                time.sleep(due[number] - now)
            yield number

    def report(self, now: float) -> dict[str, object]:
        """Return what all clients saw. A call without an answer has taken its time until `now`."""
        latencies = sorted(
            (answered or now) - due
            for notes in self.notes
            for due, answered in zip(notes.due, notes.answered, strict=True)
            if due
        )
        answers = [answered for notes in self.notes for answered in notes.answered if answered]
        requests = sum(answered <= self.end() for answered in answers)
        return {
            "mode": "open" if self.options.rate else "closed",
            "seconds": self.options.seconds,
            "requests": requests,
            "answered": len(answers),
            "connections": self.options.clients,
            "never_served": self.options.clients - self.total("served"),
            "wrong": self.total("wrong"),
            "errors": self.total("errors"),
            "cpu_seconds": round(self.total("cpu_seconds"), 6),
            "rate": round(requests / self.options.seconds, 1),
            "latency_us": {
                name: round(1e6 * latencies[int(part * (len(latencies) - 1))], 1)
                if latencies
                else 0.0
                for name, part in PERCENTILES.items()
            },
        }

    def total(self, name: str) -> Any:
        """Return one of the totals, of all clients."""
        return sum(getattr(notes.totals, name) for notes in self.notes)


def awaited(clients: Sequence[BaseProcess], semaphore: Semaphore, deadline: float) -> int:
    """Wait until every client that has not ended releases the semaphore; return how many did."""
    count = 0
    while count < sum(client.is_alive() for client in clients) and time.monotonic() < deadline:
        count += semaphore.acquire(timeout=0.05)
    return count


def known_call(text: str) -> str:
    """Return `text`, if it is a call that there is."""
    if text not in ("add", "connect", "records") and not text.isdecimal():
        raise ValueError
    return text


def main() -> None:
    """Run the load that the command line asks for."""
    peers = sorted(module.name for module in pkgutil.iter_modules(rpc.__path__))
    parser = argparse.ArgumentParser(prog="python -m bench.rpc_load")
    parser.add_argument("client", choices=peers, help="one of: " + ", ".join(peers))
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument(
        "--call",
        type=parsed("add, connect, records or a number of bytes", known_call),
        default="add",
    )
    parser.add_argument("--clients", type=int, default=1, metavar="N")
    parser.add_argument("--seconds", type=float, default=1.0, metavar="S")
    parser.add_argument(
        "--rate", type=float, default=0, metavar="R", help="calls due per second, of all clients"
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=15,
        metavar="S",
        help="how long to wait for the first answers",
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        Load(options).run()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()
