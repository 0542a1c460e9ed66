"""What the hostile tests share: enough descriptors, the key, and the table of what was measured."""

import inspect
import resource
import secrets
from collections.abc import Iterator

import docker
import pytest

from lab.console import step
from lab.engine import tool_image
from tests.hostile.reliability import Row, document
from tests.support.drivers import Driver

NEEDED = 8192  # descriptors: for the largest number of attackers

ROWS = pytest.StashKey[list[Row]]()


def pytest_configure(config: pytest.Config) -> None:
    """Begin the table."""
    config.stash[ROWS] = []


@pytest.fixture(scope="session", autouse=True)
def _many_descriptors() -> Iterator[None]:
    """Allow this process, and the servers that it starts, as many descriptors as possible."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < NEEDED:
        pytest.fail(f"ulimit -Hn is {hard}: the hostile tests need {NEEDED} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="module", autouse=True)
def _key(key_in_environment: None) -> None:
    """Have the key for whichever server and client needs it."""


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Row:
    """Lend the test its row of the table in docs/reliability.md."""
    function = request.function
    module = inspect.getdoc(request.module) or ""
    callspec = getattr(request.node, "callspec", None)
    driver: Driver | None = callspec.params.get("driver") if callspec else None
    row = Row(
        section=module.partition("\n")[0].rstrip("."),
        promise=(inspect.getdoc(function) or "").partition("\n\n")[0].replace("\n", " "),
        case=callspec.id if callspec else "",
        service=driver.service if driver else "",
        test=f"{request.path.relative_to(request.config.rootpath)}::{function.__name__}",
    )
    request.config.stash[ROWS].append(row)
    return row


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Return the seed of what is random in a test: `--seed`, or another one each time."""
    given: int | None = request.config.getoption("--seed")
    value = secrets.randbelow(10**6) if given is None else given
    request.node.add_report_section("setup", "seed", f"--seed {value}")
    return value


@pytest.fixture
def soak(request: pytest.FixtureRequest) -> float:
    """Return the minutes of `make soak`, or 0: the faults last so long, other tests do more."""
    return float(request.config.getoption("--soak"))


@pytest.fixture(scope="session")
def tools_image(engine: docker.DockerClient) -> str:  # noqa: ARG001 - skipped where there is none
    """Build the image with strace, iptables and tcpdump, and return its name."""
    with step("building the image of the tools"):
        return tool_image("tools")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Write the table, if that was asked for and every test of it passed."""
    if (path := session.config.getoption("--reliability")) and exitstatus == 0:
        path.write_text(document(session.config.stash[ROWS]))
