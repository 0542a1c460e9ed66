"""Faults of containers: each one of `FAULTS` happens to some services, and then is over.

A fault returns when it was over for each of them, on the monotonic clock: when the engine had
started the container, or when the command to resume was given.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import docker

from lab.stack import Stack
from tests.support.engine import container_of, run_in
from tests.support.pace import until

PAUSED = 5.0  # seconds
DISCONNECTED = 1.0

Ended = dict[str, float]
Fault = Callable[[Stack, docker.DockerClient, list[str]], Ended]


def compose(stack: Stack, *arguments: str) -> None:
    """Run `docker compose`, and fail if it does."""
    done = stack.run(*arguments, capture=True)
    assert done.returncode == 0, done.stderr


def stop(stack: Stack, engine: docker.DockerClient, names: list[str]) -> Ended:
    """Stop the servers with SIGTERM, and start them again."""
    compose(stack, "stop", *names)
    compose(stack, "start", *names)
    return {name: started(engine, stack, name) for name in names}


def restart(stack: Stack, engine: docker.DockerClient, names: list[str]) -> Ended:
    """Have the engine stop and start them."""
    compose(stack, "restart", *names)
    return {name: started(engine, stack, name) for name in names}


def kill(stack: Stack, engine: docker.DockerClient, names: list[str]) -> Ended:
    """Kill the containers: to the engine they are stopped by hand then, and stay so until asked."""
    compose(stack, "kill", *names)
    compose(stack, "start", *names)
    return {name: started(engine, stack, name) for name in names}


def crash(stack: Stack, engine: docker.DockerClient, names: list[str]) -> Ended:
    """Kill the server processes with SIGKILL: the restart policy has to bring them back."""

    def crashed(name: str) -> float:
        container = container_of(engine, stack, name)
        before = container.attrs
        # Process 1 is the init; the server is its child, the oldest.
        run_in(container, "sh", "-c", "kill -9 $(cut -d' ' -f1 /proc/1/task/1/children)")

        def restarted() -> bool:
            container.reload()
            # The engine counts the restart first, and then starts the container.
            return bool(
                container.attrs["RestartCount"] == before["RestartCount"] + 1
                and container.attrs["State"]["StartedAt"] != before["State"]["StartedAt"]
            )

        # An engine that is asked all the time takes longer to restart anything.
        until(restarted, f"{name} is restarted", every=0.2)
        return started(engine, stack, name)

    with ThreadPoolExecutor(len(names)) as each:
        return dict(zip(names, each.map(crashed, names), strict=True))


def pause(stack: Stack, _engine: docker.DockerClient, names: list[str]) -> Ended:
    """Stop all their processes where they are, and resume them after a while."""
    compose(stack, "pause", *names)
    time.sleep(PAUSED)
    over = time.monotonic()
    compose(stack, "unpause", *names)
    return dict.fromkeys(names, over)


def disconnect(stack: Stack, engine: docker.DockerClient, names: list[str]) -> Ended:
    """Disconnect them from their network, and connect them again under their names."""
    network = engine.networks.get(f"{stack.project}_default")
    containers = {name: container_of(engine, stack, name) for name in names}
    for container in containers.values():
        network.disconnect(container)
    time.sleep(DISCONNECTED)
    ended = {}
    for name, container in containers.items():
        ended[name] = time.monotonic()
        network.connect(container, aliases=[name])
    return ended


CRASH = "kill -9 of the server"
FAULTS: dict[str, Fault] = {
    "stop and start": stop,
    "restart": restart,
    "docker kill and start": kill,
    CRASH: crash,
    f"pause of {PAUSED:.0f} s": pause,
    "no network for a second": disconnect,
}


def started(engine: docker.DockerClient, stack: Stack, name: str) -> float:
    """Return when the container of a service was last started, by the engine's clock."""
    state = container_of(engine, stack, name).attrs["State"]
    return datetime.fromisoformat(state["StartedAt"]).timestamp() - time.time() + time.monotonic()
