"""The engine: whether it answers, what it is asked, and the shell scripts that set it up."""

import os
import subprocess

from dotenv import dotenv_values

from lab import ROOT, SCRIPTS, LabError
from lab.compose import docker as docker

NONE_POSSIBLE = 3  # exit status of engine.sh: none answers, and none can be installed here


def set_up() -> int:
    """Set up an engine where none answers; return the exit status of engine.sh."""
    return script("engine.sh", "up")


def shut_down() -> int:
    """Stop the engine if it is one that the lab has started and nothing runs on it any more."""
    return script("engine.sh", "down")


def answers() -> bool:
    """Whether there is an engine, with Compose."""
    quiet = subprocess.DEVNULL
    command = [str(SCRIPTS / "engine.sh"), "check"]
    return subprocess.run(command, check=False, stdout=quiet, stderr=quiet).returncode == 0


def need() -> None:
    """Raise LabError where there is no engine; engine.sh says what is missing."""
    if script("engine.sh", "check"):
        raise LabError("nothing runs: `make up` starts the lab")


def script(name: str, *arguments: str) -> int:
    """Run a shell script of scripts/ on this terminal; return its exit status."""
    return subprocess.run([str(SCRIPTS / name), *arguments], check=False).returncode


def base_image() -> str:
    """Return the name of the Python image to build from, made here where there is none."""
    done = subprocess.run(
        [str(SCRIPTS / "base_image.sh")],
        env={**{k: v or "" for k, v in dotenv_values(ROOT / ".env").items()}, **os.environ},
        check=False,
        text=True,
        stdout=subprocess.PIPE,
    )
    if done.returncode:
        raise LabError("there is no Python image to build from")
    return done.stdout.strip()
