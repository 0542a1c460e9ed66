"""The stack: each server's box says how it is."""

import re
import time
from contextlib import ExitStack

from playwright.sync_api import Page, expect

from clients import tcp_echo
from lab.description import services
from lab.testing.service import FindService
from tests.browser.conftest import Addresses, Visit
from tests.support.pace import FAR, until, within

SERVERS = [service.name for service in services({}) if service.name != "console"]
NOTICED = 10.0  # seconds after which a box says that a server is gone


def test_a_server_that_is_killed_is_seen_and_so_is_its_return(
    visit: Visit, server: FindService
) -> None:
    """Its box changes by itself, in words too, and the live region says which one it was.

    Each second one at a time, then the others while those return: most of it is waiting.
    """
    page = visit()
    boxes = {name: page.locator(f"#service-{name}") for name in SERVERS}

    def are(state: str, names: list[str]) -> None:
        for name in names:
            expect(boxes[name], name).to_have_attribute("data-state", state)

    are("healthy", SERVERS)
    healthy = {name: box.locator(".state span").inner_text() for name, box in boxes.items()}
    for killed, others in (SERVERS[::2], SERVERS[1::2]), (SERVERS[1::2], SERVERS[::2]):
        with ExitStack() as ends:
            began = {}
            for name in killed:
                ends.enter_context(server(name).killed(wait=False))
                began[name] = time.monotonic()
            for name in killed:
                are("failed", [name])
                assert within(time.monotonic() - began[name], NOTICED)
                assert boxes[name].locator(".state span").inner_text() != healthy[name]
            are("healthy", others)
            wait_for_names(page, killed)
    are("healthy", SERVERS)
    wait_for_names(page, [])


def wait_for_names(page: Page, names: list[str]) -> None:
    """Wait until the live region says something of these servers, and of no others."""
    said = page.locator("#announcement")

    def named() -> bool:
        return set(SERVERS) & set(re.findall(r"[\w-]+", said.inner_text())) == set(names)

    until(named, f"the live region names {names}")


def test_all_servers_are_there_and_none_that_does_not_run(visit: Visit) -> None:
    """A box for each, and no variants, which are not up."""
    page = visit()
    boxes = page.locator("#services [id^=service-]")
    expect(boxes).to_have_count(len(SERVERS))
    assert {str(box.get_attribute("id")) for box in boxes.all()} == {
        f"service-{name}" for name in SERVERS
    }


def test_a_box_counts_what_passes_and_draws_how_fast_the_answers_came(
    visit: Visit, relayed: Addresses
) -> None:
    """The rate rises while somebody asks through the relay, and the latencies are a line."""
    page = visit()
    box = page.locator("#service-tcp-echo")
    expect(box).to_have_attribute("data-state", "healthy")
    expect(box.locator("svg")).to_be_visible()
    quiet = str(box.inner_text())
    address = relayed["tcp-echo"]

    def busy() -> bool:
        for _ in range(20):
            tcp_echo.exchange(address, b"again\n", FAR)
        return str(box.inner_text()) != quiet

    until(busy, "the box shows another rate or latency")
