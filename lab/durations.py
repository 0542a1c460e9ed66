"""How long what takes a while took the last time, on this machine: build/durations, a file each.

The scripts keep theirs in the same place (scripts/common.sh).
"""

import re
from contextlib import suppress

from lab import ROOT

FOLDER = ROOT / "build" / "durations"


def last(what: str) -> int:
    """Return the seconds that `what` took the last time; 0 where that is not known."""
    with suppress(OSError, ValueError):
        return int((FOLDER / _name(what)).read_text())
    return 0


def remember(what: str, seconds: float) -> None:
    """Write down how long `what` took; where nothing can be written, nothing is remembered."""
    with suppress(OSError):
        FOLDER.mkdir(parents=True, exist_ok=True)
        (FOLDER / _name(what)).write_text(f"{seconds:.0f}\n")


def text(seconds: float) -> str:
    """Return a duration as it is shown: `7 s`, `1 min 30 s`."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def _name(what: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]", "-", what)
