"""What one may be without: JavaScript, English, good eyes, and for a while the console itself."""

import re

import pytest
from playwright.sync_api import expect

from clients.relay import Relay
from lab.testing.service import FindService
from tests.browser.acts import try_it, wait_for_state
from tests.browser.conftest import Addresses, Visit

SILENCE = 16  # seconds without an event, after which a page says that the connection is lost


def test_without_javascript_the_page_has_the_state_and_its_forms_work(
    visit: Visit, control: Relay
) -> None:
    """Each answer is a whole page, which says that it does not change by itself."""
    page = visit(java_script_enabled=False)
    expect(page.locator("#link")).to_have_attribute("data-state", "off")
    expect(page.locator("#service-kv")).not_to_be_empty()
    expect(try_it(page, "rpc", function="add", arguments="20, 3")).to_contain_text("23")
    page.locator("#conversations a", has_text="rpc").first.click()
    expect(page.locator("#conversation svg.wire")).to_be_visible()
    page.locator("#conversation a[href*='/wire/bytes']").click()
    expect(page.locator("#bytes")).to_contain_text("0000")
    page.locator("#profile-lossy").click()
    expect(page.locator("#active")).to_contain_text("lossy")
    assert control.profile()["name"] == "lossy"
    page.locator("#network-rest summary").click()
    page.locator("#switch-rest-latency").click()
    expect(page.locator("#switch-rest-latency")).to_have_attribute("aria-checked", "true")
    page.locator("#active").get_by_role("button").click()
    expect(page.locator("#active")).not_to_contain_text("lossy")
    page.locator("#filter").get_by_role("link", name="kv", exact=True).click()
    expect(page.locator("#filter [aria-current=true]")).to_have_text("kv")


@pytest.mark.parametrize(("language", "other"), [("zh-CN", "en"), ("en-GB", "zh")])
def test_the_browser_chooses_the_language_and_a_link_another(
    visit: Visit, language: str, other: str
) -> None:
    """Which stays, also in what comes later and in what is sent."""
    page = visit(locale=language)
    root = page.locator("html")
    expect(root).to_have_attribute("lang", language[:2])
    before = page.locator("h2").all_inner_texts()
    page.locator("#language").click()
    expect(root).to_have_attribute("lang", other)
    assert page.locator("h2").all_inner_texts() != before
    result = try_it(page, "rpc", function="add", arguments="1, 2")
    expect(result).to_contain_text("3")
    expect(root).to_have_attribute("lang", other)
    page.locator("#filter").get_by_role("link", name="rpc", exact=True).click()
    expect(page.locator("#filter [aria-current=true]")).to_have_text("rpc")
    expect(root).to_have_attribute("lang", other)


def test_all_that_comes_later_is_in_the_language_too(
    visit: Visit, addresses: Addresses, server: FindService
) -> None:
    """On each page in its own; also what the live region says."""
    pages = {language: visit(locale=language) for language in ("en", "zh")}
    wait_for_state(addresses, pages.values(), "tcp-echo", "healthy")
    with server("tcp-echo").killed(wait=False):
        wait_for_state(addresses, pages.values(), "tcp-echo", "failed")
        for language, page in pages.items():
            for element in ("#service-tcp-echo", "#announcement"):
                said = page.locator(element).inner_text()
                chinese = any("\u4e00" <= each <= "\u9fff" for each in said)
                assert chinese == (language == "zh"), said
    wait_for_state(addresses, pages.values(), "tcp-echo", "healthy")


def test_presentation_mode_is_larger_and_stays(visit: Visit) -> None:
    """For the last row: also after a reload, another filter and an exchange."""
    page = visit()
    size = "parseFloat(getComputedStyle(document.querySelector('#services')).fontSize)"
    normal = float(page.evaluate(size))
    page.locator("#present").click()
    expect(page).to_have_url(re.compile("present=1"))
    assert page.evaluate(size) >= 1.25 * normal
    page.reload()
    page.locator("#filter").get_by_role("link", name="kv", exact=True).click()
    expect(page.locator("#filter [aria-current=true]")).to_have_text("kv")
    try_it(page, "kv", action="keys")
    assert page.evaluate(size) >= 1.25 * normal
    page.locator("#present").click()
    expect(page).not_to_have_url(re.compile("present=1"))
    assert page.evaluate(size) == normal


def test_a_console_that_restarts_is_missed_in_words_and_found_again(
    visit: Visit, server: FindService
) -> None:
    """The page says that it tries, and goes on by itself with what is true then."""
    page = visit()
    link = page.locator("#link")
    expect(link).to_have_attribute("data-state", "live")
    live = link.inner_text()
    with server("console").killed(wait=False):
        expect(link).to_have_attribute("data-state", "lost")
        assert link.inner_text() not in ("", live)
    expect(link).to_have_attribute("data-state", "live")
    expect(page.locator("#service-kv")).to_have_attribute("data-state", "healthy")
    expect(try_it(page, "tcp-echo", text="back again")).to_contain_text("back again")


def test_a_console_that_hangs_is_missed_too(visit: Visit, server: FindService) -> None:
    """Nothing closes the connection then; the events that do not come are what says it.

    The page's clock is put forward, so that nobody has to wait.
    """
    page = visit(locale="en")  # a browser of its own, whose clock goes with it
    page.clock.install()
    page.reload()
    link = page.locator("#link")
    expect(link).to_have_attribute("data-state", "live")
    with server("console").paused(wait=False):
        page.clock.fast_forward(1000 * SILENCE // 2)
        expect(link).to_have_attribute("data-state", "live")
        page.clock.fast_forward(1000 * SILENCE)
        expect(link).to_have_attribute("data-state", "lost")
    expect(link).to_have_attribute("data-state", "live")
