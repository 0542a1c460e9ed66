"""What a participant has reached: progress.json in mine/."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lab import LabError

FAILURES_FOR_A_HINT = 2


@dataclass
class Reached:
    """Of one lesson: what has passed, how often a check has failed, how many hints were shown."""

    passed: list[str] = field(default_factory=list)
    done: bool = False
    by_us: bool = False  # `make catch-up` has left it out
    of: int = 0  # checks that there are; 0 until they are run
    failing: str = ""  # the check that failed last
    since: str = ""  # when that was found first, or that none fails: ISO 8601, in UTC
    failures: dict[str, int] = field(default_factory=dict)
    hints: dict[str, int] = field(default_factory=dict)
    seen: str = ""  # a digest of the file as it was checked last


class Progress:
    """The file, as it is now; each change is written at once and in one piece."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "progress.json"
        self.current: int | None = None
        self.lessons: dict[int, Reached] = {}
        if not self._file.exists():
            return
        try:
            document = json.loads(self._file.read_text(encoding="utf-8"))
            self.current = None if document["current"] is None else int(document["current"])
            self.lessons = {
                int(number): Reached(**reached) for number, reached in document["lessons"].items()
            }
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise LabError(
                f"{self._file}: not what was written there ({error!r})."
                f" Remove the file, and the progress begins anew"
            ) from None

    def of(self, lesson: int) -> Reached:
        """Return what is reached in a lesson."""
        return self.lessons.setdefault(lesson, Reached())

    def checked(self, lesson: int, passed: list[str], count: int, failing: str) -> None:
        """Note which of so many checks pass, and which one fails ("": none)."""
        reached = self.of(lesson)
        if failing != reached.failing or not reached.since:
            reached.since = datetime.now(UTC).isoformat(timespec="seconds")
        reached.passed, reached.of, reached.failing = passed, count, failing
        reached.done = reached.done or not failing

    def failed(self, lesson: int, check: str, content: bytes) -> bool:
        """Count a failure, once for each content of the file; return whether a hint is due."""
        reached = self.of(lesson)
        digest = hashlib.sha256(content).hexdigest()
        if reached.seen == digest:
            return False
        reached.seen = digest
        reached.failures[check] = reached.failures.get(check, 0) + 1
        return reached.failures[check] % FAILURES_FOR_A_HINT == 0

    def next_hint(self, lesson: int, check: str, most: int) -> int:
        """Return the number of the next hint, from 1; the last one comes again."""
        hints = self.of(lesson).hints
        hints[check] = min(hints.get(check, 0) + 1, most)
        return hints[check]

    def save(self) -> None:
        """Write it down."""
        document: dict[str, Any] = {
            "current": self.current,
            "lessons": {number: asdict(each) for number, each in sorted(self.lessons.items())},
        }
        self._file.parent.mkdir(parents=True, exist_ok=True)
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        new.replace(self._file)
