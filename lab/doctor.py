"""What `make doctor` says once there is a .venv: the settings, the engine's part, the servers.

What is wrong here is what `make up` refuses: both ask preflight.py. Nothing is changed.
"""

import os
import shutil
import sys
import textwrap
from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape

from clients import class_results
from lab import LabError, engine, settings
from lab.description import project, services
from lab.local import Local
from lab.preflight import Check, State, checks
from lab.running import old_key
from lab.stack import Stack
from services import host_names
from services.runtime import SettingError, setting
from services.tcp_echo.transform import transform_from_settings

EN_DASH = "\N{EN DASH}"
MARKS = {
    State.THERE: "[green]✓[/]",
    State.LATER: f"[yellow]{EN_DASH}[/]",
    State.IGNORED: f"[yellow]{EN_DASH}[/]",
    State.WRONG: "[red]✗[/]",
}
COLUMN = 16  # where a row's text begins


def doctor() -> int:
    """Print a row for everything that there is or should be; return 1 if something is wrong."""
    problem = ""
    try:
        settings.load()
    except LabError as error:
        problem = str(error)
    wrong = engine.script("doctor.sh", "machine") != 0
    try:
        for check in found(problem):
            say(check)
            wrong |= check.state is State.WRONG
    except LabError as error:
        say(Check("settings", State.WRONG, str(error)))
        wrong = True
    if wrong:
        print("\nmake up would fail on what is marked ✗")
    else:
        print(f"\nmake up can start the lab, and copes with what is marked {EN_DASH}")
    return int(wrong)


def say(check: Check) -> None:
    """Print a row, on a terminal as wide as that."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 10_000
    lines = [
        line
        for part in check.said.splitlines()
        for line in textwrap.wrap(
            part, max(width - COLUMN, 20), break_long_words=False, break_on_hyphens=False
        )
    ]
    text = f"\n{' ' * COLUMN}".join(lines)
    row = f"{MARKS[check.state]} {check.what:{COLUMN - 4}}  {escape(text)}"
    Console(highlight=False).print(row, soft_wrap=True)


def found(problem: str) -> Iterator[Check]:
    """Yield all checks; raises LabError for settings that say nothing, with `problem` at once."""
    if problem:
        raise LabError(problem)
    name, wanted, local = project(), services(), Local()
    yield from read_by_servers()
    here = engine.answers()
    if strays := local.strays():
        ids = ", ".join(map(str, strays))
        said = f"processes {ids} are servers that it knows nothing of: make up stops them"
        yield Check("lab", State.LATER, f"{name}: {said}")
    running = list(local.running())
    if running or not (here or may_be_set_up()):
        yield lab(name, running, "local processes", local.with_old_key())
        yield from checks(wanted, local.bindings(), containers=False)
        return
    stack = Stack()
    if not here:
        yield lab(name, [], "containers", [])
        yield from checks(wanted, {}, containers=True)
        return
    stack.check_own()
    missing = stack.missing_images()
    said = f"{', '.join(missing)} missing: make up builds them" if missing else "all there"
    yield Check("images", State.LATER if missing else State.THERE, said)
    yield lab(name, stack.running(), "containers", stack.with_old_key())
    yield from checks(wanted, stack.bindings(), containers=True)


def read_by_servers() -> Iterator[Check]:
    """Check what servers read for themselves: with a wrong one `make up` shows what they log."""

    def hosts() -> frozenset[str]:
        return setting("WIRELAB_HOSTS", "", host_names.parse)

    for read in (transform_from_settings, hosts, class_results.server):
        try:
            read()
        except (SettingError, ValueError) as error:
            yield Check("settings", State.WRONG, str(error))


def may_be_set_up() -> bool:
    """Whether `make up` would set up an engine where none answers, as engine.sh does."""
    return not os.environ.get("DOCKER_HOST") and os.geteuid() == 0 and bool(shutil.which("apt-get"))


def lab(name: str, running: list[str], how: str, with_old_key: list[str]) -> Check:
    """Say which of the servers run, and which of them with another key."""
    missing = [service.name for service in services() if service.name not in running]
    if not running:
        return Check("lab", State.LATER, f"{name} does not run: make up starts it")
    if with_old_key:
        return Check("lab", State.LATER, f"{name}: {old_key(with_old_key)}")
    if missing:
        return Check(
            "lab", State.LATER, f"{name}: {', '.join(missing)} does not run, see make logs"
        )
    return Check("lab", State.THERE, f"{name}: all of its servers run as {how}")
