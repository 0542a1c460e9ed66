"""The texts of the lessons, and their digests: that one language has changed alone is noticed.

`python -m tests.workshop.texts` writes the digests, of lessons of which both texts have changed.
"""

import hashlib
import sys
from pathlib import Path

from lab.workshop.language import LANGUAGES
from lab.workshop.lesson import Lesson, lessons

DIGESTS = "texts.sha256"  # as sha256sum(1) writes and checks it


def digests(lesson: Lesson) -> dict[str, str]:
    """Return the digests of a lesson's texts as they are."""
    names = [f"{language}.md" for language in LANGUAGES]
    texts = {name: (lesson.folder / name).read_bytes() for name in names}
    return {name: hashlib.sha256(text).hexdigest() for name, text in texts.items()}


def recorded(lesson: Lesson) -> dict[str, str]:
    """Return the digests of a lesson's texts as they were when both said the same."""
    file = lesson.folder / DIGESTS
    lines = file.read_text().splitlines() if file.exists() else []
    return {name: digest for digest, name in (line.split("  ") for line in lines)}


def changed(lesson: Lesson) -> list[str]:
    """Return the texts that have changed since."""
    before = recorded(lesson)
    return [name for name, digest in digests(lesson).items() if before.get(name) != digest]


def main() -> int:
    """Record the digests; return 1 if a text has changed alone."""
    status = 0
    for lesson in lessons():
        match changed(lesson):
            case []:
                continue
            case [name] if "--same-meaning" not in sys.argv:
                print(f"{lesson.folder / name} has changed alone: change the other one too, or,")
                print("if its meaning is the same (a typing error), add --same-meaning")
                status = 1
            case _:
                write(lesson.folder / DIGESTS, digests(lesson))
    return status


def write(file: Path, found: dict[str, str]) -> None:
    """Write digests as sha256sum(1) does."""
    file.write_text("".join(f"{digest}  {name}\n" for name, digest in found.items()))


if __name__ == "__main__":
    sys.exit(main())
