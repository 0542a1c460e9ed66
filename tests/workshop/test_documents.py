"""What workshop/README.md and workshop/TEACHING.md show: each command is there, and runs."""

import os
import re
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import ROOT
from lab.__main__ import parser
from lab.workshop.lesson import lesson, lessons
from tests.support.pace import until
from tests.support.processes import running
from tests.support.relay import ANY_PORTS
from tests.workshop.houses import NO_ENGINE, environment, lab

PAGES = ("README.md", "TEACHING.md")
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:[A-Z]+=\S+ )?make [^`]+)`")
MAKE = 'make() { command make -o any-venv -o venv "$@"; }\n'  # with the environment that is there


def blocks(page: str) -> list[list[str]]:
    """Return the blocks of shell of a page: its commands, without what is said about them."""
    text = (ROOT / "workshop" / page).read_text(encoding="utf-8")
    found = [re.sub(r"\s+#.*", "", block).splitlines() for block in BLOCK.findall(text)]
    return [[line for line in block if line] for block in found]


def test_a_lesson_takes_as_long_as_is_said() -> None:
    """Its section and the plans have the minutes of `make lessons`, and the README their range."""
    minutes = {each.number: each.minutes for each in lessons()}
    teaching, readme = (
        (ROOT / "workshop" / page).read_text(encoding="utf-8")
        for page in ("TEACHING.md", "README.md")
    )
    sections = re.findall(r"^## Lesson (\d+):.*\n\n.*\* (\d+) minutes", teaching, re.MULTILINE)
    assert {int(number): int(taken) for number, taken in sections} == minutes
    planned = re.findall(r"\b(\d+): (\d+)\b", teaching.split("| plan |")[1].split("\n\n")[0])
    assert {int(number): int(taken) for number, taken in planned} == {
        number: taken for number, taken in minutes.items() if number
    }
    assert f"Lesson 0 takes {minutes.pop(0)} minutes, and each other one" in readme
    assert f"each other one {min(minutes.values())} to {max(minutes.values())}:" in readme


def mentioned() -> list[str]:
    """Return all commands of make, those within sentences too."""
    texts = [(ROOT / "workshop" / page).read_text(encoding="utf-8") for page in PAGES]
    shown = [line for page in PAGES for block in blocks(page) for line in block]
    inline = [each for text in texts for each in INLINE.findall(text)]
    return sorted({each for each in (*shown, *inline) if "make " in each})


@pytest.mark.parametrize("command", mentioned())
def test_a_command_is_one_that_there_is(command: str) -> None:
    """Make has the task, and the lab the options that it passes on."""
    done = subprocess.run(
        ["bash", "-c", f"{MAKE}{command.replace('make ', 'make -n ')}"],
        cwd=ROOT, env=environment(PYTHON="python"), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *_, last = done.stdout.splitlines()
    if " -m lab " in last:
        parser().parse_args(shlex.split(last.partition(" -m lab ")[2]))


@pytest.fixture
def settings(house: Path) -> Iterator[dict[str, str]]:
    """Lend the settings of a lab of its own, without an engine, on any ports; end it."""
    found = {
        **NO_ENGINE,
        **ANY_PORTS,
        "WIRELAB_KV_CLASS_PORT": "0",
        "COMPOSE_PROJECT_NAME": f"wirelab-test-{secrets.token_hex(4)}",
    }
    yield found
    lab(house, "down", **found)


def run(command: str, house: Path, settings: dict[str, str]) -> str:
    """Run a line as printed, and return its output; one that goes on until its first lines."""
    log = house / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            ["bash", "-c", MAKE + command], cwd=house, env=environment(**settings),
            stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        if "WATCH=1" in command:
            until(log.read_text, "something is shown")
            os.killpg(process.pid, signal.SIGINT)
            process.wait(100)
        else:
            assert process.wait(100) == 0, log.read_text()
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        pytest.fail(f"{command} has not ended in 100 s:\n{log.read_text()}")
    finally:
        process.kill()
        process.wait()
    return log.read_text()


@pytest.mark.parametrize("page", PAGES)
def test_each_block_does_what_it_says(page: str, house: Path, settings: dict[str, str]) -> None:
    """As printed, but for addresses and a program, which are others here."""
    program = house / "my-server"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {lesson(1).solution}\n')
    program.chmod(0o755)
    with (
        running(["python", str(lesson(1).solution)]) as server,
        running(["gunicorn", "-c", "services/kv/gunicorn.conf.py"]) as store,
    ):
        for number in (1, 4):
            assert lab(house, "lesson", str(number)).returncode == 0
            file = house / "workshop/mine" / lesson(number).edit
            shutil.copyfile(lesson(number).solution, file)
        for block in blocks(page):
            told = dict(settings)
            for line in block:
                here = line.replace("192.0.2.7:20000", str(server.address))
                here = here.replace("192.0.2.7:15040", str(store.address))
                if here.startswith("export "):
                    told |= dict(each.split("=", 1) for each in shlex.split(here)[1:])
                    continue
                if here.startswith("MINE="):  # of the lesson that was looked at last
                    assert lab(house, "lesson", "4").returncode == 0
                run(here, house, told)
