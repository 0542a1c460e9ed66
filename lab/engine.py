"""The engine: whether it answers, what it is asked, and the shell scripts that set it up."""

import os
import subprocess
from pathlib import Path

from lab import ROOT, SCRIPTS, LabError, interrupts, reasons, settings

# What the shell may set for other calls of Docker: how they build, show progress, pick files.
FOR_OTHERS = ("BUILDKIT_", "BUILDX_", "COMPOSE_", "DOCKER_")
# Which engine is meant, and how to reach it. scripts/environment.sh has the same list.
WHICH_ENGINE = {
    "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_AUTH_CONFIG", "DOCKER_API_VERSION",
    "DOCKER_TLS", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_CUSTOM_HEADERS",
}  # fmt: skip
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
    command = ["bash", str(SCRIPTS / "engine.sh"), "check"]
    return subprocess.run(command, check=False, stdout=quiet, stderr=quiet).returncode == 0


def has_image(name: str) -> bool:
    """Whether the engine has an image of that name."""
    return bool(docker("images", "--quiet", name).strip())


def need() -> None:
    """Raise LabError where there is no engine; engine.sh says what is missing."""
    if script("engine.sh", "check"):
        raise LabError("nothing runs: `make up` starts the lab")


def environment() -> dict[str, str]:
    """Return the environment for `docker`: whatever the shell sets, our calls mean the same."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(FOR_OTHERS) or name in WHICH_ENGINE
    }
    # Another builder than the engine's own does not have the engine's images.
    return {**kept, "DOCKER_BUILDKIT": "1", "BUILDX_BUILDER": "default"}


def docker(*arguments: str, host: str = "") -> str:
    """Run `docker` and return its output; raises LabError with what it said when it fails.

    `host` is an engine, as in DOCKER_HOST, if another one is meant than `docker` uses by itself.
    """
    done = run_docker(*arguments, host=host)
    if done.returncode:
        raise LabError(f"docker {arguments[0]} failed:\n{reasons.explained(done.stderr)}")
    return done.stdout


def run_docker(*arguments: str, host: str = "") -> "subprocess.CompletedProcess[str]":
    """Run `docker` as `docker()` does, and return the outcome, whatever it is."""
    command = ["docker", *(["--host", host] if host else []), *arguments]
    try:
        return interrupts.run(command, capture=True, env=environment())
    except FileNotFoundError:
        raise LabError("the docker command is missing") from None


def folder() -> Path | None:
    """Return the folder that the engine keeps its images in, or None if it is not of this machine.

    One that no engine answers for is where it would be.
    """
    if not is_here():
        return None
    try:
        found = Path(docker("info", "--format", "{{.DockerRootDir}}").strip())
    except LabError:
        found = Path("/var/lib/docker")
    return found if found.is_dir() else Path("/")


def is_here() -> bool:
    """Whether the engine that is meant is one of this machine."""
    try:
        found = docker("context", "inspect", "--format", "{{.Endpoints.docker.Host}}").strip()
    except LabError:
        found = os.environ.get("DOCKER_HOST", "unix:")
    return found.startswith(("unix:", "npipe:", "tcp://127.", "tcp://localhost:"))


def script(name: str, *arguments: str) -> int:
    """Run a shell script of scripts/ on this terminal; return its exit status."""
    return interrupts.run(["bash", str(SCRIPTS / name), *arguments]).returncode


def base_image() -> str:
    """Return the name of the Python image to build from, made here where there is none."""
    if name := printed_by("base_image.sh"):
        return name
    raise LabError("there is no Python image to build from")


def tool_image(what: str) -> str:
    """Return the name of the image with some tools (tool_image.sh), built here if there is none."""
    if name := printed_by("tool_image.sh", what):
        return name
    raise LabError(f"there is no image with the tools of {what!r}")


def printed_by(name: str, *arguments: str) -> str:
    """Run a shell script of scripts/ and return what it prints, or nothing if it fails."""
    done = interrupts.run(
        ["bash", str(SCRIPTS / name), *arguments],
        env={**settings.read(ROOT / ".env"), **os.environ},
        stdout=subprocess.PIPE,
    )
    return "" if done.returncode else str(done.stdout.strip())
