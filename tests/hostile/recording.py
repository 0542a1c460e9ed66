"""Clients of a key-value store that record what they see, for lab/linearizability.py."""

import time
import xmlrpc.client
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPException
from itertools import count
from math import inf
from random import Random

from clients import kv
from clients.addresses import Address
from lab.linearizability import MISSING, Operation
from tests.hostile.linearizability import calls
from tests.support.pace import until

CLIENTS = 8


class Recorder:
    """Clients of servers that may be others now and then, and the history of what they saw.

    The servers are one, or replicas. It is used in a `with`: its body says where they are, and the
    clients stop at the end. A client whose call fails goes on with the next server.
    """

    def __init__(self, seed: int) -> None:
        self.addresses: Sequence[Address] = ()
        self.history: list[Operation] = []
        self._random = Random(seed)  # noqa: S311 - to be repeated
        self._new = count()
        self._stopped = False

    @contextmanager
    def clients(self) -> Iterator[None]:
        """Have the clients call for as long as the body of the `with` runs."""
        with ThreadPoolExecutor(CLIENTS) as threads:
            running = [
                threads.submit(self._run, number, self._random.random())
                for number in range(CLIENTS)
            ]
            try:
                yield
            finally:
                self._stopped = True
            for client in running:
                client.result()

    def go_on(self, operations: float, seconds: float = 60) -> None:
        """Wait for so many more operations."""
        wanted = len(self.history) + operations
        until(lambda: len(self.history) >= wanted, "more calls", seconds)

    @property
    def lost(self) -> int:
        """How many calls have no answer."""
        return sum(operation.answered == inf for operation in self.history)

    @property
    def answered(self) -> int:
        """How many calls have an answer."""
        return len(self.history) - self.lost

    def _run(self, number: int, seed: float) -> None:
        seen: dict[str, object] = {}
        source = calls(Random(seed), self._new, seen)  # noqa: S311
        while not self._stopped:
            addresses = self.addresses
            if not addresses:
                time.sleep(0.001)
                continue
            number += 1
            with kv.proxy(addresses[number % len(addresses)]) as store:
                while addresses is self.addresses and not self._stopped:
                    if not self._call(store, Operation(*next(source), time.monotonic()), seen):
                        break

    def _call(
        self, store: xmlrpc.client.ServerProxy, operation: Operation, seen: dict[str, object]
    ) -> bool:
        """Make a call and note what came of it; return whether the server is still good."""
        try:
            answer = getattr(store, operation.method)(operation.name, *operation.arguments)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode == kv.UNAVAILABLE:  # certainly not carried out
                time.sleep(0.01)
                return False
            if fault.faultCode == kv.UNKNOWN:
                self.history.append(operation)
                return False
            if fault.faultCode != kv.NO_SUCH_KEY:
                raise
            answer = MISSING
        except ConnectionRefusedError:
            time.sleep(0.01)
            return False
        except (OSError, HTTPException):
            self.history.append(operation)  # carried out or not, now or later: nobody knows
            return False
        self.history.append(operation._replace(answered=time.monotonic(), answer=answer))
        if operation.method == "get":
            seen[operation.name] = answer
        return True
