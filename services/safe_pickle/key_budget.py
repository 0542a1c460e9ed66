"""What the dict keys and set members of one message may cost.

A short message can hold a key that takes hours. A tuple that contains the tuple before it twice,
through the memo, doubles what hashing costs with every few bytes. So a key is charged as the tree
that it unfolds to, one unit for each leaf and branch, from a budget that grows with the message:
written out, no tree has more leaves than the message has bytes.

Comparing costs too. A dict compares a new key with every key in its way that has the same hash.
The hashes of text and bytes are random, but the sender chooses those of numbers and tuples
(tuples of -1 and -2 all have the same). So few of these may share a hash, as many as in a table of
all points from -2 to 2 in six dimensions, and each is charged again for every key that it may be
compared with. That is counted in a dict of bytes, so that nobody chooses where this one has them.

Keys of different hashes are in each other's way as well. The table of a dict has a place for each
key that the hash tells, and where that is taken, another place, and then another one (CPython,
Objects/dictobject.c, "the basic lookup"). Keys can be chosen such that each tries all places of
those before it: 100,000 take seconds instead of a hundredth of one. No property of a key tells,
so what counts is the time that it took to insert them: the processor time of this thread, which
others on the machine do not add to.
"""

import sys
from itertools import chain
from typing import Any

from services.safe_pickle.errors import UnpicklingError

MAX_KEY_COST = 1_000_000
MAX_KEY_DEPTH = 50
MAX_SAME_HASH = 64  # keys of one dict or set
MAX_CHOSEN = 100_000  # keys of one message whose hash the sender can choose
LONG_TEXT = 1000  # characters that are compared in the time that a small key takes
SMALL_INTEGER = sys.hash_info.modulus // 2  # below it, no two but -1 and -2 have the same hash
MAX_SECONDS = 0.25  # to insert all keys; it takes a tenth where none are chosen to collide

TEXT = {str, bytes}
INTEGERS = {int}
NESTED = {tuple, frozenset}


class KeyBudget:
    """The budget of one message of `message_size` bytes.

    `left` is what remains of it, and `seconds` what it has taken to insert the keys of large dicts
    and sets.
    """

    def __init__(self, message_size: int) -> None:
        self.left = min(4 * message_size + 100, MAX_KEY_COST)
        self.seconds = 0.0
        self._chosen = 0
        self._same_hash: dict[bytes, int] = {}

    def pay(self, keys: list[Any], owner: int) -> bool:
        """Charge the budget for new keys of one dict or set, which `owner` identifies.

        Returns whether some share a hash. Raises UnpicklingError when they exceed a limit: before
        any of them is hashed.
        """
        if TEXT.issuperset(map(type, keys)):
            self._charge(sum(map(len, keys)) // LONG_TEXT)
            return False
        self._chosen += len(keys)
        if self._chosen > MAX_CHOSEN:
            raise UnpicklingError(
                f"the pickle has more than {MAX_CHOSEN} keys that are not text or bytes"
            )
        if INTEGERS.issuperset(map(type, keys)) and max(map(abs, keys)) < SMALL_INTEGER:
            self._charge(len(keys))
            return False
        shared = False
        for key in keys:
            before = self.left
            self._charge_tree(key)
            if type(key) in TEXT:
                continue
            cost = before - self.left
            slot = b"%d %d" % (owner, hash(key))
            others = self._same_hash.get(slot, 0)
            if others == MAX_SAME_HASH:
                raise UnpicklingError(
                    f"more than {MAX_SAME_HASH} keys of a dict or set have the same hash"
                )
            self._same_hash[slot] = others + 1
            if others:
                shared = True
                self._charge(others * cost)
        return shared

    def took(self, seconds: float) -> None:
        """Charge the time that it took to insert keys; raises UnpicklingError for too much."""
        self.seconds += seconds
        if self.seconds > MAX_SECONDS:
            raise UnpicklingError(
                f"the keys of the pickle collide: to insert them took {self.seconds:.2f} s,"
                f" {MAX_SECONDS} s are accepted"
            )

    def _charge_tree(self, key: Any) -> None:
        """Charge for hashing `key`, level by level; no level is visited before it is paid for."""
        self._charge(1)
        level = iter((key,))
        for _ in range(MAX_KEY_DEPTH + 1):
            large = 0
            nested = []
            for part in level:
                kind = type(part)
                if kind is int:
                    large += part.bit_length() // 64
                elif kind in TEXT:
                    large += len(part) // LONG_TEXT
                elif kind in NESTED:
                    nested.append(part)
            self._charge(large)
            if not nested:
                return
            self._charge(sum(map(len, nested)))
            level = chain.from_iterable(nested)
        raise UnpicklingError(f"a key is nested deeper than {MAX_KEY_DEPTH} levels")

    def _charge(self, cost: int) -> None:
        self.left -= cost
        if self.left < 0:
            raise UnpicklingError("the keys of the pickle would take too long to hash and compare")
