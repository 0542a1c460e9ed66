"""A participant in a class: a pseudonym, and what they have reached, told to the class's kv.

That is all that leaves the machine, and only where WIRELAB_CLASS says where to. A check neither
fails nor waits for it: what could not be written is in the next record, which has all of it.
"""

import json
import os
import secrets
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from threading import Thread

from clients import class_results
from clients.addresses import Address
from lab import LabError
from lab.workshop.participant import MINE
from lab.workshop.progress import Progress
from lab.workshop.speaker import Speaker

SETTING = "WIRELAB_PSEUDONYM"
FILE = MINE / "class.json"
MOMENT = 1.0  # seconds that a record may take
ANIMALS = (
    "adder", "badger", "beaver", "bison", "buzzard", "crane", "curlew", "dolphin", "eagle", "egret",
    "falcon", "ferret", "finch", "gannet", "gecko", "hare", "heron", "ibex", "jackdaw", "kestrel",
    "lark", "lemur", "lynx", "magpie", "marten", "newt", "otter", "owl", "panda", "plover",
    "puffin", "raven", "robin", "seal", "stork", "swift", "tapir", "toad", "vole", "wren",
)  # fmt: skip


@dataclass
class Member:
    """What is kept in mine/: the pseudonym, and what was said about the class's server already."""

    pseudonym: str = ""
    told: str = ""  # the server that the results were said to go to
    away: bool = False  # it did not answer the last time

    def save(self) -> None:
        """Write it down."""
        FILE.parent.mkdir(parents=True, exist_ok=True)
        FILE.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")


def member() -> Member:
    """Return who the participant is in the class: as chosen, as before, or by a new pseudonym.

    Raises LabError for a chosen one that cannot be one.
    """
    found = Member()
    with suppress(OSError, ValueError, TypeError, AttributeError):  # what is broken is made anew
        kept = Member(**json.loads(FILE.read_text(encoding="utf-8")))
        class_results.pseudonym(kept.pseudonym)
        found = kept
    if chosen := os.environ.get(SETTING):
        try:
            found.pseudonym = class_results.pseudonym(chosen)
        except ValueError as error:
            raise LabError(f"{SETTING} has value {chosen!r}. Not {error}") from None
    found.pseudonym = found.pseudonym or made_up()
    return found


def made_up() -> str:
    """Return a pseudonym that says nothing of whose it is."""
    return f"{secrets.choice(ANIMALS)}-{100 + secrets.randbelow(900)}"


def server() -> Address | None:
    """Return where the class's kv is, or None; LabError for a WIRELAB_CLASS that is no such URL."""
    try:
        return class_results.server()
    except ValueError as error:
        raise LabError(str(error)) from None


def joined() -> tuple[Address, Member] | None:
    """Return the class's kv and who the participant is there, or None where there is no class."""
    return (where, member()) if (where := server()) else None


def tell(speaker: Speaker, where: Address, who: Member) -> None:
    """Tell the class what the participant has reached; say where that goes, and that it does not.

    Each is said once.
    """
    url = f"http://{where}"
    if not written(where, who.pseudonym, results(Progress(MINE))):
        if not who.away:
            speaker.line()
            speaker.say("class_away", "yellow", url=url)
        who.away = True
    else:
        if who.told != url:
            speaker.line()
            speaker.say("class_told", "dim", url=url, who=who.pseudonym)
        who.told, who.away = url, False
    who.save()


def results(progress: Progress) -> dict[int, class_results.Reached]:
    """Return what a record has of a participant's progress."""
    return {
        number: class_results.Reached(
            len(each.passed), each.of, each.failing, datetime.fromisoformat(each.since)
        )
        for number, each in progress.lessons.items()
        if each.of
    }


def written(where: Address, name: str, lessons: dict[int, class_results.Reached]) -> bool:
    """Write a record; return whether that was done within a moment, whatever is there."""
    done: list[bool] = []

    def write() -> None:
        with suppress(Exception):
            class_results.write(where, name, lessons, MOMENT)
            done.append(True)

    # To look up a name may take long, and a server that sends byte by byte never runs into the
    # timeout of the socket.
    thread = Thread(target=write, daemon=True)
    thread.start()
    thread.join(MOMENT)
    return bool(done)
