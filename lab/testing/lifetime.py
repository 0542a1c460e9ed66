"""A stack from nothing to healthy, and back to nothing, whatever happens in between."""

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import docker
from docker.errors import DockerException

from lab import LabError
from lab.compose import START_SECONDS, Project
from lab.compose import docker as docker_command


class NoEngine(LabError):
    """No engine answers here."""


def connect() -> docker.DockerClient:
    """Connect to the engine; raises NoEngine with the reason where that or Compose is missing."""
    if not shutil.which("docker"):
        raise NoEngine("no Docker engine: there is no command `docker`")
    host = os.environ.get("DOCKER_HOST")
    try:
        docker_command("compose", "version")
        docker_command("version")  # the SDK leaves a socket open where no engine answers
        return docker.from_env()
    except (LabError, DockerException) as error:
        where = f" at DOCKER_HOST={host}" if host else ""
        raise NoEngine(f"no Docker engine with Compose{where}: {error}") from None


@contextmanager
def running(stack: Project, seconds: float = START_SECONDS) -> Iterator[None]:
    """Build and start a stack; remove all of it at the end, also when the start fails."""
    bring_up(stack, seconds)
    try:
        yield
    finally:
        take_down(stack)


def bring_up(stack: Project, seconds: float = START_SECONDS) -> None:
    """Build and start a stack, until all is healthy.

    Raises LabError with states and logs where that fails, and then nothing of it is left.
    """
    clean_up_on_sigterm()
    try:
        stack.build()
        stack.start(seconds=seconds)
    except BaseException:
        with suppress(LabError):  # the first error is the one to show
            take_down(stack)
        raise


def take_down(stack: Project) -> None:
    """Remove all of a stack; raises LabError that names what is left of it all the same."""
    with undisturbed():
        reason = ""
        try:
            stack.remove()
        except LabError as error:
            reason = f"\n{error}"
        if left := stack.left():
            raise LabError(f"left of {stack.project}: {', '.join(left)}{reason}")


def clean_up_on_sigterm() -> None:
    """Have SIGTERM, with which CI systems end a run, do what Ctrl-C does, where it ends us only."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    if in_main_thread and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.default_int_handler)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Ignore Ctrl-C and SIGTERM: a second one would leave half of the containers."""
    if threading.current_thread() is not threading.main_thread():
        yield  # no other thread gets signals, or may say what becomes of them
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
