"""The store on a real etcd: its limits, its order, and two servers at a time."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest

from clients import kv
from clients.addresses import Address
from services.kv import etcd as gateway
from services.kv import etcd_store
from services.kv.etcd import Etcd
from services.kv.etcd_store import END, PREFIX, EtcdStore, encoded
from services.kv.faults import Fault, Kind
from services.kv.methods import ABSENT
from services.kv.storage import GroupFailed, Overtaken
from tests.support.drivers import DRIVERS, serving
from tests.unit.test_kv_app import (  # noqa: F401 - they are collected here
    long_list,
    multicall,
    test_a_multicall_may_be_of_no_calls_and_of_many,
    test_a_multicall_reads_no_more_once_its_results_are_large,
    test_a_name_has_a_maximal_length,
    test_each_write_sees_those_before_it,
    test_reads_are_answered_before_the_writes_that_arrive_with_them,
    together,
)

LARGE = "x" * 1_000_000


@pytest.fixture
def store(etcd: Address) -> Iterator[EtcdStore]:
    """Open an empty store."""
    with closing(Etcd([etcd])) as client:
        client.write("deleterange", {"key": encoded(PREFIX), "range_end": encoded(END)})
    with closing(EtcdStore([etcd])) as store:
        yield store


@pytest.fixture
def other(etcd: Address) -> Iterator[EtcdStore]:
    """Open the same store as another server would."""
    with closing(EtcdStore([etcd])) as store:
        yield store


def requests(store: EtcdStore, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list of the methods that the store will have called."""
    found: list[str] = []
    for kind in ("read", "write"):
        ask = getattr(store._etcd, kind)

        def noted(method: str, request: Any, kind: str = kind, ask: Any = ask) -> Any:
            found.append(f"{kind} {method}")
            return ask(method, request)

        monkeypatch.setattr(store._etcd, kind, noted)
    return found


def test_what_arrives_together_is_read_and_written_together(
    store: EtcdStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixteen sets are one transaction, and so are sixteen reads; a comparison takes both."""
    asked = requests(store, monkeypatch)
    together(store, *(("set", str(number), number) for number in range(16)))
    assert asked == ["write txn"]
    found = together(store, *(("get", str(number)) for number in range(16)))
    assert found == {number: number for number in range(16)}
    assert asked == ["write txn", "read txn"]
    found = together(store, *(("compare_and_set", str(number), number, "") for number in range(16)))
    assert found == dict.fromkeys(range(16), True)
    assert asked == ["write txn", "read txn", "read txn", "write txn"]


def test_what_arrives_alone_takes_no_transaction(
    store: EtcdStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which would take etcd longer; but for what depends on what it has read."""
    asked = requests(store, monkeypatch)
    assert together(store, ("set", "a", 1)) == {0: None}
    assert together(store, ("get", "a")) == {0: 1}
    assert asked == ["write put", "read range"]
    asked.clear()
    assert together(store, ("delete", "a")) == {0: None}
    assert together(store, ("set", "a", 1), ("delete", "a")) == {0: None, 1: None}
    assert asked == ["read range", "write txn", "write txn"]
    assert store.names() == []


def test_a_comparison_that_fails_writes_nothing(
    store: EtcdStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has read is of one moment, and that is all that its answer depends on."""
    together(store, ("set", "a", 1))
    asked = requests(store, monkeypatch)
    found = together(store, ("compare_and_set", "a", 2, 3), ("delete", "b"))
    assert found == {0: False, 1: (1, "no such key: 'b'")}
    assert asked == ["read txn"]


@pytest.mark.parametrize("begin", ["missing", "nil"])
def test_missing_and_nil_are_the_same_to_a_comparison(store: EtcdStore, begin: str) -> None:
    """And only one of two takes the lock."""
    if begin == "nil":
        store.set("lock", ABSENT)
    take = ("compare_and_set", "lock", None, "me")
    assert together(store, take, take) == {0: True, 1: False}


def test_a_group_has_one_write_for_each_name(store: EtcdStore) -> None:
    """A transaction of etcd may not write a key twice; the last value counts."""
    with store.group():
        for value in ("1", "2"):
            store.set("a", value)
        store.delete("a")
        store.set("a", "3")
        assert (store.get("a"), store.names()) == ("3", ["a"])
        store.set("b", "4")
        store.delete("b")
    assert (store.get("a"), store.names()) == ("3", ["a"])


def test_a_group_that_was_overtaken_has_written_nothing(store: EtcdStore, other: EtcdStore) -> None:
    """Whether a value was changed, or there was none; what was only written may change."""
    for name in ("old", "new"):
        if name == "old":
            store.set(name, "1")
        with pytest.raises(Overtaken), store.group():  # noqa: PT012 - it is raised at the end
            assert store.exists(name) is (name == "old")
            other.set(name, "2")
            store.set("more", "x")
        assert not store.exists("more")
    with store.group():
        store.set("old", "3")
        other.set("old", "4")
    assert other.get("old") == "3"


def test_a_server_that_is_overtaken_makes_its_calls_again(
    store: EtcdStore, other: EtcdStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A counter misses nothing of what another one has counted between read and write."""
    write = store._etcd.write
    first = iter((True, False))

    def overtaken(method: str, request: Any) -> Any:
        if next(first, False):
            other.set("n", "<params>\n<param>\n<value><int>7</int></value>\n</param>\n</params>\n")
        return write(method, request)

    monkeypatch.setattr(store._etcd, "write", overtaken)
    found = together(store, ("compare_and_set", "n", None, 1), ("set", "m", 2))
    assert found == {0: False, 1: None}
    assert together(store, ("get", "n"), ("get", "m")) == {0: 7, 1: 2}


def test_who_is_always_overtaken_is_told_so_in_time(
    store: EtcdStore, other: EtcdStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a fault, and nothing was written."""
    monkeypatch.setattr(etcd_store, "SECONDS", 0.2)
    write = store._etcd.write

    def overtaken(method: str, request: Any) -> Any:
        other.set("n", "x")
        return write(method, request)

    monkeypatch.setattr(store._etcd, "write", overtaken)
    found = together(store, ("compare_and_set", "m", None, 1), ("delete", "n"))
    assert found[1][0] in (1, Kind.UNAVAILABLE)
    other.set("n", "y")
    found = together(store, ("delete", "n"))
    assert found[0][0] == Kind.UNAVAILABLE
    assert "others have changed the same names, again and again" in found[0][1]


def test_no_update_of_a_counter_is_lost_by_two_servers(store: EtcdStore, etcd: Address) -> None:
    """Eight threads increment it, through both."""
    driver = DRIVERS["kv"][0]
    assert store.names() == []
    with (
        serving(driver, WIRELAB_KV_ETCD=str(etcd)) as one,
        serving(driver, WIRELAB_KV_ETCD=str(etcd)) as two,
        ThreadPoolExecutor(8) as threads,
    ):

        def increment(number: int) -> list[int]:
            with kv.proxy((one, two)[number % 2].address, timeout=20) as store:
                return [kv.increment(store, "counter", attempts=10_000) for _ in range(10)]

        found = [value for values in threads.map(increment, range(8)) for value in values]
    assert sorted(found) == list(range(1, 81))


def test_more_than_a_transaction_takes_is_divided(store: EtcdStore) -> None:
    """300 writes at once, and 8 MB; each call has its own outcome."""
    found = together(store, *(("compare_and_set", f"{n}", None, n) for n in range(300)))
    assert found == dict.fromkeys(range(300), True)
    found = together(store, *(("set", f"large {n}", LARGE) for n in range(8)), ("delete", "none"))
    assert found == {**dict.fromkeys(range(8)), 8: (1, "no such key: 'none'")}
    assert together(store, ("get", "large 7")) == {0: LARGE}
    assert len(store.names()) == 308


def test_a_value_larger_than_etcd_takes_is_refused_alone(store: EtcdStore) -> None:
    """As on a full disk: nothing of it was written, and the others were. In XML, > takes four."""
    found = together(store, ("set", "a", 1), ("set", "b", ">" * 500_000), ("set", "c", 3))
    assert (found[0], found[1][0], found[2]) == (None, Kind.STORAGE_FAILED, None)
    assert found[1][1].startswith("nothing was written: etcd takes 1500000 bytes at a time, not 20")
    assert store.names() == ["a", "c"]


def test_the_largest_that_we_send_is_taken(store: EtcdStore) -> None:
    """What is left of etcd's 1.5 MiB is enough for all that is around the values."""
    size = etcd_store.MAX_BYTES - etcd_store.OVERHEAD - 1
    store.set("a", "x" * size)
    assert len(store.get("a")) == size
    with store.group():
        for number in range(127):
            store.set(f"{number}", "y" * (etcd_store.MAX_BYTES // 128 - 2 * etcd_store.OVERHEAD))
    with pytest.raises(Fault, match="etcd takes 1500000 bytes at a time"):
        store.set("a", "x" * (size + 1))


def test_names_of_one_transaction_are_in_the_order_of_the_alphabet(store: EtcdStore) -> None:
    """Etcd notes no other; those of several are in the order of these."""
    for names in ("ba", "dc"):
        together(store, *(("set", name, 1) for name in names))
    assert store.names() == ["a", "b", "c", "d"]


def test_names_are_read_in_pages_and_are_in_their_order(
    store: EtcdStore, other: EtcdStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one moment, although others write while they are read."""
    monkeypatch.setattr(etcd_store, "PAGE", 10)
    names = [f"{number * 37 % 101:03}" for number in range(101)]
    for name in names:
        store.set(name, ABSENT)
    asked = requests(store, monkeypatch)
    read = store._etcd.read

    def meanwhile(method: str, request: Any) -> Any:
        other.set(f"more {len(asked)}", ABSENT)
        other.set(names[0], "changed")
        return read(method, request)

    monkeypatch.setattr(store._etcd, "read", meanwhile)
    found = store.names()
    assert [name for name in found if not name.startswith("more")] == names
    assert len(found) == len(names) + 1  # what was written before the first page
    assert asked == ["read range"] * 11
    monkeypatch.undo()
    assert list(store.names_meanwhile())[: len(names)] == names


def test_too_many_names_are_a_fault(store: EtcdStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a multicall, and of all that there are."""
    with store.group():
        for number in range(100):
            store.set(f"{number:03}", ABSENT)
    with pytest.raises(Fault, match="too large for one response"):
        store.names(1000)
    monkeypatch.setattr(etcd_store, "MAX_NAMES", 1000)
    assert together(store, ("keys",))[0][0] == Kind.TOO_LARGE


def test_many_values_are_read_in_parts_of_one_moment(
    store: EtcdStore, other: EtcdStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Since together they may be large."""
    names = [f"{number}" for number in range(40)]
    with store.group():
        for name in names:
            store.set(name, "before")
    asked = requests(store, monkeypatch)
    with store.ahead(names):
        assert store.get("0") == "before"
        other.set("39", "after")
        assert [store.get(name) for name in names] == ["before"] * 40
    assert asked == ["read txn"] * 3
    assert store.get("39") == "after"


def test_where_etcd_is_gone_each_call_has_its_fault_and_none_waits_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is asked once for all reads, and once for all writes."""
    monkeypatch.setattr(gateway, "SECONDS", 0.2)
    calls = [("get", "a"), ("exists", "b"), ("set", "c", 1), ("compare_and_set", "d", None, 1),
             ("keys",)]  # fmt: skip
    with closing(EtcdStore([("127.0.0.1", 1)])) as store:
        asked = requests(store, monkeypatch)
        found = together(store, *calls, *calls)
        assert {each[0] for each in found.values()} == {Kind.UNAVAILABLE}
        assert len(found) == 10
        assert len(asked) == 5  # for two lists, too, and for what the comparisons depend on
        with pytest.raises(GroupFailed), store.group():
            store.set("a", "1")
