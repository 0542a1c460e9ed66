"""The stack: each server's box says how it is."""

import time

import pytest
from playwright.sync_api import expect

from clients import tcp_echo
from lab.description import services
from lab.stack import Stack
from lab.testing.service import FindService
from tests.browser.conftest import Visit
from tests.support.pace import FAR, until, within

SERVERS = [service.name for service in services({}) if service.name != "console"]
NOTICED = 10.0  # seconds after which a box says that a server is gone


@pytest.mark.parametrize("name", SERVERS)
def test_a_server_that_is_killed_is_seen_and_so_is_its_return(
    visit: Visit, server: FindService, name: str
) -> None:
    """The box changes by itself, in words too, and the live region says which one it was."""
    page = visit()
    box, said = page.locator(f"#service-{name}"), page.locator("#announcement")
    expect(box).to_have_attribute("data-state", "healthy")
    healthy = box.inner_text()
    with server(name).killed(wait=False):
        began = time.monotonic()
        expect(box).to_have_attribute("data-state", "failed")
        assert within(time.monotonic() - began, NOTICED)
        assert box.inner_text() != healthy
        expect(said).to_contain_text(name)
    expect(box).to_have_attribute("data-state", "healthy")
    expect(said).not_to_contain_text(name)


def test_all_servers_are_there_and_none_that_does_not_run(visit: Visit) -> None:
    """A box for each, and no variants, which are not up."""
    page = visit()
    boxes = page.locator("#services [id^=service-]")
    expect(boxes).to_have_count(len(SERVERS))
    assert {str(box.get_attribute("id")) for box in boxes.all()} == {
        f"service-{name}" for name in SERVERS
    }


def test_a_box_counts_what_passes_and_draws_how_fast_the_answers_came(
    visit: Visit, stack: Stack
) -> None:
    """The rate rises while somebody asks through the relay, and the latencies are a line."""
    page = visit()
    box = page.locator("#service-tcp-echo")
    expect(box).to_have_attribute("data-state", "healthy")
    expect(box.locator("svg")).to_be_visible()
    quiet = str(box.inner_text())
    address = stack.relayed()["tcp-echo"]

    def busy() -> bool:
        for _ in range(20):
            tcp_echo.exchange(address, b"again\n", FAR)
        return str(box.inner_text()) != quiet

    until(busy, "the box shows another rate or latency")
