"""A service of a stack that runs: where it is, what it says, and what can happen to it."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from operator import methodcaller
from typing import Any, NamedTuple, cast

import docker
from docker.errors import APIError, NotFound
from docker.models.containers import Container
from docker.models.networks import Network

from clients.addresses import Address
from lab import LabError
from lab.compose import PROJECT_LABEL, START_SECONDS, Project

# pytest shows the line of the test that is wrong, and not those in here that say so.
__tracebackhide__ = methodcaller("errisinstance", LabError)

PAUSES = 3  # times that a container is tried to be paused
EVERY = 0.2  # seconds: an engine that is asked all the time takes longer to start anything


class Outcome(NamedTuple):
    """What a command in a container has ended with: its status, and both outputs as one."""

    status: int
    output: str


def run_in(container: Container, *command: str) -> Outcome:
    """Run a command in a container, to its end."""
    status, output = cast("tuple[int, bytes]", container.exec_run(list(command)))
    return Outcome(status, output.decode(errors="replace"))


class Service:
    """A service of a stack, by its name; everything is asked anew each time.

    The faults are context managers: the body runs while the fault lasts. After it, also when it
    raises, the fault is undone and the service waited for until it is healthy again; raises
    LabError if it is not within `seconds`. With `wait=False` the caller sees to that. They happen
    to each container of the service.
    """

    def __init__(
        self,
        stack: Project,
        engine: docker.DockerClient,
        name: str,
        seconds: float = START_SECONDS,
    ) -> None:
        self.stack, self.name = stack, name
        self._engine, self._seconds = engine, seconds

    @property
    def containers(self) -> list[Container]:
        """Its containers, also those that have ended; those of `docker compose run` are none."""
        labels = [
            f"{PROJECT_LABEL}={self.stack.project}",
            f"com.docker.compose.service={self.name}",
            "com.docker.compose.oneoff=False",
        ]
        found = self._engine.containers.list(
            all=True, filters={"label": labels}, ignore_removed=True
        )
        return sorted(found, key=lambda container: str(container.name))

    @property
    def container(self) -> Container:
        """Its container; raises LabError if there is none, or more than one."""
        containers = self.containers
        if len(containers) == 1:
            return containers[0]
        if containers:
            raise LabError(
                f"service {self.name!r} has {len(containers)} containers: `containers` has them all"
            )
        self.stack.check_known(self.name)
        raise LabError(f"service {self.name!r} has no container: it has not been started")

    def address(self, port: int | None = None, protocol: str | None = None) -> Address:
        """Ask the engine where a port of the container is published, as host and port.

        Both arguments may be left out where there is no choice. Raises LabError that says what
        there is instead.
        """
        return self.stack.address(self.name, port, protocol)

    def logs(self, since: float | None = None) -> str:
        """Return what it has written, all of it or since a time as of time.time()."""
        return "".join(
            container.logs(since=since).decode(errors="replace") for container in self.containers
        )

    def wait_for_log(self, text: str) -> None:
        """Wait until it has written a text: an engine has it a moment later. LabError if not."""
        deadline = time.monotonic() + self._seconds
        while text not in (written := self.logs()):
            if time.monotonic() > deadline:
                raise LabError(
                    f"service {self.name!r} has not written {text!r} after {self._seconds:.0f} s:\n"
                    + "".join(written.splitlines(keepends=True)[-50:]).rstrip()
                )
            time.sleep(EVERY)

    def exec(self, *command: str) -> Outcome:
        """Run a command in its container; return the status and what it wrote.

        Raises LabError if the container does not run, or is paused.
        """
        try:
            return run_in(self.container, *command)
        except APIError as error:
            raise LabError(
                f"service {self.name!r} cannot run {command[0]!r}: {error.explanation}"
            ) from None

    def stopped(self, *, wait: bool = True) -> AbstractContextManager[None]:
        """Stop it as `docker stop` does: SIGTERM, and SIGKILL after its grace period."""
        return self._fault(lambda container: container.stop(), lambda each: each.start(), wait)

    def killed(self, *, wait: bool = True) -> AbstractContextManager[None]:
        """Kill it with SIGKILL; its restart policy does not count, as the engine was asked to."""
        return self._fault(kill, lambda container: container.start(), wait)

    def paused(self, *, wait: bool = True) -> AbstractContextManager[None]:
        """Stop all its processes where they are: it is connected, and says nothing."""
        return self._fault(pause, resume, wait)

    @contextmanager
    def cut_off(self, *, wait: bool = True) -> Iterator[None]:
        """Disconnect it from all its networks: what is sent to it is lost, and its name unknown."""
        with ExitStack() as undo:
            if wait:
                undo.callback(self.wait_healthy)
            for container in self._some_containers():
                for name, settings in networks(container).items():
                    network = self._engine.networks.get(name)
                    undo.callback(unless_gone, reconnect, network, container, settings)
                    network.disconnect(container)
            yield

    @contextmanager
    def _fault(
        self, begin: Callable[[Container], object], end: Callable[[Container], object], wait: bool
    ) -> Iterator[None]:
        with ExitStack() as undo:
            if wait:
                undo.callback(self.wait_healthy)
            for container in self._some_containers():
                # First: a fault that is interrupted while it begins may have happened.
                undo.callback(unless_gone, end, container)
                begin(container)
            yield

    def _some_containers(self) -> list[Container]:
        return self.containers or [self.container]  # which raises

    def wait_healthy(self) -> None:
        """Wait until it is healthy, or runs if it has no health check; raises LabError if not."""
        deadline = time.monotonic() + self._seconds
        while True:
            states = [state_of(container) for container in self.containers] or ["removed"]
            if set(states) == {"ready"}:
                return
            if time.monotonic() > deadline:
                raise LabError(
                    f"service {self.name!r} is not healthy after {self._seconds:.0f} s:"
                    f" {', '.join(states)}\n{self.stack.logs(self.name, tail=50)}".rstrip()
                )
            time.sleep(EVERY)


FindService = Callable[[str], Service]


def state_of(container: Container) -> str:
    """Return "ready" for a container that runs, and is healthy if that is checked, or its state."""
    state: dict[str, Any] = container.attrs["State"]
    health = (state.get("Health") or {}).get("Status", "healthy")
    if state["Status"] == "running":
        return "ready" if health == "healthy" else str(health)
    return str(state["Status"])


def unless_gone(undo: Callable[..., object], *arguments: Any) -> None:
    """Undo what was done to a container, unless the body has removed or replaced it."""
    with suppress(NotFound):
        undo(*arguments)


def kill(container: Container) -> None:
    """Kill a container, and wait until it has ended."""
    container.kill()
    container.wait()


def pause(container: Container) -> None:
    """Pause a container.

    On a busy machine the engine may not catch all processes at once, with cgroups of version 1: it
    then resumes those that it has, and can be asked again.
    """
    for left in reversed(range(PAUSES)):
        try:
            container.pause()
        except APIError as error:
            if not left or "unable to freeze" not in str(error):
                raise
        else:
            return


def resume(container: Container) -> None:
    """Resume a container, if it is paused."""
    container.reload()
    if container.status == "paused":
        container.unpause()


def networks(container: Container) -> dict[str, dict[str, Any]]:
    """Return the networks of a container, by their names, with its settings in each.

    Raises LabError for one that shares the network of the host or of another container.
    """
    mode = str(container.attrs["HostConfig"]["NetworkMode"])
    if mode in ("host", "none") or mode.startswith("container:"):
        raise LabError(f"{container.name} has no network to be cut off from: its mode is {mode}")
    return dict(container.attrs["NetworkSettings"]["Networks"])


def reconnect(network: Network, container: Container, settings: dict[str, Any]) -> None:
    """Connect a container to a network, as it was; without its aliases nobody would find it."""
    container.reload()
    if network.name in container.attrs["NetworkSettings"]["Networks"]:
        return
    # The engine itself adds its id, and refuses it from others.
    aliases = [name for name in settings["Aliases"] or () if not str(container.id).startswith(name)]
    fixed = settings["IPAMConfig"] or {}
    network.connect(
        container,
        aliases=aliases,
        links=settings["Links"],
        ipv4_address=fixed.get("IPv4Address"),
        ipv6_address=fixed.get("IPv6Address"),
        driver_opt=settings["DriverOpts"],
    )
