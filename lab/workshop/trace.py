"""The last traceback in a log, shortened to the participant's own file and line."""

import re
from pathlib import Path
from typing import NamedTuple

FRAME = re.compile(r'^ +File "(?P<file>[^"]+)", line (?P<line>\d+)')
ERROR = re.compile(r"^(?P<error>[A-Za-z_][\w.]*(Error|Exception|Interrupt)\b.*)$", re.MULTILINE)


class Trace(NamedTuple):
    """Where the participant's code was, and what it raised; `code` is that line."""

    file: str
    line: int
    code: str
    error: str


def trace(log: str, file: Path) -> Trace | None:
    """Return what the last traceback in a log says about a file, or None if there is none."""
    _, found, last = log.rpartition("Traceback (most recent call last)")
    if not found:
        # A SyntaxError has no such line.
        last = log
    if not (error := ERROR.search(last)):
        return None
    frames = [frame for frame in map(FRAME.match, last.splitlines()) if frame]
    own = [frame for frame in frames if Path(frame["file"]).name == file.name]
    if not own:
        return None
    number = int(own[-1]["line"])
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    code = lines[number - 1].strip() if number <= len(lines) else ""
    return Trace(file.name, number, code, error["error"])
