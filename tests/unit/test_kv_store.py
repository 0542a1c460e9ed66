"""The store by itself: what it stores, and when that is on disk."""

import resource
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from services.kv.faults import Fault, Kind
from services.kv.store import Store

ABSENT = "none"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return the path of the database."""
    return tmp_path / "kv.sqlite3"


@pytest.fixture
def store(file: Path) -> Iterator[Store]:
    """Open an empty store."""
    with closing(Store(file)) as store:
        yield store


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """Have the kernel refuse to write to a file beyond `size` bytes: setrlimit(2)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def log_of(file: Path) -> Path:
    """Return SQLite's log beside a database."""
    return file.with_name(f"{file.name}-wal")


def test_a_commit_is_synced_to_disk(store: Store) -> None:
    """The log is written ahead (WAL), and synced at each commit (FULL is 2)."""
    pragma = {
        name: store._writer.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous")
    }
    assert pragma == {"journal_mode": "wal", "synchronous": 2}


def test_what_is_found_in_the_log_is_on_disk_before_it_is_read(file: Path, store: Store) -> None:
    """A process that was killed may leave a log that was not synced; see a copy without it."""
    store.set("foo", "bar")
    copy = file.with_name("copy")
    with closing(Store(file)):
        copy.write_bytes(file.read_bytes())
    with closing(Store(copy)) as found:
        assert found.get("foo") == "bar"


def test_a_value_is_kept_until_it_is_deleted(store: Store) -> None:
    """Set, get, exists and delete act on one name."""
    store.set("foo", "bar")
    store.set("foo", "baz")
    assert store.get("foo") == "baz"
    assert store.exists("foo")
    store.delete("foo")
    assert not store.exists("foo")


def test_names_come_in_the_order_in_which_they_were_first_set(store: Store) -> None:
    """A new value does not move its name."""
    for name in ("b", "", "a", "b"):
        store.set(name, "x")
    assert store.names() == ["b", "", "a"]


@pytest.mark.parametrize("method", ["get", "delete"])
def test_a_missing_name_is_a_fault(store: Store, method: str) -> None:
    """It has the code of a missing key, and contains the name."""
    with pytest.raises(Fault) as caught:
        getattr(store, method)("foo")
    assert (caught.value.faultCode, caught.value.faultString) == (1, "no such key: 'foo'")


def test_what_one_store_writes_another_reads(file: Path, store: Store) -> None:
    """There is nothing in memory that is not in the file."""
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
    """It returns whether it wrote, and otherwise changes nothing."""
    if before is not None:
        store.set("foo", before)
    assert store.compare_and_set("foo", expected, "new", ABSENT) is done
    assert (store.get("foo") if store.exists("foo") else None) == after


def test_only_one_of_many_takes_a_lock(file: Path) -> None:
    """Each thread has a store, thus a connection, on the same file."""

    def take(me: int) -> bool:
        with closing(Store(file)) as store:
            return store.compare_and_set("lock", ABSENT, str(me), ABSENT)

    Store(file).close()
    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(take, range(40))) == 1


def test_the_writes_of_a_group_share_one_transaction(store: Store) -> None:
    """Sixteen writes, one COMMIT; separately they would be sixteen, each with an fdatasync."""
    statements: list[str] = []
    store._writer.set_trace_callback(statements.append)
    with store.group():
        for number in range(16):
            store.set(str(number), "x")
    assert (statements[0], statements[-1]) == ("BEGIN IMMEDIATE", "COMMIT")
    assert [statement[:6] for statement in statements[1:-1]] == ["INSERT"] * 16


def test_each_write_of_a_group_sees_those_before_it(store: Store) -> None:
    """Of two that take a lock one gets it, and what is deleted cannot be deleted again."""
    store.set("foo", "bar")
    with store.group():
        assert store.compare_and_set("lock", ABSENT, "me", ABSENT)
        assert not store.compare_and_set("lock", ABSENT, "you", ABSENT)
        store.delete("foo")
        with pytest.raises(Fault, match="no such key"):
            store.delete("foo")
        assert store.compare_and_set("foo", ABSENT, "baz", ABSENT)
    assert (store.get("lock"), store.get("foo")) == ("me", "baz")


def test_nobody_else_reads_what_a_group_has_written_before_it_is_committed(
    file: Path, store: Store
) -> None:
    """Only those that read in the group, which is undone with them if it fails to commit."""
    with closing(Store(file)) as other:
        with store.group():
            store.set("foo", "bar")
            assert store.get("foo") == "bar"
            assert store.exists("foo")
            assert store.names() == ["foo"]
            assert list(store.names_meanwhile()) == other.names() == []
        assert store.get("foo") == other.get("foo") == "bar"


def test_names_that_are_listed_meanwhile_are_those_of_one_moment(store: Store) -> None:
    """Whatever is written in between, and whatever is read in between is as new as ever."""
    for name in ("a", "b", "c"):
        store.set(name, "1")
    with closing(store.names_meanwhile()) as names:
        assert next(names) == "a"
        store.delete("b")
        store.set("d", "1")
        assert store.names() == ["a", "c", "d"]
        assert list(names) == ["b", "c"]
    assert list(store.names_meanwhile()) == ["a", "c", "d"]


def test_so_many_names_are_not_listed_at_once(store: Store) -> None:
    """They are more than was asked for, with what stands around each in XML; others are read on."""
    for name in ("a", "b"):
        store.set(name, "1")
    with pytest.raises(Fault, match="too large"):
        store.names(most=69)
    store.set("c", "1")
    assert store.names() == ["a", "b", "c"]


def test_a_group_that_an_error_ends_is_undone(store: Store) -> None:
    """Whatever the error is; the next group is not affected."""

    def write() -> None:
        with store.group():
            store.set("foo", "bar")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write()
    with store.group():
        store.set("spam", "eggs")
    assert store.names() == ["spam"]


def fails(write: Callable[[], object]) -> str:
    """Return why a write failed; its fault has to be that of the storage."""
    with pytest.raises(Fault) as caught:
        write()
    assert caught.value.faultCode == Kind.STORAGE_FAILED
    return caught.value.faultString


FULL = "nothing was written: database or disk is full"


def test_a_write_that_fails_is_a_fault_and_writes_nothing(file: Path, store: Store) -> None:
    """Here the database may have no more pages; to SQLite a full disk is the same."""
    store.set("foo", "bar")
    store._writer.execute("PRAGMA max_page_count = 1")
    assert fails(lambda: store.set("foo", "x" * 1_000_000)) == FULL
    assert store.get("foo") == "bar"
    with closing(sqlite3.connect(file)) as other:
        assert other.execute("SELECT value FROM entries").fetchall() == [("bar",)]


def test_a_write_that_fails_fails_its_group(file: Path, store: Store) -> None:
    """SQLite rolls back those before it; those after it must not be committed separately."""
    store.set("foo", "bar")
    store._writer.execute("PRAGMA max_page_count = 1")

    def write() -> None:
        with store.group():
            store.set("before", "x")
            assert fails(lambda: store.set("foo", "x" * 1_000_000)) == FULL
            assert fails(lambda: store.set("after", "x")) == FULL

    assert fails(write) == FULL
    store.set("alone", "x")
    with closing(sqlite3.connect(file)) as other:
        rows = other.execute("SELECT * FROM entries").fetchall()
    assert rows == [("foo", "bar"), ("alone", "x")]


def test_a_group_that_cannot_be_committed_writes_nothing(file: Path, store: Store) -> None:
    """The log cannot grow; once it can, reads and writes work as before."""
    store.set("foo", "bar")

    def write() -> None:
        with store.group():
            store.set("foo", "baz")
            store.set("spam", "eggs")

    with files_no_larger_than(log_of(file).stat().st_size):
        assert "nothing was written: " in fails(write)
        assert (store.names(), store.get("foo")) == (["foo"], "bar")
    with closing(Store(file)) as other:
        assert other.names() == ["foo"]
        write()
        assert other.names() == store.names() == ["foo", "spam"]


def test_a_write_waits_for_another_process_but_not_for_ever(
    file: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write waits for the process that has locked the file; a read does not wait."""
    store.set("foo", "bar")
    monkeypatch.setattr("services.kv.store.BUSY_SECONDS", 0.1)

    def write() -> None:
        with impatient.group():
            impatient.set("foo", "baz")

    locking = sqlite3.connect(file, isolation_level=None)
    with closing(locking), closing(Store(file)) as impatient:
        locking.execute("BEGIN IMMEDIATE")
        assert fails(write) == "nothing was written: database is locked"
        assert impatient.get("foo") == "bar"
        locking.execute("ROLLBACK")
        write()
    assert store.get("foo") == "baz"
