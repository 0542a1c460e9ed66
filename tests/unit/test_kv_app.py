"""Calls that arrive at the same time: one commit for all that write, then their responses."""

import sqlite3
import xmlrpc.client
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault

import pytest

from services.kv import listing
from services.kv.app import EXTENDED, SPECIFIED, KeyValueServer
from services.kv.faults import Kind
from services.kv.introspection import TYPES
from services.kv.methods import ABSENT
from services.kv.storage import Storage
from services.kv.store import Store
from tests.unit.test_kv_store import files_no_larger_than

TOO_LARGE = "too large for one response: the results have more than 1048576 characters"
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


def dumps(method: str, *arguments: Any) -> bytes:
    """Return a call as XML."""
    return xmlrpc.client.dumps(arguments, method, allow_none=True).encode()


def exchange(
    server: KeyValueServer[int], *bodies: bytes, path: str = EXTENDED
) -> Iterator[tuple[int, Any]]:
    """Make requests at the same time; yield outcomes, each with the number of its request."""
    requests = [(number, path, body, None) for number, body in enumerate(bodies)]
    for number, parts, _ in server(requests):
        yield number, outcome(b"".join(parts))
    while server.listings:
        for number, parts, _ in server([]):
            yield number, outcome(b"".join(parts))


def together(store: Storage, *calls: tuple[Any, ...], path: str = EXTENDED) -> dict[int, Any]:
    """Make calls at the same time, each a method and its arguments; return outcomes by number."""
    bodies = [dumps(*call) for call in calls]
    return dict(exchange(KeyValueServer(store), *bodies, path=path))


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
    bodies = [dumps("set", name, 1) for name in "abc"]
    with closing(sqlite3.connect(tmp_path / "kv.sqlite3")) as other:
        seen = [
            other.execute("SELECT count(*) FROM entries").fetchone()[0]
            for _ in exchange(KeyValueServer(store), *bodies)
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


def test_a_failed_call_of_a_multicall_is_a_struct_among_the_results(
    store: Store, statements: list[str]
) -> None:
    """Each call sees those before it, and all of them share a commit with those of others."""
    found = together(store, multicall(*MIXED), ("set", "c", 3))
    assert found[0] == [
        [None],
        [1],
        [["a"]],
        [True],
        {"faultCode": 1, "faultString": "no such key: 'c'"},
        {"faultCode": -32601, "faultString": "no such method: 'put'"},
        {"faultCode": -32602, "faultString": "bad argument: get takes 1 argument, not 0"},
        [None],
        [[]],
    ]
    assert statements.count("COMMIT") == 1
    assert store.names() == ["c"]


MIXED = (
    ("set", "a", 1),
    ("get", "a"),
    ("keys",),
    ("compare_and_set", "a", 1, 2),
    ("delete", "c"),
    ("put", "a"),
    ("get",),
    ("delete", "a"),
    ("keys",),
)


def multicall(*calls: tuple[Any, ...]) -> tuple[str, list[dict[str, Any]]]:
    """Return a multicall, each of whose calls is a method and its arguments."""
    return "system.multicall", [{"methodName": call[0], "params": call[1:]} for call in calls]


def test_a_multicall_that_only_reads_commits_nothing(store: Store, statements: list[str]) -> None:
    """It is answered at once, before the writes that come with it."""
    calls = multicall(("exists", "a"), ("system.listMethods",), ("put",))
    found = together(store, ("set", "a", 1), calls)
    assert list(found) == [1, 0]
    assert found[1][0] == [False]
    assert statements.count("COMMIT") == 1


@pytest.mark.parametrize(
    "calls",
    [
        pytest.param([1], id="no struct"),
        pytest.param([{}], id="no method"),
        pytest.param([{"methodName": "keys"}], id="no params"),
        pytest.param([{"methodName": 1, "params": []}], id="a method that is a number"),
        pytest.param([{"methodName": "keys", "params": {}}], id="params that are a struct"),
        pytest.param([{"methodName": "system.multicall", "params": [[]]}], id="a multicall"),
    ],
)
def test_what_is_no_call_in_a_multicall_has_a_fault_of_its_own(
    store: Store, calls: list[Any]
) -> None:
    """The others are made."""
    others = multicall(("set", "a", 1))[1]
    (found,) = together(store, ("system.multicall", [*others, *calls, *others])).values()
    assert (found[0], found[1]["faultCode"], found[2]) == ([None], -32602, [None])


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param([], id="none"),
        pytest.param([[], []], id="two"),
        pytest.param(["keys"], id="text"),
        pytest.param([[1] * 501], id="too many calls"),
    ],
)
def test_what_is_no_multicall_is_refused(store: Store, arguments: list[Any]) -> None:
    """With the limit on how many calls there may be."""
    found = together(store, ("system.multicall", *arguments))
    text = "system.multicall takes an array of up to 500 calls"
    assert found == {0: (-32602, f"bad argument: {text}")}


def test_a_multicall_may_be_of_no_calls_and_of_many(store: Store) -> None:
    """Five hundred of them are made."""
    sets = [("set", f"{number}", number) for number in range(500)]
    found = together(store, multicall(), multicall(*sets))
    assert found == {0: [], 1: [[None]] * 500}
    assert len(store.names()) == 500


def test_a_multicall_reads_no_more_once_its_results_are_large(store: Store) -> None:
    """A MiB, and then a fault for each further read; writes go on."""
    together(store, ("set", "a", "x" * 600_000))
    reads = [("get", "a")] * 4
    (found,) = together(store, multicall(*reads, ("set", "b", 1), ("exists", "a"))).values()
    assert [each if isinstance(each, dict) else len(each[0] or "") for each in found] == [
        600_000,
        600_000,
        *[{"faultCode": 4, "faultString": TOO_LARGE}] * 2,
        0,
        {"faultCode": 4, "faultString": TOO_LARGE},
    ]
    assert store.names() == ["a", "b"]


def test_a_multicall_lists_no_more_than_some_names(store: Store) -> None:
    """It is all made in one go; to find out again for each of its calls would take long."""
    with store.group():
        for number in range(2_000):
            store.set(f"{number}", ABSENT)
    read: list[str] = []
    store._reader.set_trace_callback(read.append)
    (found,) = together(store, multicall(*[("keys",)] * 100)).values()
    assert [each["faultCode"] for each in found] == [4] * 100
    assert len(read) == 1


def test_a_write_of_a_multicall_too_large_for_the_disk_fails_alone(store: Store) -> None:
    """As if it had been a call by itself; the others are made again without it."""
    store._writer.execute("PRAGMA max_page_count = 3")
    text = "x" * 1_000
    reads = [("set", "a", text), ("set", "b", "x" * 500_000), ("get", "a"), ("exists", "b")]
    found = together(store, multicall(*reads), ("set", "c", 3))
    assert found == {
        0: [[None], {"faultCode": 2, "faultString": FULL}, [text], [False]],
        1: None,
    }
    assert store.names() == ["a", "c"]


def test_a_multicall_that_is_made_again_has_as_large_results(store: Store) -> None:
    """Those of the first time, which are lost with the group, do not count."""
    together(store, ("set", "a", "x" * 600_000))
    (pages,) = store._writer.execute("PRAGMA page_count").fetchone()
    store._writer.execute(f"PRAGMA max_page_count = {pages}")
    calls = multicall(("get", "a"), ("get", "a"), ("set", "b", "x" * 500_000))
    (found,) = together(store, calls).values()
    assert [len(each) for each in found] == [1, 1, 2]
    assert found[2] == {"faultCode": 2, "faultString": FULL}


def test_in_the_dialect_of_1999_nothing_is_answered_with_nil(store: Store) -> None:
    """Writes are answered with true; a nil in a value, at any depth, is a fault of its own."""
    together(
        store, ("set", "nil", None), ("set", "deep", [{"a": [None]}]), ("set", "text", "<nil/>")
    )
    nil = "the result has a nil, which the dialect of 1999 does not have"
    calls = (
        ("set", "a", 1),
        ("delete", "a"),
        ("compare_and_set", "a", None, 1),
        ("get", "nil"),
        ("get", "deep"),
        ("get", "text"),
        ("keys",),
    )
    found = together(store, *calls, multicall(*calls), path=SPECIFIED)
    assert {number: found[number] for number in range(7)} == {
        0: True,
        1: True,
        2: True,
        3: (3, f"{nil}: 'nil'"),
        4: (3, f"{nil}: 'deep'"),
        5: "<nil/>",
        6: ["nil", "deep", "text"],
    }
    assert found[7][:6] == [
        [True],
        [True],
        [True],
        {"faultCode": 3, "faultString": f"{nil}: 'nil'"},
        {"faultCode": 3, "faultString": f"{nil}: 'deep'"},
        ["<nil/>"],
    ]


def test_introspection_says_which_dialect_it_is(store: Store) -> None:
    """By the capability nil, and by the signatures, in which nil is or is not a type."""
    calls = (
        ("system.getCapabilities",),
        ("system.methodSignature", "delete"),
        ("system.methodSignature", "get"),
        ("system.methodSignature", "compare_and_set"),
    )
    with_nil = together(store, *calls)
    without = together(store, *calls, path=SPECIFIED)
    assert with_nil[0].keys() - without[0].keys() == {"nil"}
    assert {
        (type(each["specUrl"]), type(each["specVersion"])) for each in with_nil[0].values()
    } == {(str, int)}
    assert (with_nil[1], without[1]) == ([["nil", "string"]], [["boolean", "string"]])
    assert without[2] == [[kind, "string"] for kind in TYPES]
    assert with_nil[2] == [*without[2], ["nil", "string"]]
    assert (len(with_nil[3]), len(without[3])) == (81, 64)


def test_introspection_describes_every_method_that_there_is(store: Store) -> None:
    """Whatever is listed has a help and signatures, and can be called so; nothing else has."""
    (methods,) = together(store, ("system.listMethods",)).values()
    assert len(methods) == len(set(methods)) == 11
    for method in methods:
        found = together(
            store,
            ("system.methodHelp", method),
            ("system.methodSignature", method),
            (method, *[1] * 9),
        )
        assert found[0].endswith(".") or "." in found[0]
        assert all(set(signature) <= {*TYPES, "nil"} for signature in found[1])
        assert found[2][0] == Kind.BAD_ARGUMENT
    for about in ("system.methodHelp", "system.methodSignature"):
        assert together(store, (about, "put")) == {0: (-32601, "no such method: 'put'")}


@pytest.fixture
def long_list(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of a store that has more of them than one piece of a response."""
    monkeypatch.setattr(listing, "PIECE", 1_000)
    names = [f"<{number}>\r" for number in range(200)]
    with store.group():
        for name in names:
            store.set(name, ABSENT)
    return names


def test_other_calls_are_answered_while_many_names_are_listed(
    store: Store, long_list: list[str]
) -> None:
    """The names come in pieces, and are those of the moment when the first piece was made."""
    server: KeyValueServer[str] = KeyValueServer(store)
    assert list(server([("lister", EXTENDED, dumps("keys"), None)])) == []
    between = 0
    while not (
        listed := list(server([("other", EXTENDED, dumps("set", f"{between}", 1), None)]))[:-1]
    ):
        assert store.get(f"{between}")
        between += 1
    assert between > 5
    ((client, parts, again),) = listed
    assert (client, outcome(b"".join(parts)), again) == ("lister", long_list, False)
    assert not server.listings
    assert len(max(parts, key=len)) < 1_100


def test_names_are_listed_for_one_client_after_the_other(
    store: Store, long_list: list[str]
) -> None:
    """So there is one response in the making, in the order in which they asked."""
    found = list(exchange(KeyValueServer(store), *[dumps("keys")] * 3))
    assert found == [(number, long_list) for number in range(3)]


def test_while_there_is_no_room_no_names_are_listed(store: Store) -> None:
    """All other calls are made meanwhile."""
    server: KeyValueServer[int] = KeyValueServer(store)
    calls = [dumps("keys"), dumps("exists", "x")]
    requests = [(number, EXTENDED, body, None) for number, body in enumerate(calls, start=1)]
    assert [client for client, *_ in server(requests, room=False)] == [2]
    assert [client for client, *_ in server([], room=False)] == []
    assert [client for client, *_ in server([], room=True)] == [1]


@pytest.mark.usefixtures("long_list")
def test_too_many_names_for_one_response_are_a_fault(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After it the store is as usable as before, and its log can be checkpointed."""
    monkeypatch.setattr(listing, "MAX_LISTING", 5_000)
    text = "too large for one response: the names take more than 5000 bytes"
    assert together(store, ("keys",), ("exists", "x")) == {1: False, 0: (4, text)}
    store.set("x", ABSENT)
    busy, _, _ = store._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert not busy


@pytest.mark.usefixtures("long_list")
def test_an_error_while_names_are_listed_is_one_of_its_client(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The next client gets them."""
    good = Store.names_meanwhile
    monkeypatch.setattr(Store, "names_meanwhile", broken_once(good))
    found = together(store, ("keys",), ("keys",))
    assert found[0] == (-32603, "internal error")
    assert len(found[1]) == 200
    assert caplog.text.count("RuntimeError: /secret/path") == 1


def broken_once(good: Callable[[Store], Iterator[str]]) -> Callable[[Store], Iterator[str]]:
    """Return a method that fails in the middle of its first use."""
    uses = iter((True, False))

    def names(self: Store) -> Iterator[str]:
        for number, name in enumerate(good(self)):
            if number == 100 and next(uses):
                raise RuntimeError("/secret/path")
            yield name

    return names
