"""Which clients make progress, and which have stalled: they neither send enough nor receive it."""

from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class Progress(Generic[Key]):
    """Who receives or sends less than `enough` bytes in `seconds`, of the clients watched."""

    def __init__(self, seconds: float, enough: int) -> None:
        self._seconds, self._enough = seconds, enough
        self._watched: dict[Key, tuple[int, float]] = {}  # bytes moved, and since when

    def stalled(self, moved: Mapping[Key, int], now: float) -> list[Key]:
        """Return who has stalled at `now`, of those whose bytes `moved` so far are given.

        A client that was not among those of the call before has all of its time from now on.
        """
        before, self._watched = self._watched, {}
        found = []
        for each, count in moved.items():
            then, since = before.get(each, (count, now))
            if count >= then + self._enough:
                then, since = count, now
            self._watched[each] = then, since
            if now - since >= self._seconds:
                found.append(each)
        return found
