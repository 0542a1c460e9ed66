"""What the tests share: a stack whose console keeps its port, a browser, and pages in it."""

from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from clients.relay import Relay
from lab import ROOT
from lab.stack import Stack
from lab.testing.lifetime import running
from lab.testing.service import FindService, Service
from tests.browser import chromium
from tests.support.engine import new_stack
from tests.support.pace import FAR
from tests.support.sockets import free_ports

Visit = Callable[..., Page]

FIGURES = pytest.StashKey[list[str]]()
FAILURES = ROOT / "build" / "browser"  # what the pages of tests that failed looked like
WIDE, NARROW = 1280, 390  # pixels


def pytest_configure(config: pytest.Config) -> None:
    """Begin the list of what is measured, and have deadlines that only say what is stuck."""
    config.stash[FIGURES] = []
    expect.set_options(timeout=FAR * 1000)


@pytest.fixture(scope="session")
def stack(key_file: Path, engine: docker.DockerClient) -> Iterator[Stack]:  # noqa: ARG001 - or skip
    """Start a stack whose console keeps its port in a restart; remove all of it at the end."""
    made = new_stack(
        key_file,
        WIRELAB_CONSOLE_PORT=str(free_ports(1)[0]),
        WIRELAB_CLASS="http://kv:15000",
    )
    with running(made):
        yield made


@pytest.fixture(scope="session")
def browser(
    engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Browser]:
    """Lend a browser."""
    with chromium.running(engine, tmp_path_factory.mktemp("downloads")) as made:
        yield made


@pytest.fixture
def visit(browser: Browser, stack: Stack, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """Lend a function that opens a page of the console, as another person does each time.

    At the end the test fails if a page has complained: of its script, of what its policy of
    security forbids, of something that it has not found.
    """
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def visit(
        path: str = "/", width: int = WIDE, height: int = 800, *, dark: bool = False,
        language: str = "en", **more: Any,
    ) -> Page:  # fmt: skip
        context = browser.new_context(
            base_url=f"http://{stack.address('console')}",
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            locale=language,
            **more,
        )
        contexts.append(context)
        context.set_default_timeout(FAR * 1000)
        context.on("console", lambda said: complaints.append(said.text) if wrong(said) else None)
        context.on("weberror", lambda error: complaints.append(str(error.error)))
        page: Page = context.new_page()
        page.on("dialog", lambda dialog: complaints.append(f"a dialog: {dialog.message}"))
        page.goto(path)
        return page

    yield visit
    if getattr(request.node, "failed", False):
        photograph(contexts, request.node.name)
    for context in contexts:
        context.close()
    assert complaints == []


def wrong(said: Any) -> bool:
    """Whether the browser complains, of more than that a server is away or a text has no icon."""
    away = "net::ERR_" in said.text or said.location["url"].endswith("/favicon.ico")
    return said.type in ("error", "warning") and not away


def photograph(contexts: list[BrowserContext], test: str) -> None:
    """Keep what each page looks like."""
    FAILURES.mkdir(parents=True, exist_ok=True)
    for number, page in enumerate(page for each in contexts for page in each.pages):
        page.screenshot(path=FAILURES / f"{test}-{number}.png", full_page=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tell the fixtures of a test whether it has failed."""
    report = yield
    item.failed = getattr(item, "failed", False) or report.failed  # type: ignore[attr-defined]
    return report


@pytest.fixture
def control(stack: Stack) -> Iterator[Relay]:
    """Lend the control of the relay; at the end the network is as it was at the start."""
    yield Relay(stack.address("relay"))
    Relay(stack.address("relay")).set_profile("clean", 1)


@pytest.fixture
def server(stack: Stack, engine: docker.DockerClient) -> FindService:
    """Return a function that finds a service of the stack."""
    return lambda name: Service(stack, engine, name)


@pytest.fixture
def figure(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Return a function that notes what was measured, for the end of the run."""
    return pytestconfig.stash[FIGURES].append


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print what was measured."""
    if figures := config.stash[FIGURES]:
        terminalreporter.section("figures of the console")
        for each in figures:
            terminalreporter.write_line(each)
