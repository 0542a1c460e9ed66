"""What the tests share: a stack whose ports stay, a browser, and pages in it."""

from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from clients.addresses import Address
from clients.relay import Relay
from lab import ROOT
from lab.stack import Stack
from lab.testing.lifetime import running
from lab.testing.service import FindService, Service
from tests.browser import chromium
from tests.support.engine import new_stack
from tests.support.pace import FAR
from tests.support.relay import ANY_PORTS
from tests.support.sockets import free_ports

Addresses = dict[str, Address]
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
    """Start a stack whose servers keep their ports in a restart; remove all of it at the end."""
    ports = dict(zip(ANY_PORTS, map(str, free_ports(len(ANY_PORTS))), strict=True))
    made = new_stack(key_file, **ports, WIRELAB_CLASS="http://kv:15000")
    with running(made):
        yield made


@pytest.fixture(scope="session")
def addresses(stack: Stack) -> Addresses:
    """Return where each server is."""
    return stack.addresses()


@pytest.fixture(scope="session")
def relayed(stack: Stack) -> Addresses:
    """Return where each service is reached through the relay."""
    return stack.relayed()


@pytest.fixture(scope="session")
def browser(
    engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Browser]:
    """Lend a browser."""
    with chromium.running(engine, tmp_path_factory.mktemp("downloads")) as made:
        yield made


@pytest.fixture(scope="session")
def complaints() -> list[str]:
    """Return what pages have complained of since the list was emptied."""
    return []


@pytest.fixture(scope="session")
def new_context(
    browser: Browser, addresses: Addresses, complaints: list[str]
) -> Callable[..., BrowserContext]:
    """Return a function that makes a browser of its own for somebody, as far as pages can tell."""

    def new_context(**options: Any) -> BrowserContext:
        context = browser.new_context(base_url=f"http://{addresses['console']}", **options)
        context.set_default_timeout(FAR * 1000)
        context.on("console", lambda said: complaints.append(said.text) if wrong(said) else None)
        context.on("weberror", lambda error: complaints.append(str(error.error)))
        context.on("dialog", lambda dialog: complaints.append(f"a dialog: {dialog.message}"))
        return context

    return new_context


@pytest.fixture(scope="session")
def kept(new_context: Callable[..., BrowserContext]) -> Page:
    """Return a page for whoever needs no more than one: the console keeps nothing in a browser."""
    page: Page = new_context(locale="en").new_page()
    return page


@pytest.fixture
def visit(
    new_context: Callable[..., BrowserContext], kept: Page, complaints: list[str],
    request: pytest.FixtureRequest,
) -> Iterator[Visit]:  # fmt: skip
    """Lend a function that opens a page of the console, as another person does each time.

    At the end the test fails if a page has complained: of its script, of what its policy of
    security forbids, of something that it has not found.
    """
    pages: list[Page] = []

    def visit(
        path: str = "/", width: int = WIDE, height: int = 800, *, dark: bool = False, **options: Any
    ) -> Page:
        new = pages or options
        page: Page = new_context(**{"locale": "en", **options}).new_page() if new else kept
        pages.append(page)
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme="dark" if dark else "light")
        page.goto(path)
        return page

    yield visit
    if getattr(request.node, "failed", False):
        photograph(pages, request.node.name)
    for page in pages:
        if page is kept:
            page.goto("about:blank")
        else:
            page.context.close()
    said = complaints.copy()
    complaints.clear()
    assert said == []


def wrong(said: Any) -> bool:
    """Whether the browser complains, of more than that a server is away or a text has no icon."""
    away = "net::ERR_" in said.text or said.location["url"].endswith("/favicon.ico")
    return said.type in ("error", "warning") and not away


def photograph(pages: list[Page], test: str) -> None:
    """Keep what each page looks like."""
    FAILURES.mkdir(parents=True, exist_ok=True)
    for number, page in enumerate(each for each in pages if not each.is_closed()):
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
def control(addresses: Addresses) -> Iterator[Relay]:
    """Lend the control of the relay; at the end the network is as it was at the start."""
    relay = Relay(addresses["relay"])
    yield relay
    relay.set_profile("clean", 1)


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
