"""The store on a cluster of etcd: a group of writes is one transaction, on the disks of a majority.

Several servers may use the same cluster. So a group of writes is optimistic: its calls are made
here, on what was read, and what they write is sent in one transaction, on the condition that
nothing which they have read has changed since (its `mod_revision` is the same). If something has,
nothing is written, and the whole group is made again. A transaction fails only because another one
has succeeded, so somebody always makes progress.

This also fits etcd's transactions, which may not write a key twice: in the end a group has one
value for each name. Their limits, 128 operations and 1.5 MiB, are those of a group, too.

Reads are linearizable, as those of etcd are unless one asks for others (etcd.io, "KV API
guarantees"). Names that are announced together are read together, in one transaction.
"""

import math
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, TypeVar

from services import addresses
from services.kv.etcd import SECONDS, Etcd
from services.kv.faults import Fault, Kind
from services.kv.storage import MARKUP, GroupFailed, Overtaken

PREFIX, END = b"kv/", b"kv0"  # of all keys, as etcd has none that is empty; and what comes after
MAX_OPERATIONS = 128  # in a transaction, and conditions: etcd's --max-txn-ops
MAX_BYTES = 1_500_000  # in a transaction; etcd's --max-request-bytes is 1.5 MiB, with all around it
OVERHEAD = 64  # bytes around a key and its value
TOGETHER = 16  # values that are read at once: of 1 MiB each, they take 100 MiB as JSON
PAGE = 500  # names
MAX_NAMES = 24 * 1024 * 1024  # characters of all names

T = TypeVar("T")


class Held(NamedTuple):
    """What there is under a name: a value, and the revision of its last change; or None and 0."""

    value: str | None
    revision: int


ABSENT = Held(None, 0)


class EtcdStore:
    """Names and their values, both text, in etcd: a services.kv.storage.Storage."""

    def __init__(self, endpoints: Sequence[tuple[str, int]]) -> None:
        self._etcd = Etcd(endpoints)
        self._announced: Snapshot | None = None
        self._group: Group | None = None
        self._patient_until = 0.0

    @contextmanager
    def ahead(self, names: Sequence[str]) -> Iterator[None]:
        """Have the values of these names read together, once one of them is needed."""
        self._announced = Snapshot(self._etcd, names)
        self._patient_until = time.monotonic() + SECONDS
        try:
            yield
        finally:
            self._announced = None

    def get(self, name: str) -> str:
        """Return the value of `name`."""
        value = self._reader().value(name)
        if value is None:
            raise Fault(Kind.NO_SUCH_KEY, repr(name))
        return value

    def exists(self, name: str) -> bool:
        """Whether `name` has a value."""
        return self._reader().value(name) is not None

    def names(self, most: float = math.inf) -> list[str]:
        """Return all names, in the order in which they were first set.

        Those of one transaction are in the order of the alphabet: etcd notes no other. Raises Fault
        TOO_LARGE if they have more than about `most` characters as XML.
        """
        return self._reader().names(most)

    def names_meanwhile(self) -> Generator[str, None, None]:
        """Yield all names of one moment, while others are written."""
        yield from Snapshot(self._etcd).names(MAX_NAMES)

    @contextmanager
    def group(self) -> Iterator["Group"]:
        """Write what is written within in one transaction, at the end.

        Raises Overtaken if something that it depends on has changed meanwhile, and nothing was
        written; GroupFailed if etcd cannot be asked, or does not answer; and Fault STORAGE_FAILED
        if etcd refuses the transaction.
        """
        snapshot = self._announced or Snapshot(self._etcd)
        self._group = group = Group(snapshot)
        try:
            yield group
            group.commit(self._etcd)
        except Overtaken:
            snapshot.forget()
            if time.monotonic() > self._patient_until:
                problem = "others have changed the same names, again and again"
                raise GroupFailed(Kind.UNAVAILABLE, problem) from None
            raise
        finally:
            self._group = None

    def set(self, name: str, value: str) -> None:
        """Set the value of `name`."""
        self._write(lambda group: group.set(name, value))

    def delete(self, name: str) -> None:
        """Delete `name` and its value."""

        def delete(group: Group) -> None:
            if group.value(name) is None:
                raise Fault(Kind.NO_SUCH_KEY, repr(name))
            group.set(name, None)

        self._write(delete)

    def compare_and_set(self, name: str, expected: str, value: str, absent: str) -> bool:
        """Set `name` to `value` if its value is `expected`, and return whether it was.

        A name without a value counts as having the value `absent`.
        """

        def compare_and_set(group: Group) -> bool:
            held = group.value(name)
            if (absent if held is None else held) != expected:
                return False
            group.set(name, value)
            return True

        return self._write(compare_and_set)

    def close(self) -> None:
        """Close the connections to etcd."""
        self._etcd.close()

    def _reader(self) -> "Group | Snapshot":
        return self._group or self._announced or Snapshot(self._etcd)

    def _write(self, write: Callable[["Group"], T]) -> T:
        """Write in the current group, or in one of its own."""
        if self._group:
            return write(self._group)
        with self.ahead(()):
            while True:
                with suppress(Overtaken), self.group() as group:
                    return write(group)


class Snapshot:
    """What there was at one moment, read when it is needed: at first, or after it was forgotten."""

    def __init__(self, etcd: Etcd, names: Sequence[str] = ()) -> None:
        """Begin with nothing; `names` are those that will be needed, in this order."""
        self._etcd = etcd
        self._names = list(dict.fromkeys(names))
        self._place = {name: number for number, name in enumerate(self._names)}
        self.forget()

    def forget(self) -> None:
        """Begin anew, with what there is by now."""
        self._held: dict[str, Held] = {}
        self._revision = 0  # of all that is read; 0 is for the newest
        self._fault: Fault | None = None

    def value(self, name: str) -> str | None:
        """Return the value of a name, or None."""
        return self.held(name).value

    def held(self, name: str) -> Held:
        """Return what there is under a name, and read those after it with it.

        Of the values that were read before, none is kept: together they may be large.
        """
        if name not in self._held:
            place = self._place.get(name)
            names = [name] if place is None else self._names[place : place + TOGETHER]
            self._held = dict(zip(names, map(held, self._ranges(names)), strict=True))
        return self._held[name]

    def _ranges(self, names: Sequence[str]) -> list[Sequence[Mapping[str, str]]]:
        """Read what there is under each of some names; of one, without what a transaction costs."""
        ranges = [self._range({"key": key(each)}) for each in names]
        if len(ranges) == 1:
            return [self._read("range", ranges[0]).get("kvs", ())]
        answer = self._read("txn", {"success": [{"request_range": each} for each in ranges]})
        return [each["response_range"].get("kvs", ()) for each in answer["responses"]]

    def names(self, most: float) -> list[str]:
        """Return all names, oldest first; raises Fault TOO_LARGE for more than `most` characters.

        They are read in pages, in the order of the keys, and sorted here: for each page in the
        order of their creation, etcd would read and sort all of them.
        """
        found: list[tuple[int, str]] = []
        first: bytes | None = PREFIX
        while first is not None:
            page = {"key": encoded(first), "range_end": encoded(END), "limit": PAGE}
            answer = self._read("range", self._range({**page, "keys_only": True}))
            for each in answer.get("kvs", ()):
                first = b64decode(each["key"])
                name = first[len(PREFIX) :].decode()
                found.append((int(each["create_revision"]), name))
                if (most := most - len(name) - MARKUP) < 0:
                    raise Fault(Kind.TOO_LARGE, "there are too many names")
            first = first + b"\0" if answer.get("more") else None
        found.sort(key=lambda each: each[0])
        return [name for _, name in found]

    def _range(self, request: dict[str, Any]) -> dict[str, Any]:
        return {**request, "revision": self._revision} if self._revision else request

    def _read(self, method: str, request: Mapping[str, Any]) -> Any:
        """Read something of the same revision as before; a fault is one of all that is asked."""
        if self._fault:
            raise self._fault
        try:
            answer = self._etcd.read(method, request)
        except Fault as fault:
            self._fault = fault
            raise
        self._revision = self._revision or int(answer["header"]["revision"])
        return answer


class Group:
    """Writes that are to be one transaction, and what they depend on."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._written: dict[str, str | None] = {}  # None: deleted
        self._read: dict[str, int] = {}  # the revisions of what was read

    def value(self, name: str) -> str | None:
        """Return the value of a name, or None, with what was written in the group."""
        if name in self._written:
            return self._written[name]
        found = self._snapshot.held(name)
        self._read[name] = found.revision
        return found.value

    def set(self, name: str, value: str | None) -> None:
        """Give a name a value, or none."""
        self._written[name] = value

    def names(self, most: float) -> list[str]:
        """Return all names, oldest first, with what was written in the group."""
        before = self._snapshot.names(most)
        names = {name: None for name in before if self._written.get(name, "") is not None}
        new = (name for name, value in self._written.items() if value is not None)
        return list(names | dict.fromkeys(new))

    def commit(self, etcd: Etcd) -> None:
        """Write it; raises Overtaken, GroupFailed or Fault, as EtcdStore.group says."""
        if not self._written:
            return  # what was read is of one moment, and nothing else depends on it
        size = sum(len(name.encode()) + OVERHEAD for name in [*self._read, *self._written])
        size += sum(len(value.encode()) for value in self._written.values() if value is not None)
        if size > MAX_BYTES:
            raise Fault(Kind.STORAGE_FAILED, f"etcd takes {MAX_BYTES} bytes at a time, not {size}")
        if max(len(self._read), len(self._written)) > MAX_OPERATIONS:
            raise Fault(Kind.STORAGE_FAILED, f"etcd takes {MAX_OPERATIONS} writes at a time")
        method, request = self._request()
        try:
            answer = etcd.write(method, request)
        except Fault as fault:
            if fault.faultCode == Kind.STORAGE_FAILED:
                raise
            raise GroupFailed(Kind(fault.faultCode), fault.detail) from None
        if method == "txn" and not answer.get("succeeded"):
            raise Overtaken

    def _request(self) -> tuple[str, dict[str, Any]]:
        """Return a method of etcd, and what it takes; one value does without a transaction."""
        operations = [operation(name, value) for name, value in self._written.items()]
        match operations:
            case [{"request_put": put}] if not self._read:
                return "put", put
        compare = [
            {"target": "MOD", "key": key(name), "mod_revision": revision}
            for name, revision in self._read.items()
        ]
        return "txn", {"compare": compare, "success": operations}


def operation(name: str, value: str | None) -> dict[str, Any]:
    """Return what sets or deletes a value, as a part of a transaction."""
    if value is None:
        return {"request_delete_range": {"key": key(name)}}
    return {"request_put": {"key": key(name), "value": encoded(value.encode())}}


def held(found: Sequence[Mapping[str, str]]) -> Held:
    """Return what etcd has found under a key."""
    if not found:
        return ABSENT
    return Held(b64decode(found[0].get("value", "")).decode(), int(found[0]["mod_revision"]))


def key(name: str) -> str:
    """Return the key of a name, as JSON has it."""
    return encoded(PREFIX + name.encode())


def encoded(data: bytes) -> str:
    """Return bytes as JSON has them: proto3's mapping, base64."""
    return b64encode(data).decode()


def endpoints(text: str) -> list[tuple[str, int]]:
    """Parse host:port of each node, with commas; ValueError's text completes "Not ..."."""
    found = [addresses.split(word.strip()) for word in text.split(",")] if text else []
    if len(set(found)) < len(found):
        raise ValueError("a list of different nodes")
    return found
