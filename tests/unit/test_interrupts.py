"""Commands that the lab runs, and what a signal does to them."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from lab import ROOT, interrupts
from tests.support.pace import FAR, until

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


# A signal that comes when the command has been started, and nobody waits for it yet.
AT_ONCE = """
import os, signal, subprocess

class Started(subprocess.Popen):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        os.kill(os.getpid(), signal.SIGTERM)

interrupts.subprocess.Popen = Started
"""


@pytest.mark.parametrize("call", ["run(command, capture=True", "follow(command, print"])
def test_a_command_that_has_just_been_started_is_ended_too(tmp_path: Path, call: str) -> None:
    """Else it would run on, and nobody would know of it."""
    code = INTERRUPTED.format(
        install=INSTALL + AT_ONCE, call=call, script="exec sleep 600", folder=str(tmp_path)
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=FAR,
        check=False,
    )  # fmt: skip
    assert done.stdout == "interrupted\n"
    left = [each for each in psutil.process_iter(["cwd"]) if each.info["cwd"] == str(tmp_path)]
    for each in left:
        each.kill()
    assert left == []


def interrupt(folder: Path, script: str, number: int, install: str, call: str) -> None:
    """Have a script run, send a signal to whoever waits for it, and wait for its process `pid`."""
    code = INTERRUPTED.format(install=install, call=call, script=script, folder=str(folder))
    file = folder / "pid"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        until(file.exists, "the command runs")
        waiting = psutil.Process(process.pid)
        until(lambda: waiting.status() == psutil.STATUS_SLEEPING, "it is waited for")
        process.send_signal(number)
        try:
            said, _ = process.communicate(timeout=FAR)
        finally:
            process.kill()
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
