"""Faults of containers: each one of `FAULTS` happens to some services, and then is over.

A fault returns when it was over for each of them, on the monotonic clock: when the engine had
started the container, or when the command to resume was given.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from datetime import datetime

from lab.testing.service import Service
from tests.support.pace import until

PAUSED = 5.0  # seconds
DISCONNECTED = 1.0

Ended = dict[str, float]
Fault = Callable[[Sequence[Service]], Ended]


def all_at_once(
    fault: Callable[[Service], AbstractContextManager[None]], services: Sequence[Service]
) -> ExitStack:
    """Have a fault happen to all services; it is over for all of them when the body ends."""
    with ExitStack() as begun:
        for service in services:
            begun.enter_context(fault(service))
        return begun.pop_all()


# None waits for health: when a service is served again is what the test measures.
def stop(services: Sequence[Service]) -> Ended:
    """Stop the servers with SIGTERM, and start them again."""
    with all_at_once(lambda service: service.stopped(wait=False), services):
        pass
    return started(services)


def kill(services: Sequence[Service]) -> Ended:
    """Kill the containers: to the engine they are stopped by hand then, and stay so until asked."""
    with all_at_once(lambda service: service.killed(wait=False), services):
        pass
    return started(services)


def restart(services: Sequence[Service]) -> Ended:
    """Have the engine stop and start them."""
    services[0].stack.compose("restart", *(service.name for service in services))
    return started(services)


def crash(services: Sequence[Service]) -> Ended:
    """Kill the server processes with SIGKILL: the restart policy has to bring them back."""

    def crashed(service: Service) -> None:
        before = service.container.attrs
        # Process 1 is the init; the server is its child, the oldest.
        service.exec("sh", "-c", "kill -9 $(cut -d' ' -f1 /proc/1/task/1/children)")

        def restarted() -> bool:
            now = service.container.attrs
            # The engine counts the restart first, and then starts the container.
            return bool(
                now["RestartCount"] == before["RestartCount"] + 1
                and now["State"]["StartedAt"] != before["State"]["StartedAt"]
            )

        # An engine that is asked all the time takes longer to restart anything.
        until(restarted, f"{service.name} is restarted", every=0.2)

    with ThreadPoolExecutor(len(services)) as each:
        list(each.map(crashed, services))
    return started(services)


def pause(services: Sequence[Service]) -> Ended:
    """Stop all their processes where they are, and resume them after a while."""
    with all_at_once(lambda service: service.paused(wait=False), services):
        time.sleep(PAUSED)
        over = time.monotonic()
    return {service.name: over for service in services}


def disconnect(services: Sequence[Service]) -> Ended:
    """Disconnect them from their network, and connect them again under their names."""
    with all_at_once(lambda service: service.cut_off(wait=False), services):
        time.sleep(DISCONNECTED)
        over = time.monotonic()
    return {service.name: over for service in services}


CRASH = "kill -9 of the server"
FAULTS: dict[str, Fault] = {
    "stop and start": stop,
    "restart": restart,
    "docker kill and start": kill,
    CRASH: crash,
    f"pause of {PAUSED:.0f} s": pause,
    "no network for a second": disconnect,
}


def started(services: Sequence[Service]) -> Ended:
    """Return when the containers of services were last started, by the engine's clock."""
    now = time.monotonic() - time.time()
    times = {service.name: service.container.attrs["State"]["StartedAt"] for service in services}
    return {name: datetime.fromisoformat(at).timestamp() + now for name, at in times.items()}
