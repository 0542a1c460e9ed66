"""What the contract tests of several servers share: a key for one run, and servers to talk to."""

import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from clients.addresses import Address
from clients.http import with_requests, with_urllib
from lab import processes
from lab.testing.network import RECORDS
from tests.support.clones import Clone
from tests.support.console import Console, Lab, lab
from tests.support.drivers import DRIVERS, RELAYS, Driver, serving
from tests.support.processes import Server
from tests.support.relay import relaying

# A test of a server that has only its address is one of what a client receives: `protocol`. The
# others cannot go through a relay: they stop the server or a worker, look at its process, its log
# or its descriptors, use a UNIX socket, or have started it in their own way.
OF_THE_ADDRESS = {"address", "base", "where"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests of what a client receives; with --via-relay leave those of the defaults."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if fixtures & OF_THE_ADDRESS and "server" in fixtures:
            item.add_marker("protocol")
    if config.getoption("via_relay"):
        kept = [item for item in items if item.get_closest_marker("protocol") and is_default(item)]
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept


def is_default(item: pytest.Item) -> bool:
    """Whether a test is run against the default server, or against the only one."""
    params = getattr(getattr(item, "callspec", None), "params", {})
    driver = params.get("driver")
    return params.get("where") != "UNIX" and driver in (
        None,
        *(each[0] for each in DRIVERS.values()),
    )


@pytest.fixture(scope="session", autouse=True)
def _relay(pytestconfig: pytest.Config) -> Iterator[None]:
    """Put a relay between clients and servers, if that is asked for."""
    if not pytestconfig.getoption("via_relay"):
        yield
        return
    with relaying() as (control, _):
        RELAYS.append(control)
        yield
        RELAYS.remove(control)
        assert control.metrics()[RECORDS], "nothing has passed through the relay"


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


@pytest.fixture
def base(server: Server) -> str:
    """Return the base URL of the server."""
    return f"http://{server.address}"


@pytest.fixture(
    params=[pytest.param(with_urllib, id="urllib"), pytest.param(with_requests, id="requests")]
)
def library(request: pytest.FixtureRequest) -> ModuleType:
    """Return one of the two modules of HTTP recipes."""
    module: ModuleType = request.param
    return module


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replace time.sleep() by a list of how long it was asked to sleep."""
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    return waits


@pytest.fixture(scope="module")
def running(key_file: Path) -> Iterator[Lab]:
    """Run a whole lab with its console, for the tests of a file that stop nothing in it."""
    with lab(str(key_file)) as found:
        yield found


@pytest.fixture
def console(running: Lab) -> Iterator[Console]:
    """Lend that console; afterwards the network is clean."""
    yield running.console
    running.relay.reset()


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Clone]:
    """Return a clone; end all servers that were started from it."""
    made = Clone(tmp_path / "clone")
    yield made
    processes.stop([process.pid for process in made.servers()])
