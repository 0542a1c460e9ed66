"""The full exercise: every promise of every service, one after the other."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

from clients.addresses import CONSOLE, PORTS, RELAY, Address, address, through_relay
from clients.checks import Check
from clients.client import checked

SUBJECTS = (*PORTS, "cidr")
# Its own control, what it never leads to, and addresses of the lab's network.
NOT_THROUGH_RELAY = (RELAY, CONSOLE, "cidr")
LOOPBACK = Address("127.0.0.1", 0)


@dataclass(frozen=True)
class Result:
    """What came of one check: `error` is empty where the promise was kept."""

    service: str
    where: Address
    what: str
    error: str
    seconds: float

    @property
    def held(self) -> bool:
        """Whether the promise was kept."""
        return not self.error


def checks(via_relay: bool = False) -> list[tuple[str, Check]]:
    """Return the checks that can be made, each with the service that it is of.

    Some cannot go through the relay, and there may be no folder of UNIX sockets.
    """
    return [each for each in every() if can_be_made(*each, via_relay)]


def left_out(via_relay: bool = False) -> list[str]:
    """Return what is not checked, as it cannot be."""
    return [
        f"{subject}: {check.what}"
        for subject, check in every()
        if not can_be_made(subject, check, via_relay)
    ]


def every() -> list[tuple[str, Check]]:
    """Return all checks, each with the service that it is of."""
    return [(subject, check) for subject in SUBJECTS for check in checked(subject).CHECKS]


def can_be_made(subject: str, check: Check, via_relay: bool) -> bool:
    """Whether a check can be made: directly, or through the relay."""
    if via_relay:
        return check.by_address and subject not in NOT_THROUGH_RELAY
    return check.by_address or bool(os.environ.get("WIRELAB_SOCKETS"))


def run(via_relay: bool = False) -> Iterator[Result]:
    """Make all checks, and yield what came of each; raises ValueError for a bad address.

    Where a service cannot be reached, its other checks are not made: each would only take as long
    to fail.
    """
    unreachable: dict[str, str] = {}
    find = through_relay if via_relay else address
    addresses = {service: find(service) for service in PORTS}
    for service, check in checks(via_relay):
        where = addresses.get(service, LOOPBACK)
        error = unreachable.get(service, "")
        started = time.perf_counter()
        if not error:
            try:
                check.run(where)
            except (OSError, EOFError) as problem:
                error = f"no answer from {where}: {problem or type(problem).__name__}"
                unreachable[service] = f"not tried: {error}"
            except (Exception, SystemExit) as problem:  # noqa: BLE001 - the others go on
                error = f"{type(problem).__name__}: {problem}"
        yield Result(service, where, check.what, error, time.perf_counter() - started)
