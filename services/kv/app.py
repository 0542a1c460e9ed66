"""The key-value store's calls: XML-RPC in, XML-RPC out, for many clients at a time."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Generic, TypeVar

from services import runtime
from services.kv.calls import Call, Outcome, Request, parse
from services.kv.etcd_store import EtcdStore, endpoints
from services.kv.faults import Fault
from services.kv.listing import Listings
from services.kv.methods import Methods
from services.kv.storage import GroupFailed, Overtaken, Storage
from services.kv.store import Store

EXTENDED, SPECIFIED = "/RPC2", "/RPC2/1999"  # where calls are made: with nil, and without it
PATHS = ("/", EXTENDED, SPECIFIED)

Client = TypeVar("Client")


class KeyValueServer(Generic[Client]):
    """Any XML-RPC value under a text key."""

    def __init__(self, store: Storage) -> None:
        self._store = store
        self._methods = {path: Methods(store, nil=path != SPECIFIED) for path in PATHS}
        self.listings: Listings[Client] = Listings(store)

    def __call__(
        self, requests: Iterable[tuple[Client, str, bytes, str | None]], room: bool = True
    ) -> Iterator[tuple[Client, Sequence[bytes], bool]]:
        """Make calls that arrived at the same time; yield each client with its response.

        And whether the client's calls can be made again, in place of sending this response.
        Of each client, the path and the body of its request are given, and the charset if there is
        one. Reads are answered first; all names, in later iterations too, where there are many, and
        while there is `room` for them. The writes share a commit, and none of them is answered
        before that has returned.
        """
        reading: list[tuple[Client, Request]] = []
        writing: list[tuple[Client, Request]] = []
        for client, path, body, charset in requests:
            request = parse(body, charset, self._methods[path])
            if request.lists:
                self.listings.add(client)
            else:
                (writing if request.writes else reading).append((client, request))
        if reading:
            calls = [call for _, request in reading for call in request.calls]
            with self._store.ahead(names(calls)):
                for client, request in reading:
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

        If there is no space for one of them, or they are too many for the store, nothing of the
        group is written. That must not fail the others, so then each half is a group of its own.
        """
        try:
            return self._in_one_group(calls)
        except GroupFailed as fault:
            return [fault] * len(calls)
        except Fault as fault:
            if len(calls) == 1:
                return [fault]
        half = len(calls) // 2
        return [*self._commit(calls[:half]), *self._commit(calls[half:])]

    def _in_one_group(self, calls: Sequence[Call]) -> list[Outcome]:
        with self._store.ahead(names(calls)):
            while True:
                # At the end of the group all is on disk, or Fault is raised.
                with suppress(Overtaken), self._store.group():
                    return [call.outcome() for call in calls]


def names(calls: Iterable[Call]) -> list[str]:
    """Return the names whose values calls depend on."""
    return [name for call in calls for name in call.reads]


def open_store() -> Storage:
    """Open the store that the settings name; raises SettingError, or sqlite3.Error."""
    nodes = runtime.setting("WIRELAB_KV_ETCD", "", endpoints)
    return EtcdStore(nodes) if nodes else Store(database_file())


def database_file() -> Path:
    """Return the file that `WIRELAB_KV_FILE` names (default: kv.sqlite3 where it is started)."""
    return runtime.setting("WIRELAB_KV_FILE", "kv.sqlite3", Path)
