"""Calls that arrive at the same time: one commit for all that write, then their responses."""

import sqlite3
import xmlrpc.client
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault

import pytest

from services.kv.app import KeyValueServer
from services.kv.faults import Kind
from services.kv.store import Store
from tests.unit.test_kv_store import files_no_larger_than

FULL = "nothing was written: database or disk is full"
LOCKED = "nothing was written: database is locked"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Open an empty store."""
    with closing(Store(tmp_path / "kv.sqlite3")) as store:
        yield store


@pytest.fixture
def statements(store: Store) -> list[str]:
    """Return the list of the statements that the store's writing connection will execute."""
    found: list[str] = []
    store._writer.set_trace_callback(found.append)
    return found


def outcome(response: bytes) -> Any:
    """Return what a client gets from a response: a value, or the code and text of a fault."""
    try:
        (value,), _ = xmlrpc.client.loads(response)
    except Fault as fault:
        return fault.faultCode, fault.faultString
    return value


def together(store: Store, *calls: tuple[Any, ...]) -> dict[int, Any]:
    """Make calls at the same time, each a method and its arguments; return outcomes by number."""
    bodies = [xmlrpc.client.dumps(call[1:], call[0], allow_none=True).encode() for call in calls]
    answers = KeyValueServer(store)(enumerate(bodies))
    return {number: outcome(response) for number, response in answers}


def test_the_writes_of_many_clients_share_one_commit(store: Store, statements: list[str]) -> None:
    """Sixteen are answered for one wait for the disk."""
    found = together(store, *(("set", str(number), number) for number in range(16)))
    assert found == dict.fromkeys(range(16))
    assert statements.count("COMMIT") == 1
    assert len(store.names()) == 16


def test_calls_that_only_read_commit_nothing(store: Store, statements: list[str]) -> None:
    """They do not wait for the disk, nor for other writers."""
    assert together(store, ("keys",), ("exists", "x")) == {0: [], 1: False}
    assert statements == []


def test_no_write_is_answered_before_its_commit_has_returned(tmp_path: Path, store: Store) -> None:
    """When the first response of a group is returned, another process can read all its writes."""
    bodies = [xmlrpc.client.dumps((name, 1), "set").encode() for name in "abc"]
    with closing(sqlite3.connect(tmp_path / "kv.sqlite3")) as other:
        seen = [
            other.execute("SELECT count(*) FROM entries").fetchone()[0]
            for _ in KeyValueServer(store)(enumerate(bodies))
        ]
    assert seen == [3, 3, 3]


def test_reads_are_answered_before_the_writes_that_arrive_with_them(store: Store) -> None:
    """In the order of their arrival, with what was committed before."""
    store.set("foo", "<params><param><value><int>1</int></value></param></params>")
    found = together(store, ("set", "foo", 2), ("get", "foo"), ("set", "bar", 3), ("keys",))
    assert list(found.items()) == [(1, 1), (3, ["foo"]), (0, None), (2, None)]


def test_each_write_sees_those_before_it(store: Store) -> None:
    """Of three that take a lock one gets it, and the next one when it is released."""
    take = ("compare_and_set", "lock", "", "me")
    found = together(
        store,
        ("set", "lock", ""),
        take,
        take,
        ("delete", "lock"),
        ("delete", "lock"),
        ("compare_and_set", "lock", "me", "x"),
        ("set", "lock", "me"),
    )
    assert found == {
        0: None,
        1: True,
        2: False,
        3: None,
        4: (1, "no such key: 'lock'"),
        5: False,
        6: None,
    }


def test_a_call_that_is_refused_harms_no_other(store: Store, statements: list[str]) -> None:
    """Whether there is no such method, not all arguments, or no such key."""
    found = together(store, ("unheard",), ("set", "a"), ("delete", "a"), ("set", "a", 1))
    assert [found[number][0] for number in range(3)] == [-32601, -32602, 1]
    assert found[3] is None
    assert statements.count("COMMIT") == 1
    assert store.names() == ["a"]


def test_a_name_has_a_maximal_length(store: Store) -> None:
    """`keys` returns all names together; and a fault does not repeat a long text."""
    found = together(store, ("set", "n" * 16_384, 1), ("set", "n" * 16_385, 2), ("s" * 20_000,))
    assert found[0] is None
    assert found[1] == (-32602, "bad argument: set: the name is longer than 16384 characters")
    assert found[2][0] == Kind.NO_SUCH_METHOD
    assert len(found[2][1]) < 300
    assert len(store.names()) == 1


def test_a_write_too_large_for_the_disk_fails_alone(store: Store) -> None:
    """SQLite rolls back the whole transaction; the others are then written without it."""
    store._writer.execute("PRAGMA max_page_count = 1")
    found = together(store, ("set", "a", 1), ("set", "b", "x" * 500_000), ("set", "c", 3))
    assert found == {0: None, 1: (2, FULL), 2: None}
    assert store.names() == ["a", "c"]


def test_on_a_full_disk_every_write_gets_a_fault_and_reads_go_on(
    tmp_path: Path, store: Store
) -> None:
    """The log cannot grow. As soon as it can, the same calls succeed."""
    calls = (("set", "a", 1), ("get", "foo"), ("compare_and_set", "b", None, 2), ("delete", "foo"))
    together(store, ("set", "foo", "bar"))
    with files_no_larger_than((tmp_path / "kv.sqlite3-wal").stat().st_size):
        found = together(store, *calls)
    assert {number: each if number == 1 else each[0] for number, each in found.items()} == {
        0: Kind.STORAGE_FAILED,
        1: "bar",
        2: Kind.STORAGE_FAILED,
        3: Kind.STORAGE_FAILED,
    }
    assert store.names() == ["foo"]
    assert together(store, *calls) == {0: None, 1: "bar", 2: True, 3: None}
    assert store.names() == ["a", "b"]


@pytest.mark.usefixtures("store")
def test_a_group_waits_for_a_locked_file_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The group waits, and not each of its writes; reads do not wait."""
    monkeypatch.setattr("services.kv.store.BUSY_SECONDS", 0.1)
    locking = sqlite3.connect(tmp_path / "kv.sqlite3", isolation_level=None)
    with closing(locking), closing(Store(tmp_path / "kv.sqlite3")) as impatient:
        begun: list[str] = []
        impatient._writer.set_trace_callback(begun.append)
        locking.execute("BEGIN IMMEDIATE")
        found = together(impatient, ("set", "a", 1), ("set", "b", 2), ("keys",))
        assert found == {2: [], 0: (2, LOCKED), 1: (2, LOCKED)}
        assert begun == ["BEGIN IMMEDIATE"]


def test_an_internal_error_tells_the_client_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has the traceback, the client a fixed code and text, others their responses."""

    def broken(_self: Store, _name: str) -> str:
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(Store, "get", broken)
    monkeypatch.setattr(Store, "delete", broken)
    found = together(store, ("get", "a"), ("set", "a", 1), ("delete", "a"), ("set", "b", 2))
    internal = (-32603, "internal error")
    assert found == {0: internal, 1: None, 2: internal, 3: None}
    assert caplog.text.count("RuntimeError: /secret/path") == 2
    assert store.names() == ["a", "b"]
