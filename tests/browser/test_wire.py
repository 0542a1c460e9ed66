"""The wire: conversations as they pass, one of them in full, and the file for Wireshark."""

import re
import struct
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from clients import rest, tcp_echo
from clients.relay import Relay
from services.wire import pcapng
from services.wire.diagram import CROSS
from tests.browser.acts import try_it
from tests.browser.conftest import Addresses, Visit
from tests.support.pace import FAR, until


def conversations(page: Page) -> list[str]:
    """Return the conversations that are shown, the newest first."""
    found: list[str] = page.locator("#conversations li").all_inner_texts()
    return found


def open_newest(page: Page, service: str) -> None:
    """Open the newest conversation of a service."""
    page.locator("#conversations a", has_text=service).first.click()
    expect(page.locator("#conversation svg.wire")).to_be_visible()


def test_what_passes_appears_while_one_looks(visit: Visit, relayed: Addresses) -> None:
    """Without a reload, on every page that is open."""
    pages = visit(), visit(dark=True)
    rest.hello(relayed["rest"], "somebody-else", FAR)
    for page in pages:
        expect(page.locator("#conversations")).to_contain_text("somebody-else")


def test_the_filter_shows_one_service_and_goes_on_doing_so(
    visit: Visit, relayed: Addresses
) -> None:
    """What the others say meanwhile is not shown, and comes back with the filter's end."""
    page = visit()
    rest.hello(relayed["rest"], "first", FAR)
    expect(page.locator("#conversations")).to_contain_text("first")
    page.locator("#filter").get_by_role("link", name="tcp-echo", exact=True).click()
    expect(page.locator("#filter [aria-current=true]")).to_have_text("tcp-echo")
    expect(page.locator("#conversations")).not_to_contain_text("first")
    rest.hello(relayed["rest"], "second", FAR)
    tcp_echo.exchange(relayed["tcp-echo"], b"of the service that is shown\n", FAR)
    expect(page.locator("#conversations")).to_contain_text("tcp-echo")
    assert not [each for each in conversations(page) if "rest" in each.split()]
    page.reload()
    expect(page.locator("#filter [aria-current=true]")).to_have_text("tcp-echo")
    page.locator("#filter a").first.click()
    expect(page.locator("#conversations")).to_contain_text("second")


def test_a_conversation_is_a_diagram_a_text_and_on_demand_its_bytes(visit: Visit) -> None:
    """And has an address of its own, for somebody else to open."""
    page = visit()
    try_it(page, "tcp-echo", text="what was said")
    open_newest(page, "tcp-echo")
    shown = page.locator("#conversation")
    expect(shown.locator("pre.ladder")).to_be_hidden()
    shown.locator("summary").click()
    expect(shown.locator("pre.ladder")).to_contain_text("▶")
    expect(page.locator("#bytes")).to_have_count(0)
    shown.locator("a[href*='/wire/bytes']").click()
    expect(page.locator("#bytes")).to_contain_text("77 68 61 74 20 77 61 73")
    link = shown.locator("a[href*='/wire/bytes']").first.get_attribute("href")
    other = visit(str(link))
    expect(other.locator("#conversation svg.wire")).to_be_visible()
    expect(other.locator("#bytes")).to_contain_text("77 68 61 74 20 77 61 73")


def test_the_ladder_shows_a_datagram_that_was_lost(visit: Visit, control: Relay) -> None:
    """The request that came to nothing, and the one after it that was answered."""
    page = visit()
    control.add_toxic("udp-time", "packet_loss", "upstream", seed=7, loss_rate=0.5)

    def lost() -> bool:
        return CROSS in str(try_it(page, "udp-time").text_content())

    until(lost, "the ladder has a datagram that was lost", every=0.0)
    expect(page.locator("#try-udp-time-result")).to_contain_text("packet_loss")
    open_newest(page, "udp-time")
    expect(page.locator("#conversation svg.wire .lost").first).to_be_attached()


@pytest.mark.parametrize("where", ["#filter", "#conversation"], ids=["all", "one"])
def test_what_passed_can_be_downloaded_for_wireshark(visit: Visit, where: str) -> None:
    """A file in the format pcapng, with the bytes of the exchange that was just made."""
    page = visit()
    try_it(page, "tcp-echo", text="to be found in a file")
    open_newest(page, "tcp-echo")
    with page.expect_download() as download:
        page.locator(f"{where} a[href*='wire.pcapng']").click()
    assert re.fullmatch(r"[\w.-]+\.pcapng", download.value.suggested_filename)
    data = Path(download.value.path()).read_bytes()
    assert struct.unpack_from("<I", data) == (0x0A0D0D0A,)
    records = pcapng.decode(data)
    assert b"to be found in a file" in b"".join(record.data for record in records)
    if where == "#conversation":
        assert len({(record.proxy, record.connection) for record in records}) == 1
