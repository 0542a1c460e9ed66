"""`MINE=tcp-echo make up`: the participant's server takes the place of ours.

In the stack that is an override of compose.yaml, made here: the image is ours, the command runs
their file, and workshop/mine is mounted for it, to be read. As a process it is another command.
Everything else stays, so the same clients ask it, and the same health check.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

from lab import LabError, authkey, engine
from lab.description import Service
from lab.local import Local
from lab.processes import LISTENING
from lab.workshop.language import language, say
from lab.workshop.lesson import Lesson, lessons
from lab.workshop.participant import MINE, own, short
from lab.workshop.progress import Progress

FOLDER = "/mine"  # of the container
MARK = "WIRELAB_MINE"  # in the environment of the server: when it is another, so is the server
MANY = 128  # processes, or threads: as many as a variant may have


@dataclass(frozen=True)
class Place:
    """Whose place a file takes."""

    service: str
    file: Path

    @property
    def digest(self) -> str:
        """What the file is now: after a change it is to be started anew."""
        return hashlib.sha256(self.file.read_bytes()).hexdigest()[:12]

    def among(self, services: list[Service]) -> list[Service]:
        """Return the servers of this machine, one of them being the participant's."""
        return [
            replace(
                each,
                command=["python", str(self.file)],
                environment={**each.environment, MARK: self.digest},
            )
            if each.name == self.service
            else each
            for each in services
        ]

    def override(self, services: list[Service]) -> Path:
        """Write what Compose reads beside compose.yaml, and return where that is."""
        (ours,) = (each for each in services if each.name == self.service)
        changed = {
            "command": ["python", f"{FOLDER}/{self.file.name}"],
            "environment": {"WIRELAB_PORT": str(ours.port.target), MARK: self.digest},
            "pids_limit": MANY,
            "volumes": [
                {
                    "type": "bind",
                    # Compose takes $ for a variable.
                    "source": str(self.file.parent).replace("$", "$$"),
                    "target": FOLDER,
                    "read_only": True,
                }
            ],
        }
        file = Local().folder / "mine.json"  # which is YAML too
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"services": {self.service: changed}}, indent=2) + "\n")
        return file

    @property
    def said(self) -> str:
        """What there is to say once it runs."""
        return say("mine_in_place", language(), service=self.service, file=short(self.file))

    def check_listening(self, log: str) -> None:
        """Raise LabError if its log says that it listens where only its own container gets."""
        found = LISTENING.findall(log)
        if found and found[-1].startswith(("127.", "localhost:", "[::1]:")):
            raise LabError(
                f"{short(self.file)} listens on {found[-1]}, which nobody outside of its container"
                " reaches: take the address from WIRELAB_HOST, as our files do"
            )

    def check_mounted(self) -> None:
        """Raise LabError if a container could not read the file."""
        if not engine.is_here():
            raise LabError(
                f"MINE has value {self.service!r}, and the engine is on another machine:"
                f" {short(MINE)} cannot be mounted there"
            )
        for path, mode in ((self.file.parent, "o+rx"), (self.file, "o+r")):
            status = path.stat()
            user = authkey.CONTAINER_USER
            if not authkey.readable_by(user, status):
                raise LabError(
                    f"{short(path)}: the user of the containers, {user}, may not read it:"
                    f" chmod {mode} {short(path)}"
                )


def place(service: str, number: int | None) -> Place | None:
    """Return whose place the file of a lesson takes; None where it is nobody's.

    Without a number it is the lesson that was looked at last, or else the latest of that service
    that the participant has a file of. Raises LabError for what no lesson makes a server of.
    """
    if not service:
        return None
    servers = [each for each in lessons() if each.role == "server"]
    if service not in (known := {each.service: None for each in servers}):
        raise LabError(
            f"MINE has value {service!r}. Not a service that a lesson writes: {' or '.join(known)}"
        )
    of_service = [each for each in servers if each.service == service]
    of = chosen(service, of_service, number)
    if not own(of).is_file():
        raise LabError(f"there is no {short(own(of))}: `make lesson N={of.number}` makes it")
    return Place(service, own(of))


def chosen(service: str, among: list[Lesson], number: int | None) -> Lesson:
    """Return the lesson whose file is meant."""
    wanted = Progress(MINE).current if number is None else number
    if found := next((each for each in among if each.number == wanted), None):
        return found
    if number is not None:
        numbers = ", ".join(str(each.number) for each in among)
        raise LabError(f"N has value {number}. Not a lesson that writes {service}: {numbers}")
    return next((each for each in reversed(among) if own(each).is_file()), among[0])
