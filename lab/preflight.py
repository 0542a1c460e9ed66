"""What `make up` would fail on, found before it changes anything; `make doctor` lists the same."""

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from clients.addresses import Address
from lab import ROOT, LabError, authkey, engine, files, ports, settings
from lab.console import say
from lab.description import Service, project
from lab.local import Local
from lab.stack import Stack

MIB = 1024 * 1024
FIRST_IMAGES = 1024 * MIB  # what the images take that the first start builds
FILES = MIB  # the key, what runs, the first lines of logs


class State(Enum):
    """What has been found."""

    THERE = "there"
    LATER = "not there, and `make up` copes"
    IGNORED = "there, and nothing comes of it"
    WRONG = "`make up` fails on it"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at, and what there is to say about it."""

    what: str
    state: State
    said: str


def require(checks: Iterable[Check]) -> None:
    """Raise LabError with all that is wrong; say what is ignored."""
    wrong: dict[str, None] = {}
    for check in checks:
        if check.state is State.WRONG:
            wrong[check.said] = None
        elif check.state is State.IGNORED:
            say(check.said)
    if wrong:  # each once: an address is wrong for many services
        raise LabError("\n".join(wrong))


def checks(
    services: list[Service], bindings: Mapping[str, Address], *, containers: bool
) -> Iterator[Check]:
    """Look at all that a start of `services` depends on; nothing is changed.

    `bindings` are those of this lab's servers that run.
    """
    yield from (Check("settings", State.IGNORED, said) for said in settings.mistyped())
    yield key(containers=containers)
    if containers:
        yield certificates()
    yield disk(containers=containers)
    if not containers:
        yield folder()
    yield from published(services, bindings, containers=containers)


def key(*, containers: bool) -> Check:
    """Check the file of the key."""
    file = authkey.path()
    if problem := authkey.problem(file, containers=containers):
        return Check("authkey", State.WRONG, problem)
    if not os.path.lexists(file):
        return Check("authkey", State.LATER, f"{file} is missing: make up makes it")
    return Check("authkey", State.THERE, str(file))


def certificates() -> Check:
    """Check what the builds of images are to trust."""
    try:
        bundle = settings.ca_bundle()
    except LabError as error:
        return Check("certificates", State.WRONG, str(error))
    if bundle:
        return Check("certificates", State.THERE, f"builds trust {bundle}")
    return Check("certificates", State.LATER, "none set: builds trust what the base image does")


def disk(*, containers: bool) -> Check:
    """Check that there is space for what a start writes."""
    written = [] if os.path.lexists(authkey.path()) else [authkey.path()]
    written += [] if containers else [Local().folder]
    for file in written:
        if (free := space(files.existing(file))) < FILES:
            return Check("disk", State.WRONG, f"no space left for {file}: {free // 1024} KiB free")
    if not containers:
        free = space(files.existing(Local().folder))
        return Check("disk", State.THERE, f"{free // MIB:,} MiB free for logs and the data of kv")
    where = engine.folder()
    if not where:
        return Check("disk", State.LATER, "of the engine's machine: not to be seen from here")
    free = space(where)
    if free < FIRST_IMAGES and Stack().missing_images():
        return Check(
            "disk",
            State.WRONG,
            f"no space left for the images: {free // MIB} MiB free in {where}, and the first"
            f" start needs {FIRST_IMAGES // MIB:,}. `docker system prune` removes what no"
            " container uses",
        )
    return Check("disk", State.THERE, f"{free // MIB:,} MiB free in {where}")


def space(folder: Path) -> int:
    """Return the bytes that are free for this user where a folder is."""
    return shutil.disk_usage(folder).free


def folder() -> Check:
    """Check that what runs can be written down."""
    here = files.existing(Local().folder)
    if os.access(here, os.W_OK | os.X_OK):
        return Check("folder", State.THERE, f"{ROOT / '.wirelab' / project()}")
    whose = files.user(here.stat().st_uid)
    return Check(
        "folder",
        State.WRONG,
        f"{here} cannot be written to; it belongs to {whose}. Local processes write their logs and"
        " what runs into .wirelab",
    )


def published(
    services: list[Service], bindings: Mapping[str, Address], *, containers: bool
) -> Iterator[Check]:
    """Check each port that is to be published."""
    problems = {}
    if not containers or engine.is_here():
        problems = ports.problems(services, bindings, containers=containers)
    for port in (port for service in services for port in service.ports):
        if problem := problems.get(port.setting):
            yield Check(port.server, State.WRONG, problem)
            continue
        leads = "" if port.speaks == port.server else f", for {port.speaks}"
        if used := bindings.get(port.setting):
            said = f"{used}/{port.protocol}{leads}, used by this lab"
        elif not port.published:
            said = f"any free port of {port.host}{leads}"
        else:
            said = f"{port}{leads} is free"
        yield Check(port.server, State.THERE, said)
