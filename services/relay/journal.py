"""The journal: the last records of the wire, in a ring that is bounded by their count and bytes.

A reader has no queue, only the number of the record that it wants next. So however slow it is, it
costs nothing, and delays nobody: what has left the ring meanwhile, it is told the number of.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

from services.wire.record import Record

MAX_RECORDS = 20_000
MAX_BYTES = 16 * 1024 * 1024  # of the data in them
DATA = 6  # where in a record's fields, without the number, its data is


class Journal:
    """The ring. `first` is the number of the oldest record, and `next` that of the next one."""

    def __init__(self, max_records: int = MAX_RECORDS, max_bytes: int = MAX_BYTES) -> None:
        self.max_records, self.max_bytes = max_records, max_bytes
        self.first = self.next = 1
        self.size = 0
        # Fields rather than records: most are never read, and a Record takes a microsecond more.
        self._fields: deque[tuple[Any, ...]] = deque()
        self._told: set[Callable[[], object]] = set()

    def add(self, fields: tuple[Any, ...]) -> None:
        """Add a record: all of its fields but the number, in their order."""
        self._fields.append(fields)
        self.next += 1
        self.size += len(fields[DATA])
        while self.size > self.max_bytes or len(self._fields) > self.max_records:
            self.size -= len(self._fields.popleft()[DATA])
            self.first += 1
        for tell in self._told:
            tell()

    def since(self, number: int, most: int) -> tuple[int, list[Record]]:
        """Return `most` records at most, from `number` on, and how many of those are gone."""
        start = max(number, self.first)
        chosen = islice(self._fields, start - self.first, start - self.first + most)
        return start - number, [Record(start + n, *fields) for n, fields in enumerate(chosen)]

    @contextmanager
    def telling(self, tell: Callable[[], object]) -> Iterator[None]:
        """Call `tell` with each record that is added, while the body of the `with` runs."""
        self._told.add(tell)
        try:
            yield
        finally:
            self._told.discard(tell)
