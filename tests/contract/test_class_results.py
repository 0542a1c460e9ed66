"""The record of a class: what is written comes back, and what anybody else writes does no harm."""

import xmlrpc.client
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from clients import class_results, kv
from clients.addresses import Address
from clients.class_results import Class, Reached
from tests.support.processes import running

SINCE = datetime(2026, 11, 26, 10, 31, 12, tzinfo=UTC)
# XML-RPC has no zones.
GOOD = {"1": {"passed": 1, "of": 4, "failing": "1.2", "since": SINCE.replace(tzinfo=None)}}
READ = {1: Reached(1, 4, "1.2", SINCE)}


@pytest.fixture(scope="module")
def store() -> Iterator[Address]:
    """Lend a kv that the tests of this module fill."""
    with running(["gunicorn", "-c", "services/kv/gunicorn.conf.py"]) as server:
        yield server.address


@pytest.fixture
def empty(store: Address) -> Address:
    """Lend it without anything in it."""
    with kv.proxy(store) as proxy:
        for name in proxy.keys():  # type: ignore[union-attr]  # noqa: SIM118 - a call
            proxy.delete(name)
    return store


def put(store: Address, name: str, value: Any) -> None:
    """Set a name as anybody can."""
    with kv.proxy(store) as proxy:
        proxy.set(name, value)


def test_what_is_written_comes_back(empty: Address) -> None:
    """Under its name, in the place of what was there; times in UTC and whole seconds."""
    east = timezone(timedelta(hours=8))
    assert class_results.read(empty) == Class({})
    class_results.write(empty, "otter-31", {1: Reached(0, 4, "1.1", SINCE)})
    class_results.write(empty, "otter-31", {1: Reached(1, 4, "1.2", SINCE.astimezone(east))})
    class_results.write(empty, "小明", {11: Reached(6, 6, "", SINCE.replace(microsecond=5))})
    found = class_results.read(empty)
    assert found == Class({"otter-31": READ, "小明": {11: Reached(6, 6, "", SINCE)}})
    assert (found.people["小明"][11].done, found.people["otter-31"][1].done) == (True, False)


@pytest.mark.parametrize(
    "record",
    [
        None,
        "done",
        [GOOD],
        {"1": "done"},
        {"one": GOOD["1"]},
        {"1\n": GOOD["1"]},
        {"\u0661": GOOD["1"]},
        {"1": {**GOOD["1"], "failing": "\x9b2J"}},
        {"1": {**GOOD["1"], "failing": "<script>"}},
        {"1": {**GOOD["1"], "failing": "1.2\n1.3"}},
        {"1": {**GOOD["1"], "passed": -1}},
        {"1": {**GOOD["1"], "passed": 5}},
        {"1": {**GOOD["1"], "of": 2**31 - 1}},
        {"1": {**GOOD["1"], "since": "yesterday"}},
        {"1": {"passed": 1}},
        {str(number): GOOD["1"] for number in range(class_results.MAX_LESSONS + 1)},
    ],
)
def test_a_record_that_is_none_is_ignored(empty: Address, record: Any) -> None:
    """And counted; the others are there."""
    put(empty, "class/mallory", record)
    put(empty, "class/otter-31", GOOD)
    assert class_results.read(empty) == Class({"otter-31": READ}, ignored=1)


@pytest.mark.parametrize(
    "name",
    ["", "-", "a b", "x" * 25, "<b>", "a\tb", "a\u202eb", "a\u200bb", "q\u0301", "a/b", "\x9b2J"],
)
def test_a_name_that_is_no_pseudonym_is_not_shown(empty: Address, name: str) -> None:
    """Nobody can write it by our client, and whoever writes it otherwise is only counted."""
    with pytest.raises(ValueError, match="a name of up to 24 letters"):
        class_results.write(empty, name, READ)
    put(empty, f"class/{name}", GOOD)
    assert class_results.read(empty) == Class({}, ignored=1)


def test_the_first_hundred_are_shown(empty: Address) -> None:
    """Who floods the store with names pushes out nobody who was there before."""
    put(empty, "class/otter-31", GOOD)
    put(empty, "else", GOOD)
    with kv.proxy(empty) as proxy:
        calls = xmlrpc.client.MultiCall(proxy)
        for number in range(class_results.MAX_PEOPLE + 10):
            calls.set(f"class/flood-{number}", GOOD)
        assert list(calls()) == [None] * (class_results.MAX_PEOPLE + 10)  # type: ignore[call-overload]
    found = class_results.read(empty)
    assert (len(found.people), found.ignored) == (class_results.MAX_PEOPLE, 11)
    assert "otter-31" in found.people


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("", None),
        ("http://192.0.2.7:15040", Address("192.0.2.7", 15040)),
        ("http://192.0.2.7:15040/", Address("192.0.2.7", 15040)),
        ("http://[2001:db8::1]:15040", Address("2001:db8::1", 15040)),
    ],
)
def test_where_the_class_is(value: str, wanted: Address | None) -> None:
    """As `make class-server` prints it."""
    assert class_results.server({"WIRELAB_CLASS": value}) == wanted


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("192.0.2.7:15040", "a URL, such as http://192.0.2.7:15040"),
        ("https://192.0.2.7:15040", "a URL, such as http://192.0.2.7:15040"),
        ("http://192.0.2.7", "a host:port"),
        ("http://192.0.2.7:http", "a host:port"),
    ],
)
def test_another_value_is_named(value: str, said: str) -> None:
    """With the setting."""
    with pytest.raises(ValueError, match=r"^WIRELAB_CLASS has value '") as raised:
        class_results.server({"WIRELAB_CLASS": value})
    assert str(raised.value) == f"WIRELAB_CLASS has value {value!r}. Not {said}"
