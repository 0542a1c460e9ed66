"""The relay's journal: a ring of records, and its readers."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from services.relay.api import BATCH, Api
from services.relay.journal import Journal


def fields(data: bytes, offset: int = 0) -> tuple[Any, ...]:
    """Return what a proxy adds for some bytes."""
    return ("p", "tcp", 1, "data", "upstream", offset, data, 1.0, 2.0, "c:1", "s:2", ())


def test_records_are_numbered_from_1_on() -> None:
    """And read from any number on, as many at a time as one wants."""
    journal = Journal()
    for number in range(1, 6):
        journal.add(fields(b"%d" % number))
    lost, records = journal.since(2, 2)
    assert (lost, [(each.number, each.data) for each in records]) == (0, [(2, b"2"), (3, b"3")])
    assert journal.since(6, 10) == (0, [])
    assert records[0].left == 2.0


@pytest.mark.parametrize("journal", [Journal(max_records=10), Journal(max_bytes=1000)])
def test_it_keeps_the_last_records_alone(journal: Journal) -> None:
    """By their count and their bytes; who reads from before them is told how many are gone."""
    for number in range(1, 101):
        journal.add(fields(bytes(100), number))
    lost, records = journal.since(1, 1000)
    assert lost == 90
    assert [each.number for each in records] == list(range(91, 101))
    assert [each.offset for each in records] == list(range(91, 101))


def test_a_record_that_is_too_large_alone_leaves_nothing_behind() -> None:
    """Then there is none; the numbers go on."""
    journal = Journal(max_bytes=10)
    journal.add(fields(bytes(11)))
    assert journal.since(1, 1) == (1, [])
    journal.add(fields(b"x"))
    assert journal.since(2, 1)[1][0].number == 2


def test_a_reader_is_told_while_it_waits() -> None:
    """And not after that."""
    journal, told = Journal(), []
    with journal.telling(lambda: told.append(1)):
        journal.add(fields(b""))
    journal.add(fields(b""))
    assert told == [1]


def test_who_does_not_follow_comes_to_an_end_whatever_passes_meanwhile() -> None:
    """With what was there when it began: here two records come while one is read."""
    journal = Journal()
    for _ in range(3 * BATCH):
        journal.add(fields(b"x"))
    api = Api(cast("Any", SimpleNamespace(shared=SimpleNamespace(journal=journal))))

    async def read() -> int:
        batches = 0
        async for _ in api._events(1, follow=False):
            batches += 1
            assert batches < 10
            for _ in range(2 * BATCH):
                journal.add(fields(b"y"))
        return batches

    assert asyncio.run(read()) == 3
