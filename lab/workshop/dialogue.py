"""A program that is asked by lines and answers each of them by one, as long as a check likes."""

import os
import select
import subprocess
import time
from contextlib import suppress

from lab.workshop.client import Failed


class Dialogue:
    """The standard input and output of a process."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self._unread = b""

    def ask(self, line: str, seconds: float) -> str:
        """Send a line, and return the one that the program says then.

        Raises Failed("silent") if it says none in so many seconds, and "client_ended" if it ends.
        """
        asked, answers = self._process.stdin, self._process.stdout
        assert asked  # noqa: S101 - Popen was told to make both
        assert answers  # noqa: S101
        with suppress(BrokenPipeError):  # then it has ended, which is noticed below
            asked.write(f"{line}\n".encode())
            asked.flush()
        deadline = time.monotonic() + seconds
        while b"\n" not in self._unread:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([answers], [], [], left)[0]:
                raise Failed("silent", asked=line, seconds=seconds)
            said = os.read(answers.fileno(), 64 * 1024)
            if not said:
                raise Failed("client_ended", status=self._process.wait(seconds))
            self._unread += said
        answer, _, self._unread = self._unread.partition(b"\n")
        return answer.decode(errors="replace").strip()
