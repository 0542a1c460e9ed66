"""The pytest plugin: the stack of a compose file for a whole run, and its services one by one.

    def test_page(service):
        host, port = service("web").address()
        ...
        with service("db").killed():
            ...

docs/testing.md is the manual.
"""

import os
import re
import secrets
import time
from collections.abc import Generator, Iterator
from contextlib import suppress
from operator import methodcaller
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lab import LabError
from lab.compose import START_SECONDS, Project

# Docker's SDK takes a while to import, and most runs of a machine that has this plugin need none.
if TYPE_CHECKING:
    import docker

    from lab.testing.network import Network, Reach, Wire
    from lab.testing.service import FindService
    from lab.testing.sharing import Sharing

# pytest shows the line of the test that is wrong, and not those in here that say so.
__tracebackhide__ = methodcaller("errisinstance", LabError)

# The names that Compose itself looks for, in its order.
DEFAULT_FILES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
MAX_SECONDS = 86400.0
LINES = 200  # of each container below a failure, at most

BEGAN = pytest.StashKey[float]()  # when a test did, as of time.time()
SHARING = pytest.StashKey["Sharing"]()
NOTES = pytest.StashKey[list[str]]()  # for the end of the run
FAILURE = pytest.StashKey[str]()  # why the stack has not started
SHOWN = pytest.StashKey[bool]()  # whether a test has said that


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options, and those of the ini file."""
    group = parser.getgroup("stack", "the stack of docker compose")
    group.addoption(
        "--stack-file", type=Path, action="append", metavar="FILE",
        help="the compose file; given again, one that is merged into it",
    )  # fmt: skip
    group.addoption(
        "--stack-keep", action="store_true", help="leave the stack running, for --stack-use"
    )
    group.addoption(
        "--stack-use", metavar="PROJECT", help="use the stack of this name, which runs already"
    )
    parser.addini("stack_file", "the compose files; by default the usual name", type="paths")
    parser.addini(
        "stack_timeout", "seconds until the stack is healthy", default=f"{START_SECONDS:.0f}"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Begin what is said at the end."""
    config.stash[NOTES] = []


@pytest.fixture(scope="session")
def docker_engine() -> "Iterator[docker.DockerClient]":
    """Connect to the engine; without one the test is skipped, and with CI=true it fails."""
    from lab.testing.lifetime import NoEngine, connect

    try:
        client = connect()
    except NoEngine as error:
        reason = str(error)
    else:
        yield client
        client.close()
        return
    # Not in the handler: pytest would show both exceptions.
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def stack_environment() -> dict[str, str]:
    """Return variables for the compose file, beside those of the environment: to be overridden."""
    return {}


@pytest.fixture(scope="session")
def stack(
    docker_engine: "docker.DockerClient",  # noqa: ARG001 - skipped where there is none
    stack_environment: dict[str, str],
    pytestconfig: pytest.Config,
    tmp_path_factory: pytest.TempPathFactory,
) -> Project:
    """Start the stack of the compose file under a name of its own, and wait until it is healthy.

    It is removed when the last test has run, by `pytest_sessionfinish`.
    """
    try:
        return find_or_start(pytestconfig, stack_environment, tmp_path_factory.getbasetemp())
    except LabError as error:
        reason = f"the stack has not started\n{error}"  # pytest's summary has the first line alone
    pytestconfig.stash[FAILURE] = reason
    pytest.fail(reason, pytrace=False)


def find_or_start(config: pytest.Config, environment: dict[str, str], folder: Path) -> Project:
    """Return the stack that `--stack-use` names, or the one of this run, which may be the first."""
    from lab.testing.lifetime import bring_up

    files = compose_files(config)
    seconds = timeout(config)
    if used := config.getoption("stack_use"):
        found = Project(used, environment, files)
        if not found.running():
            raise LabError(f"--stack-use={used}: no container of this project runs")
        return found

    def start(name: str) -> None:
        bring_up(Project(name, environment, files), seconds)

    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    # The folder of a worker is in that of its controller.
    sharing = share(config, folder.parent if run else folder, run or "alone")
    return Project(sharing.start(new_name(files[0]), start), environment, files)


@pytest.fixture(scope="session")
def service(
    stack: Project, docker_engine: "docker.DockerClient", pytestconfig: pytest.Config
) -> "FindService":
    """Return a function that finds a service of the stack by its name."""
    from lab.testing.service import Service

    known = stack.services()

    def find(name: str) -> Service:
        if name not in known:
            stack.check_known(name)  # which raises
        return Service(stack, docker_engine, name, timeout(pytestconfig))

    return find


@pytest.fixture
def reach_relay(stack: Project) -> "Reach":
    """Return a function: where a port of the relay is reached. By default the service `relay`."""
    return lambda port, protocol: stack.address("relay", port, protocol)


@pytest.fixture
def relay(reach_relay: "Reach") -> "Iterator[Network]":
    """Return the network between the test and the services; what the test adds is removed."""
    from lab.testing.network import Network

    network = Network(reach_relay)
    try:
        yield network
    finally:
        network.remove_all()


@pytest.fixture
def wire(reach_relay: "Reach") -> "Wire":
    """Return what passes through the relay from here on."""
    from lab.testing.network import Wire

    return Wire(reach_relay)


def compose_files(config: pytest.Config) -> list[Path]:
    """Return the compose files of the project under test; raises LabError where there is none."""
    named: list[Path] = config.getoption("stack_file") or config.getini("stack_file")
    if named:
        if missing := [str(file) for file in named if not file.is_file()]:
            raise LabError(f"no compose file {', '.join(missing)}")
        return [file.absolute() for file in named]
    usual = [config.rootpath / name for name in DEFAULT_FILES]
    for file in usual:
        if file.is_file():
            return [file]
    raise LabError(
        f"no compose file in {config.rootpath}: name it with --stack-file, or as stack_file in the"
        " configuration of pytest"
    )


def timeout(config: pytest.Config) -> float:
    """Return the seconds until which a stack or service has to be healthy."""
    value = str(config.getini("stack_timeout"))
    with suppress(ValueError):
        if 0 < (seconds := float(value)) <= MAX_SECONDS:
            return seconds
    raise LabError(
        f"stack_timeout has value {value!r}. Not a number of seconds up to {MAX_SECONDS:g}"
    )


def new_name(file: Path) -> str:
    """Return a name that no other project has, and that tells whose it is."""
    folder = re.sub(r"[^a-z0-9_-]", "", file.parent.name.lower()).lstrip("_-") or "stack"
    return f"{folder}-test-{secrets.token_hex(4)}"


def share(config: pytest.Config, folder: Path, run: str) -> "Sharing":
    """Take part in the stack of this run, until the end of this process's session."""
    from lab.testing.sharing import Sharing

    if SHARING not in config.stash:
        config.stash[SHARING] = Sharing(folder, run)
    return config.stash[SHARING]


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Take part as the controller of pytest-xdist, which leaves after its workers."""
    from lab.testing.lifetime import clean_up_on_sigterm

    clean_up_on_sigterm()
    folder: Path = node.config._tmp_path_factory.getbasetemp()  # noqa: SLF001 - as pytest-xdist does
    share(node.config, folder, node.workerinput["testrunuid"])


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None]:
    """Remove the stack when everything that uses it has ended, also after Ctrl-C."""
    try:
        yield
    finally:
        if sharing := session.config.stash.get(SHARING, None):
            sharing.leave(lambda project: finish(session, project))


def finish(session: pytest.Session, project: str) -> None:
    """Remove a stack, or leave it on request; fail the run if anything is left of it."""
    from lab.testing.lifetime import take_down

    notes = session.config.stash[NOTES]
    if session.config.getoption("stack_keep"):
        notes += [
            f"{project} goes on running",
            f"  use it again: pytest --stack-use={project}",
            f"  remove it: docker compose -p {project} down --volumes --rmi local",
        ]
        return
    try:
        take_down(Project(project))
    except LabError as error:
        notes.append(str(error))
        if session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say what goes on running, and what is left that should not be."""
    if notes := config.stash[NOTES]:
        terminalreporter.section("stack")
        for note in notes:
            terminalreporter.write_line(note)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Note when the test begins."""
    item.stash[BEGAN] = time.time()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show below a failure what the containers of its stacks have written since it began.

    Why the stack has not started is shown once: it can be long, and is the same for each test.
    """
    report = yield
    stash = item.config.stash
    if call.excinfo and str(call.excinfo.value) == stash.get(FAILURE, None):
        if stash.get(SHOWN, False):
            report.longrepr = "the stack has not started: the first error says why"
        stash[SHOWN] = True
    used: dict[str, Any] = getattr(item, "funcargs", {})
    stacks = {each.project: each for each in used.values() if isinstance(each, Project)}
    if report.failed and BEGAN in item.stash:
        for name, each in stacks.items():
            logs = each.logs(since=item.stash[BEGAN], tail=LINES)
            report.sections.append((f"containers of {name} since the test began", logs or "-"))
    return report
