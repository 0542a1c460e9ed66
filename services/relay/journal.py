"""The journal: the last records of the wire, in a ring that is bounded by their count and bytes.

A reader has no queue, only the number of the record that it wants next. So however slow it is, it
costs nothing, and delays nobody: what has left the ring meanwhile, it is told the number of.
"""

from collections import deque
from collections.abc import Callable
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
        self._waiting: list[Callable[[], object]] = []

    def add(self, fields: tuple[Any, ...]) -> None:
        """Add a record: all of its fields but the number, in their order."""
        self._fields.append(fields)
        self.next += 1
        self.size += len(fields[DATA])
        while self.size > self.max_bytes or len(self._fields) > self.max_records:
            self.size -= len(self._fields.popleft()[DATA])
            self.first += 1
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for wake in waiting:
                wake()

    def since(self, number: int, most: int) -> tuple[int, list[Record]]:
        """Return `most` records at most, from `number` on, and how many of those are gone."""
        start = max(number, self.first)
        chosen = islice(self._fields, start - self.first, start - self.first + most)
        return start - number, [Record(start + n, *fields) for n, fields in enumerate(chosen)]

    def when_added(self, wake: Callable[[], object]) -> None:
        """Call `wake` once when the next record is added."""
        self._waiting.append(wake)
