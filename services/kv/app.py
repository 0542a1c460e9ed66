"""The key-value store's calls: XML-RPC in, XML-RPC out, for many clients at a time.

Methods: get(name), set(name, value), delete(name), exists(name), keys(), and
compare_and_set(name, expected, value).
"""

import inspect
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from services import runtime
from services.kv import xml_rpc
from services.kv.faults import Fault, Kind
from services.kv.store import Store

ABSENT = xml_rpc.marshal(None)
MAX_NAME = 16 * 1024  # characters; `keys` has to return all names in one answer

Client = TypeVar("Client")
Call = Callable[[], str]

log = logging.getLogger("kv")


class KeyValueServer:
    """Any XML-RPC value under a text key.

    The methods that clients call return their result as XML, which is what the store holds; those
    without a result return `ABSENT`, a nil.
    """

    reads = ("get", "exists", "keys")
    writes = ("set", "delete", "compare_and_set")

    def __init__(self, store: Store) -> None:
        self._store = store
        self._calls = {name: getattr(self, name) for name in self.reads + self.writes}
        self._signatures = {name: inspect.signature(call) for name, call in self._calls.items()}

    def get(self, name: str) -> str:
        """Return the value of `name`."""
        return self._store.get(name)

    def set(self, name: str, value: object) -> str:
        """Store `value` under `name`; it is on disk once the call is answered."""
        self._store.set(name, xml_rpc.marshal(value))
        return ABSENT

    def delete(self, name: str) -> str:
        """Delete `name` and its value."""
        self._store.delete(name)
        return ABSENT

    def exists(self, name: str) -> str:
        """Whether `name` has a value."""
        return xml_rpc.marshal(self._store.exists(name))

    def keys(self) -> str:
        """Return all names, oldest first."""
        return xml_rpc.marshal(self._store.names())

    def compare_and_set(self, name: str, expected: object, value: object) -> str:
        """Set `name` to `value` if its value is `expected`; return whether it was.

        Values are equal when their XML-RPC forms are: 1 is neither 1.0 nor True. A missing name
        counts as None, so a lock is `compare_and_set("lock", None, me)` to take and
        `compare_and_set("lock", me, None)` to release.
        """
        done = self._store.compare_and_set(
            name, xml_rpc.marshal(expected), xml_rpc.marshal(value), absent=ABSENT
        )
        return xml_rpc.marshal(done)

    def __call__(self, calls: Iterable[tuple[Client, bytes]]) -> Iterator[tuple[Client, bytes]]:
        """Make calls that arrived at the same time; yield each client with its response.

        Reads are answered at once. The writes share a commit, and none of them is answered
        before that has returned.
        """
        writes: list[Call] = []
        writers: list[Client] = []
        for client, body in calls:
            method, call = self._parse(body)
            if method in self.writes:
                writes.append(call)
                writers.append(client)
            else:
                yield client, response_to(call)
        if writes:
            yield from zip(writers, self._commit(writes), strict=True)

    def _commit(self, writes: Sequence[Call]) -> list[bytes]:
        """Make calls that write, and return their responses once all of them are on disk."""
        responses: list[bytes] = []
        try:
            with self._store.group():
                responses.extend(map(response_to, writes))
        except Fault as fault:
            if len(responses) < 2:
                return [xml_rpc.fault_response(fault)] * len(writes)
            # A call that the disk has no space for must not fail the others in its group.
            return [response for call in writes for response in self._commit([call])]
        return responses

    def _parse(self, body: bytes) -> tuple[str, Call]:
        """Return the name of the method, and a function that makes the call or raises its fault."""
        try:
            method, arguments = xml_rpc.parse_call(body)
            if method not in self._calls:
                raise Fault(Kind.NO_SUCH_METHOD, repr(method))
            self._check_arguments(method, arguments)
        except Fault as fault:
            return "", partial(fail, fault)
        return method, partial(self._calls[method], *arguments)

    def _check_arguments(self, method: str, arguments: tuple[Any, ...]) -> None:
        """Raise Fault unless `method` takes these arguments and the name is a short string."""
        try:
            bound = self._signatures[method].bind(*arguments)
        except TypeError as error:
            raise Fault(Kind.BAD_ARGUMENT, f"{method}: {error}") from None
        name = bound.arguments.get("name", "")
        if not isinstance(name, str):
            raise Fault(Kind.BAD_ARGUMENT, f"{method}: the name {name!r:.100} is not a string")
        if len(name) > MAX_NAME:
            raise Fault(
                Kind.BAD_ARGUMENT, f"{method}: the name is longer than {MAX_NAME} characters"
            )


def response_to(call: Call) -> bytes:
    """Make a call and return the response with its result or its fault."""
    try:
        return xml_rpc.response(call())
    except Fault as fault:
        return xml_rpc.fault_response(fault)
    except Exception:
        log.exception("internal error")
        return xml_rpc.fault_response(Fault(Kind.INTERNAL_ERROR))


def fail(fault: Fault) -> str:
    """Raise a fault that was found before the call was made."""
    raise fault


def database_file() -> Path:
    """Return the file that `WIRELAB_KV_FILE` names (default: kv.sqlite3 where it is started)."""
    return runtime.setting("WIRELAB_KV_FILE", "kv.sqlite3", Path)
