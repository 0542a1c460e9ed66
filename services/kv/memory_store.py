"""The recipe's key-value store: a dict in memory, which is lost when the process ends."""

from typing import Any
from xmlrpc.client import dumps

from services.kv.faults import Fault, Kind


class MemoryStore:
    """Any XML-RPC value under a name; for a server that makes one call after the other."""

    methods = ("get", "set", "delete", "exists", "keys", "compare_and_set")

    def __init__(self) -> None:
        self._data: dict[str, Any] = {}

    def get(self, name: str) -> Any:
        """Return the value of `name`."""
        if name not in self._data:
            raise Fault(Kind.NO_SUCH_KEY, repr(name))
        return self._data[name]

    def set(self, name: str, value: Any) -> None:
        """Store `value` under `name`."""
        self._data[name] = value

    def delete(self, name: str) -> None:
        """Delete `name` and its value."""
        self.get(name)
        del self._data[name]

    def exists(self, name: str) -> bool:
        """Whether `name` has a value."""
        return name in self._data

    def keys(self) -> list[str]:
        """Return all names, oldest first."""
        return list(self._data)

    def compare_and_set(self, name: str, expected: Any, value: Any) -> bool:
        """Set `name` to `value` if its value is `expected`; return whether it was.

        Values are equal when their XML-RPC forms are: 1 is neither 1.0 nor True, and the members
        of a struct have an order. A missing name counts as None.
        """
        if marshal(self._data.get(name)) != marshal(expected):
            return False
        self._data[name] = value
        return True


def marshal(value: Any) -> str:
    """Return `value` as XML-RPC."""
    return dumps((value,), allow_none=True)
