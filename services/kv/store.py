"""The store: one SQLite table, and an acknowledged write is on disk.

In WAL mode a commit appends to a log; `synchronous=FULL` has SQLite call fdatasync on the log
before COMMIT returns, where the default for WAL, NORMAL, leaves that to a later checkpoint and
loses what came after the last one when the machine loses power (sqlite.org/pragma.html).

A write mostly waits for the disk. Writes that arrive at the same time share that wait if they share
the transaction, a group commit: sixteen of them wait for one fdatasync, instead of each for its own
and for those in front of it.
"""

import math
import sqlite3
from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path

from services.kv.faults import Fault, Kind
from services.kv.storage import MARKUP, GroupFailed

BUSY_SECONDS = 5  # how long a write waits for another process that is writing
SCHEMA = "CREATE TABLE IF NOT EXISTS entries (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT"
UPSERT = "INSERT INTO entries VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"


class Store:
    """Names and their values, both text, in a file: a services.kv.storage.Storage.

    To be used from one thread; the file may be used by several processes. Raises Fault
    NO_SUCH_KEY, or STORAGE_FAILED where SQLite cannot write (a full disk, say).

    A write outside a group is on disk when it returns, a write in a group when the group ends.
    Reads have a separate connection, so they see only what is committed, and not what a group has
    written and may still fail to commit. Only a read in a group sees that.
    """

    def __init__(self, path: Path) -> None:
        self._writer = connect(path)
        self._writer.execute(SCHEMA)
        # A killed process may have left a commit that is written and not synced. It would be read,
        # and SQLite would not sync it when the same value is written again. A checkpoint syncs, and
        # it does so before it finds that the disk is full.
        try:
            self._writer.execute("PRAGMA wal_checkpoint")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
                raise
        self._reader = connect(path)
        self._lister = connect(path)
        self._failure = ""  # why the current group has failed

    def ahead(self, _names: Sequence[str]) -> AbstractContextManager[None]:
        """Do nothing: what is in the file is at hand."""
        return nullcontext()

    def get(self, name: str) -> str:
        """Return the value of `name`."""
        value = self._value(name)
        if value is None:
            raise Fault(Kind.NO_SUCH_KEY, repr(name))
        return value

    def exists(self, name: str) -> bool:
        """Whether `name` has a value."""
        return self._value(name) is not None

    def names(self, most: float = math.inf) -> list[str]:
        """Return all names, in the order in which they were first set.

        Raises Fault TOO_LARGE if they have more than about `most` characters as XML.
        """
        found = []
        with closing(names(self._connection)) as all_names:
            for name in all_names:
                if (most := most - len(name) - MARKUP) < 0:
                    raise Fault(Kind.TOO_LARGE, "there are too many names")
                found.append(name)
        return found

    def names_meanwhile(self) -> Generator[str, None, None]:
        """Yield all names of one moment, while others are written; to be used by one at a time.

        On a connection of its own: what a connection reads is of the moment when its oldest read
        began that has not ended (sqlite.org/isolation.html).
        """
        yield from names(self._lister)

    @contextmanager
    def group(self) -> Iterator[None]:
        """Commit the writes within together: all of them are on disk once this has ended.

        Each write sees those before it in the group. Raises STORAGE_FAILED if the group cannot
        begin or commit, or if one of its writes has failed: then none of them was written, whatever
        they returned. (When the disk is full, SQLite rolls back the whole transaction, and not only
        the statement that failed: sqlite.org/lang_transaction.html.)
        """
        try:
            self._writer.execute("BEGIN IMMEDIATE")  # waits for other processes here, and not later
        except sqlite3.DatabaseError as error:
            raise GroupFailed(Kind.STORAGE_FAILED, str(error)) from error
        try:
            try:
                yield
                if self._failure:
                    raise Fault(Kind.STORAGE_FAILED, self._failure)
                self._writer.execute("COMMIT")
            finally:
                self._failure = ""
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
        except sqlite3.DatabaseError as error:
            raise Fault(Kind.STORAGE_FAILED, str(error)) from error

    def set(self, name: str, value: str) -> None:
        """Set the value of `name`."""
        self._write(UPSERT, (name, value))

    def delete(self, name: str) -> None:
        """Delete `name` and its value."""
        if not self._write("DELETE FROM entries WHERE name = ?", (name,)):
            raise Fault(Kind.NO_SUCH_KEY, repr(name))

    def compare_and_set(self, name: str, expected: str, value: str, absent: str) -> bool:
        """Set `name` to `value` if its value is `expected`, and return whether it was.

        A name without a value counts as having the value `absent`. One statement does both, so
        nothing can come between the comparison and the write.
        """
        if expected == absent:
            statement = UPSERT + " WHERE value = ?"
            return self._write(statement, (name, value, expected)) == 1
        statement = "UPDATE entries SET value = ? WHERE name = ? AND value = ?"
        return self._write(statement, (value, name, expected)) == 1

    def close(self) -> None:
        """Close the file."""
        for connection in (self._lister, self._reader, self._writer):
            connection.close()

    @property
    def _connection(self) -> sqlite3.Connection:
        """The connection that reads."""
        return self._writer if self._writer.in_transaction else self._reader

    def _value(self, name: str) -> str | None:
        row: tuple[str] | None = self._connection.execute(
            "SELECT value FROM entries WHERE name = ?", (name,)
        ).fetchone()
        return row[0] if row else None

    def _write(self, statement: str, parameters: tuple[str, ...]) -> int:
        """Execute a statement and return how many rows it changed."""
        if self._failure:  # the transaction is over, and this would be committed by itself
            raise Fault(Kind.STORAGE_FAILED, self._failure)
        grouped = self._writer.in_transaction
        try:
            return self._writer.execute(statement, parameters).rowcount
        except sqlite3.DatabaseError as error:
            if grouped:
                self._failure = str(error)
            raise Fault(Kind.STORAGE_FAILED, str(error)) from error


def names(connection: sqlite3.Connection) -> Generator[str, None, None]:
    """Yield all names, oldest first; once it is closed, the connection has ended the read."""
    with closing(connection.execute("SELECT name FROM entries ORDER BY rowid")) as rows:
        for (name,) in rows:
            yield name


def connect(path: Path) -> sqlite3.Connection:
    """Open the file so that what is committed is on disk."""
    database = sqlite3.connect(path, isolation_level=None, timeout=BUSY_SECONDS)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    return database
