"""What a store offers to the methods: names and their values, both text.

There are two: one file (store.py), and a cluster of etcd (etcd_store.py).
"""

import math
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from services.kv.faults import Fault

MARKUP = 34  # characters around a name in a response


class GroupFailed(Fault):
    """A fault of all writes of a group: to make some of them again is of no use, or does harm.

    The group could not begin, as another process is writing, for example; or nobody knows whether
    it was written.
    """


class Overtaken(Exception):
    """Somebody else has changed what a group of writes depends on: nothing of it was written.

    It is to be made again.
    """


class Storage(Protocol):
    """Names and their values, to be used from one thread.

    A write outside a group is durable when it returns, a write in a group when the group ends. A
    read in a group sees the writes of the group, any other what is durable. Methods raise Fault:
    NO_SUCH_KEY; and for what did not work, a code that says whether it may have been written.
    """

    def ahead(self, names: Sequence[str], /) -> AbstractContextManager[object]:
        """Announce the names whose values are needed within: they can be read at once."""

    def group(self) -> AbstractContextManager[object]:
        """Commit the writes within together: all of them are durable once this has ended.

        Each write sees those before it in the group. Raises Overtaken, GroupFailed, or another
        Fault if there was something wrong with one of its writes: then none of them was written,
        whatever they returned, unless the code of the fault is UNKNOWN.
        """

    def get(self, name: str, /) -> str:
        """Return the value of `name`."""

    def exists(self, name: str, /) -> bool:
        """Whether `name` has a value."""

    def names(self, most: float = math.inf, /) -> list[str]:
        """Return all names, in the order in which they were first set.

        Raises Fault TOO_LARGE if they have more than about `most` characters as XML.
        """

    def names_meanwhile(self) -> Generator[str, None, None]:
        """Yield all names of one moment, while others are written; to be used by one at a time."""

    def set(self, name: str, value: str, /) -> None:
        """Set the value of `name`."""

    def delete(self, name: str, /) -> None:
        """Delete `name` and its value."""

    def compare_and_set(self, name: str, expected: str, value: str, /, absent: str) -> bool:
        """Set `name` to `value` if its value is `expected`, and return whether it was.

        A name without a value counts as having the value `absent`.
        """

    def close(self) -> None:
        """Give back what the store holds open."""
