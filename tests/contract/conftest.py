"""What the contract tests of several servers share: a key for one run, and servers to talk to."""

from collections.abc import Iterator

import pytest

from clients.addresses import Address
from tests.support.drivers import Driver, serving
from tests.support.processes import Server


@pytest.fixture(scope="module", autouse=True)
def _key(key_in_environment: None) -> None:
    """Have the key for whichever server and client needs it."""


@pytest.fixture(scope="module")
def server(driver: Driver) -> Iterator[Server]:
    """Run a driver, each that the module names, for all tests that only talk to it."""
    with serving(driver) as server:
        yield server


@pytest.fixture
def address(server: Server) -> Address:
    """Return where the server is."""
    return server.address
