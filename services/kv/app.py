"""The key-value store's calls: XML-RPC in, XML-RPC out, for many clients at a time."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Generic, TypeVar

from services import runtime
from services.kv.calls import Call, Outcome, Request, parse
from services.kv.faults import Fault
from services.kv.listing import Listings
from services.kv.methods import Methods
from services.kv.store import GroupNotBegun, Store

EXTENDED, SPECIFIED = "/RPC2", "/RPC2/1999"  # where calls are made: with nil, and without it
PATHS = ("/", EXTENDED, SPECIFIED)

Client = TypeVar("Client")


class KeyValueServer(Generic[Client]):
    """Any XML-RPC value under a text key."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._methods = {path: Methods(store, nil=path != SPECIFIED) for path in PATHS}
        self.listings: Listings[Client] = Listings(store)

    def __call__(
        self, requests: Iterable[tuple[Client, str, bytes]], room: bool = True
    ) -> Iterator[tuple[Client, Sequence[bytes], bool]]:
        """Make calls that arrived at the same time; yield each client with its response.

        And whether the client's calls can be made again, in place of sending this response.
        Of each client, the path and the body of its request are given. Reads are answered at once;
        all names, in later iterations too, where there are many, and while there is `room` for
        them. The writes share a commit, and none of them is answered before that has returned.
        """
        writing: list[tuple[Client, Request]] = []
        for client, path, body in requests:
            request = parse(body, self._methods[path])
            if request.writes:
                writing.append((client, request))
            elif request.lists:
                self.listings.add(client)
            else:
                response = request.respond([call.outcome() for call in request.calls])
                yield client, [response], True
        if room:
            for client, parts in self.listings.proceed():
                yield client, parts, False
        if writing:
            calls = [call for _, request in writing for call in request.calls]
            outcomes = iter(self._commit(calls))
            for client, request in writing:
                response = request.respond(list(islice(outcomes, len(request.calls))))
                yield client, [response], False

    def _commit(self, calls: Sequence[Call]) -> Sequence[Outcome]:
        """Make calls, and return what came of them once all that was written is on disk.

        If the disk has no space for one of them, nothing of the group is written. That must not
        fail the others, so then each call is a group of its own.
        """
        try:
            return self._in_one_group(calls)
        except GroupNotBegun as fault:
            return [fault] * len(calls)
        except Fault as fault:
            if len(calls) == 1:
                return [fault]
        return [self._by_itself(call) for call in calls]

    def _in_one_group(self, calls: Iterable[Call]) -> list[Outcome]:
        with self._store.group():  # at the end of which all is on disk, or Fault is raised
            return [call.outcome() for call in calls]

    def _by_itself(self, call: Call) -> Outcome:
        try:
            (outcome,) = self._in_one_group([call])
        except Fault as fault:
            return fault
        return outcome


def database_file() -> Path:
    """Return the file that `WIRELAB_KV_FILE` names (default: kv.sqlite3 where it is started)."""
    return runtime.setting("WIRELAB_KV_FILE", "kv.sqlite3", Path)
