"""The methods that clients call; each returns its result as XML, which is what the store holds."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from services.kv import xml_rpc
from services.kv.faults import Fault, Kind
from services.kv.introspection import SIGNATURES, Introspection
from services.kv.storage import Storage

Method = Callable[..., str]

ABSENT = xml_rpc.marshal(None)
TRUE = xml_rpc.marshal(True)
NIL = "<nil/>"  # as an element: in a text it is &lt;nil/&gt;
MAX_NAME = 16 * 1024  # characters
MAX_NAMES = 64 * 1024  # characters, of all names in a multicall; for `keys` alone see listing.py


class Methods:
    """The methods of one dialect: with nil, or without it as the specification of 1999."""

    def __init__(self, store: Storage, nil: bool) -> None:
        self._store, self._nil = store, nil
        self._by_name: dict[str, Method] = {
            "get": self.get,
            "set": self.set,
            "delete": self.delete,
            "exists": self.exists,
            "keys": self.keys,
            "compare_and_set": self.compare_and_set,
        }
        self._by_name |= Introspection(self._by_name, nil).methods

    def call(self, name: str, arguments: Sequence[Any]) -> Callable[[], str]:
        """Return a function that makes a call; raises Fault for what `name` does not take."""
        if name not in self._by_name:
            raise Fault(Kind.NO_SUCH_METHOD, repr(name))
        takes = SIGNATURES[name][1:]
        if len(arguments) != len(takes):
            count = f"{len(takes)} argument{'s' * (len(takes) != 1)}, not {len(arguments)}"
            raise Fault(Kind.BAD_ARGUMENT, f"{name} takes {count}")
        if takes and takes[0] == "string":  # the others may have any type
            self._check_name(name, arguments[0])
        return partial(self._by_name[name], *arguments)

    def _check_name(self, method: str, name: object) -> None:
        if not isinstance(name, str):
            raise Fault(Kind.BAD_ARGUMENT, f"{method}: the name {name!r:.100} is not a string")
        if len(name) > MAX_NAME:
            raise Fault(
                Kind.BAD_ARGUMENT, f"{method}: the name is longer than {MAX_NAME} characters"
            )

    def get(self, name: str) -> str:
        """Return the value of `name`."""
        value = self._store.get(name)
        if NIL in value and not self._nil:
            raise Fault(Kind.NIL, repr(name))
        return value

    def set(self, name: str, value: object) -> str:
        """Store `value` under `name`; it is on disk once the call is answered."""
        self._store.set(name, xml_rpc.marshal(value))
        return ABSENT if self._nil else TRUE

    def delete(self, name: str) -> str:
        """Delete `name` and its value."""
        self._store.delete(name)
        return ABSENT if self._nil else TRUE

    def exists(self, name: str) -> str:
        """Whether `name` has a value."""
        return xml_rpc.marshal(self._store.exists(name))

    def keys(self) -> str:
        """Return all names, oldest first."""
        return xml_rpc.marshal(self._store.names(MAX_NAMES))

    def compare_and_set(self, name: str, expected: object, value: object) -> str:
        """Set `name` to `value` if its value is `expected`; return whether it was.

        Values are equal when their XML-RPC forms are: 1 is neither 1.0 nor True. A missing name
        counts as nil, so a lock is `compare_and_set("lock", nil, me)` to take and
        `compare_and_set("lock", me, nil)` to release.
        """
        done = self._store.compare_and_set(
            name, xml_rpc.marshal(expected), xml_rpc.marshal(value), absent=ABSENT
        )
        return xml_rpc.marshal(done)
