"""The full exercise: every promise of every service, one after the other."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from clients.addresses import PORTS, Address, address
from clients.checks import Check
from clients.client import checked

SUBJECTS = (*PORTS, "cidr")
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


def checks() -> list[tuple[str, Check]]:
    """Return all checks, each with the service it is of."""
    return [(subject, check) for subject in SUBJECTS for check in checked(subject).CHECKS]


def run() -> Iterator[Result]:
    """Make all checks, and yield what came of each; raises ValueError for a bad address.

    Where a service cannot be reached, its other checks are not made: each would only take as
    long to fail.
    """
    unreachable: dict[str, str] = {}
    addresses = {service: address(service) for service in PORTS}
    for service, check in checks():
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
