"""The store: one SQLite table, and an acknowledged write is on disk.

In WAL mode a commit appends to a log; `synchronous=FULL` has SQLite call fdatasync on the log
before COMMIT returns, where the default for WAL, NORMAL, leaves that to a later checkpoint and
loses what came after the last one when the machine loses power (sqlite.org/pragma.html).
"""

import sqlite3
import threading
from pathlib import Path

from services.kv.faults import Fault, Kind

SCHEMA = "CREATE TABLE IF NOT EXISTS entries (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT"
UPSERT = "INSERT INTO entries VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"


class Store:
    """Names and their values, both text, kept in a file.

    May be used from several threads, and the file by several processes. Raises Fault
    NO_SUCH_KEY, or STORAGE_FAILED where SQLite cannot write (a full disk, say).
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._database = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, timeout=5
        )
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.execute(SCHEMA)

    def get(self, name: str) -> str:
        """Return the value of `name`."""
        value = self._value(name)
        if value is None:
            raise Fault(Kind.NO_SUCH_KEY, repr(name))
        return value

    def exists(self, name: str) -> bool:
        """Whether `name` has a value."""
        return self._value(name) is not None

    def names(self) -> list[str]:
        """Return all names, in the order in which they were first set."""
        with self._lock:
            rows = self._database.execute("SELECT name FROM entries ORDER BY rowid").fetchall()
        return [name for (name,) in rows]

    def set(self, name: str, value: str) -> None:
        """Give `name` a value, in place of the one it may have."""
        self._write(UPSERT, (name, value))

    def delete(self, name: str) -> None:
        """Remove `name` and its value."""
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
        self._database.close()

    def _value(self, name: str) -> str | None:
        with self._lock:
            row: tuple[str] | None = self._database.execute(
                "SELECT value FROM entries WHERE name = ?", (name,)
            ).fetchone()
        return row[0] if row else None

    def _write(self, statement: str, parameters: tuple[str, ...]) -> int:
        """Carry out a statement that commits by itself; return how many rows it changed."""
        try:
            with self._lock:
                return self._database.execute(statement, parameters).rowcount
        except sqlite3.OperationalError as error:
            raise Fault(Kind.STORAGE_FAILED, str(error)) from error
