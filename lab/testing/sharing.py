"""One stack for all processes of a run: whoever needs it first starts it, the last removes it.

pytest-xdist has a controller and workers. Each of them holds a shared lock (flock(2)) for as long
as it may use the stack; who can turn that into an exclusive one at its end is the last. The kernel
drops the lock of a process that is killed, and so no count can be wrong. The controller, which
leaves after its workers, removes what they could not. Without pytest-xdist there is one process.
"""

import fcntl
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab import LabError


class Sharing:
    """A process's part in a stack that is shared by all processes of the run named `run`."""

    def __init__(self, folder: Path, run: str) -> None:
        # Open from now on: pytest may remove the folder before the last process has left.
        self._users = (folder / f"stack-{run}.users").open("a")
        self._state = (folder / f"stack-{run}.json").open("a+")
        fcntl.flock(self._users, fcntl.LOCK_SH)

    def start(self, project: str, start: Callable[[str], None]) -> str:
        """Return the name of the project that runs; `start` it as `project` if none does.

        Others wait meanwhile. Raises LabError, in each process, where the start has failed.
        """
        fcntl.flock(self._state, fcntl.LOCK_EX)
        try:
            # It may be there and not started, where the process that began that has been killed.
            state = self._read() or {"project": project}
            if not state.get("started") and not state.get("error"):
                self._write(state)
                try:
                    start(state["project"])
                    state["started"] = True
                except LabError as error:
                    state["error"] = str(error)
                self._write(state)
        finally:
            fcntl.flock(self._state, fcntl.LOCK_UN)
        if "error" in state:
            raise LabError(state["error"])
        return str(state["project"])

    def leave(self, end: Callable[[str], None]) -> None:
        """Call `end` with the name of the project, if this process is the last one to use it."""
        try:
            fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass  # that has also dropped the shared lock
        else:
            state = self._read()
            self._state.truncate(0)
            if "project" in state and "error" not in state:
                end(state["project"])
        finally:
            self._users.close()
            self._state.close()

    def _read(self) -> dict[str, Any]:
        self._state.seek(0)
        text = self._state.read()
        return dict(json.loads(text)) if text else {}

    def _write(self, state: dict[str, Any]) -> None:
        self._state.truncate(0)
        self._state.write(json.dumps(state))
        self._state.flush()
