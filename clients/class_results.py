"""What a class has reached in the workshop: a record in kv for each person, under a pseudonym.

    class/otter-31 -> {"1": {"passed": 4, "of": 4, "failing": "", "since": 20261126T10:05:00},
                       "2": {"passed": 1, "of": 5, "failing": "2.2", "since": 20261126T10:31:12}}

By lesson: how many checks pass and how many there are, which one fails ("": none), and since when
that is so, in UTC and by the clock of the person's machine. A record is all that a person has
reached, so the next one also says what could not be written meanwhile.

Everybody in the room can write anything there. What is read is bounded, and none of it is shown
but numbers, ids of checks, times, and names of letters, digits and hyphens.
"""

import os
import re
import unicodedata
import xmlrpc.client
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from clients import kv
from clients.addresses import Address
from clients.checks import WrongAnswer
from services import addresses

SETTING = "WIRELAB_CLASS"
PREFIX = "class/"
MAX_PEOPLE = 100
MAX_LESSONS = 30
MAX_CHECKS = 99
MAX_PSEUDONYM = 24  # characters
LESSON = re.compile(r"[0-9]{1,2}", re.ASCII)
CHECK = re.compile(r"([0-9]{1,2}\.[0-9]{1,2})?", re.ASCII)


@dataclass(frozen=True)
class Reached:
    """In one lesson: how many of its checks pass, which one fails (or ""), since when (in UTC)."""

    passed: int
    of: int
    failing: str
    since: datetime

    @property
    def done(self) -> bool:
        """Whether all checks pass."""
        return self.passed == self.of and not self.failing


@dataclass(frozen=True)
class Class:
    """What each person has reached, by pseudonym and lesson, in the order in which they came.

    `ignored` counts the records that are none, or too many.
    """

    people: Mapping[str, Mapping[int, Reached]]
    ignored: int = 0


def server(environ: Mapping[str, str] = os.environ) -> Address | None:
    """Return where the class's kv is, or None if none is set; ValueError for another value."""
    if not (value := environ.get(SETTING, "")):
        return None
    try:
        if not (found := re.fullmatch(r"http://([^/]+)/?", value)):
            raise ValueError("a URL, such as http://192.0.2.7:15040")
        return Address(*addresses.split(found[1]))
    except ValueError as error:
        raise ValueError(f"{SETTING} has value {value!r}. Not {error}") from None


def pseudonym(text: str) -> str:
    """Return a name for a record; ValueError with a text that completes "Not ..."."""
    name = unicodedata.normalize("NFC", text)
    letters = name.replace("-", "")
    if not (0 < len(name) <= MAX_PSEUDONYM and letters.isalnum()):
        raise ValueError(f"a name of up to {MAX_PSEUDONYM} letters, digits and hyphens")
    return name


def write(
    address: Address, name: str, lessons: Mapping[int, Reached], timeout: float = 1.0
) -> None:
    """Write what a person has reached, in the place of what was there.

    ValueError for a name that is no pseudonym; otherwise raises what `kv.proxy` does. No operation
    of the socket takes longer than `timeout` seconds.
    """
    record = {
        str(number): {
            "passed": each.passed,
            "of": each.of,
            "failing": each.failing,
            # dateTime.iso8601 has neither a zone nor fractions of a second.
            "since": each.since.astimezone(UTC).replace(tzinfo=None, microsecond=0),
        }
        for number, each in lessons.items()
    }
    with kv.proxy(address, timeout) as store:
        store.set(PREFIX + pseudonym(name), record)


def read(address: Address, timeout: float = 5.0) -> Class:
    """Return what all have reached; raises what `kv.proxy` does."""
    people: dict[str, Mapping[int, Reached]] = {}
    with kv.proxy(address, timeout) as store:
        names: Any = store.keys()
        if not isinstance(names, list):
            raise WrongAnswer(f"the store has answered keys() by a {type(names).__name__}")
        records = [name for name in names if isinstance(name, str) and name.startswith(PREFIX)]
        for name in filter(is_pseudonym, (name.removeprefix(PREFIX) for name in records)):
            if len(people) == MAX_PEOPLE:
                break
            if (reached := decoded(value(store, PREFIX + name))) is not None:
                people[name] = reached
    return Class(people, len(records) - len(people))


def is_pseudonym(name: str) -> bool:
    """Whether a record may have this name."""
    try:
        return pseudonym(name) == name
    except ValueError:
        return False


def value(store: xmlrpc.client.ServerProxy, name: str) -> Any:
    """Return the value of a name; None if it has been deleted meanwhile."""
    try:
        return kv.plain(store.get(name))
    except xmlrpc.client.Fault as fault:
        if fault.faultCode != kv.NO_SUCH_KEY:
            raise
        return None


def decoded(record: Any) -> dict[int, Reached] | None:
    """Return what a record says, or None if it is not what `write` writes."""
    if not isinstance(record, dict) or len(record) > MAX_LESSONS:
        return None
    found = {}
    for number, said in record.items():
        match said:
            case {"passed": int(passed), "of": int(of), "failing": str(failing),
                  "since": datetime() as since} if (
                LESSON.fullmatch(number)
                and 0 <= passed <= of <= MAX_CHECKS
                and CHECK.fullmatch(failing)
                and since.tzinfo is None
            ):  # fmt: skip
                found[int(number)] = Reached(
                    int(passed), int(of), failing, since.replace(tzinfo=UTC)
                )
            case _:
                return None
    return found
