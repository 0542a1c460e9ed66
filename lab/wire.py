"""The wire of a lab that has just started: an exchange of each service, so that it is not empty."""

import os
from collections.abc import Mapping

from clients import health
from clients.addresses import Address
from clients.relay import Relay, RelayError
from lab import authkey
from lab.console import complain, console

CLEAN = "clean"


def fill(control: Address, relayed: Mapping[str, Address]) -> int:
    """Make one exchange with each service through the relay; say how to see it; return a status.

    Not in a network that somebody has broken: what fails there fails as it should.
    """
    os.environ["WIRELAB_AUTHKEY_FILE"] = str(authkey.path())
    try:
        profile = Relay(control).profile()["name"]
    except (OSError, RelayError) as error:
        complain(f"relay at {control}: {error}")
        return 1
    if profile != CLEAN:
        console.print(f"make network PROFILE={CLEAN}: end what the relay does ({profile})")
        return 0
    found = [health.problem(service, where) for service, where in relayed.items()]
    for problem in filter(None, found):
        complain(f"through the relay: {problem}")
    console.print("make wire: what one exchange with each service was on the wire")
    return 1 if any(found) else 0
