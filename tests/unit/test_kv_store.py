"""The store on its own: what it keeps, and how surely."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from services.kv.faults import Fault, Kind
from services.kv.store import Store

ABSENT = "none"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return where the database is to be."""
    return tmp_path / "kv.sqlite3"


@pytest.fixture
def store(file: Path) -> Iterator[Store]:
    """Open an empty store."""
    with closing(Store(file)) as store:
        yield store


def test_a_commit_is_synced_to_disk(store: Store) -> None:
    """The log is written ahead (WAL), and synced at each commit (FULL is 2)."""
    pragma = {
        name: store._database.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous")
    }
    assert pragma == {"journal_mode": "wal", "synchronous": 2}


def test_a_value_is_kept_until_it_is_deleted(store: Store) -> None:
    """Set, get, exists and delete are about one name."""
    store.set("foo", "bar")
    store.set("foo", "baz")
    assert store.get("foo") == "baz"
    assert store.exists("foo")
    store.delete("foo")
    assert not store.exists("foo")


def test_names_come_in_the_order_in_which_they_were_first_set(store: Store) -> None:
    """To change a value does not move its name."""
    for name in ("b", "", "a", "b"):
        store.set(name, "x")
    assert store.names() == ["b", "", "a"]


@pytest.mark.parametrize("method", ["get", "delete"])
def test_a_missing_name_is_a_fault(store: Store, method: str) -> None:
    """It has the code of a missing key, and names the name."""
    with pytest.raises(Fault) as caught:
        getattr(store, method)("foo")
    assert (caught.value.faultCode, caught.value.faultString) == (1, "no such key: 'foo'")


def test_what_one_store_writes_another_reads(file: Path, store: Store) -> None:
    """There is nothing in memory that the file does not have."""
    with closing(Store(file)) as other:
        store.set("foo", "bar")
        assert other.get("foo") == "bar"


@pytest.mark.parametrize(
    ("before", "expected", "done", "after"),
    [
        pytest.param("1", "1", True, "new", id="the expected value"),
        pytest.param("1", "2", False, "1", id="another value"),
        pytest.param(None, "1", False, None, id="a value of a missing name"),
        pytest.param(None, ABSENT, True, "new", id="nothing, and nothing is there"),
        pytest.param("1", ABSENT, False, "1", id="nothing, and a value is there"),
        pytest.param(ABSENT, ABSENT, True, "new", id="nothing, and a stored None is there"),
    ],
)
def test_compare_and_set_writes_only_over_what_is_expected(
    store: Store, before: str | None, expected: str, done: bool, after: str | None
) -> None:
    """It says whether it wrote, and otherwise leaves things as they were."""
    if before is not None:
        store.set("foo", before)
    assert store.compare_and_set("foo", expected, "new", ABSENT) is done
    assert (store.get("foo") if store.exists("foo") else None) == after


def test_only_one_of_many_takes_a_lock(file: Path) -> None:
    """Threads with a store each, thus a connection each, meet in the file."""

    def take(me: int) -> bool:
        with closing(Store(file)) as store:
            return store.compare_and_set("lock", ABSENT, str(me), ABSENT)

    Store(file).close()
    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(take, range(40))) == 1


def test_threads_may_share_a_store(store: Store) -> None:
    """SQLite's connection is used by one at a time."""

    def use(number: int) -> str:
        store.set(str(number), f"value {number}")
        return store.get(str(number))

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(use, range(100))) == [f"value {n}" for n in range(100)]


def test_a_write_that_fails_is_a_fault_and_writes_nothing(file: Path, store: Store) -> None:
    """Here the database has no page to spare; a full disk is the same to SQLite."""
    store.set("foo", "bar")
    store._database.execute("PRAGMA max_page_count = 1")
    with pytest.raises(Fault) as caught:
        store.set("foo", "x" * 1_000_000)
    assert caught.value.faultCode == Kind.STORAGE_FAILED
    assert caught.value.faultString == "nothing was written: database or disk is full"
    assert store.get("foo") == "bar"
    with closing(sqlite3.connect(file)) as other:
        assert other.execute("SELECT value FROM entries").fetchall() == [("bar",)]
