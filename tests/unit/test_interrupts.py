"""Commands that the lab runs, and what a signal does to them."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from lab import ROOT, interrupts
from tests.support.pace import FAR, until
from tests.support.processes import beside

INTERRUPTED = """
from lab import interrupts
{install}
command = ["sh", "-c", {script!r}]
try:
    interrupts.{call}, cwd={folder!r})
except KeyboardInterrupt:
    print("interrupted")
"""
INSTALL = "interrupts.install()"


@pytest.mark.parametrize(
    ("install", "number"),
    [
        pytest.param(INSTALL, signal.SIGINT, id="Ctrl-C"),
        pytest.param(INSTALL, signal.SIGTERM, id="SIGTERM"),
        pytest.param(INSTALL, signal.SIGHUP, id="SIGHUP"),
        pytest.param("", signal.SIGINT, id="Ctrl-C in pytest"),
    ],
)
@pytest.mark.parametrize("call", ["run(command, capture=True", "follow(command, print"])
def test_an_interrupted_command_ends_with_its_children(
    tmp_path: Path, call: str, install: str, number: int
) -> None:
    """As `docker` has Compose for one, which would go on starting containers beside a clean-up."""
    interrupt(tmp_path, "sleep 600 & echo $! > new; mv new pid; wait", number, install, call)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_command_in_the_terminal_is_ended(tmp_path: Path, number: int) -> None:
    """What has not reached it from there is passed on; a Ctrl-C has, as to all of its group."""
    interrupt(tmp_path, "echo $$ > new; mv new pid; exec sleep 600", number, INSTALL, "run(command")


IN_POPEN = """
import os
from pathlib import Path
from lab import interrupts
{install}
def begin(): # the child, before it executes the command: the parent waits for that
    Path("pid").write_text(str(os.getpid()))
    os.kill(os.getppid(), {number})
try:
    interrupts.run(["sleep", "600"], cwd={folder!r}, capture=True, preexec_fn=begin)
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize(
    ("install", "number"),
    [
        pytest.param(INSTALL, signal.SIGINT, id="Ctrl-C"),
        pytest.param(INSTALL, signal.SIGTERM, id="SIGTERM"),
        pytest.param("", signal.SIGINT, id="Ctrl-C in pytest"),
    ],
)
def test_a_command_that_is_interrupted_while_it_starts_is_ended(
    tmp_path: Path, install: str, number: int
) -> None:
    """Nobody else knows of it: the child is there, and Popen() has not returned."""
    code = IN_POPEN.format(install=install, number=int(number), folder=str(tmp_path))
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code]
    done = subprocess.run(
        command, cwd=ROOT, check=False, stdout=subprocess.PIPE, text=True, timeout=FAR
    )
    assert done.stdout == "interrupted\n"
    until(lambda: ended(int((tmp_path / "pid").read_text())), "the command has ended")


def interrupt(folder: Path, script: str, number: int, install: str, call: str) -> None:
    """Have a script run, send a signal to whoever waits for it, and wait for its process `pid`."""
    code = INTERRUPTED.format(install=install, call=call, script=script, folder=str(folder))
    file = folder / "pid"
    with beside(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        until(file.exists, "the command runs")
        process.send_signal(number)
        said, _ = process.communicate(timeout=FAR)
    assert said == "interrupted\n"
    until(lambda: ended(int(file.read_text())), "the command has ended")


def ended(process: int) -> bool:
    """Whether a process has; the parent that it has now may not have noticed."""
    try:
        return psutil.Process(process).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_lines_are_passed_on_as_they_come() -> None:
    """Those of both outputs; all of them are in the outcome, with the exit status."""
    lines: list[str] = []
    command = ["sh", "-c", "echo one; echo two >&2; exit 3"]
    done = interrupts.follow(command, lines.append)
    assert (lines, done.stdout, done.returncode) == (["one", "two"], "one\ntwo\n", 3)
