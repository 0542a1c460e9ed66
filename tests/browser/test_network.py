"""The network: what is switched on the page happens on the wire, and is seen by everybody."""

import time

import pytest
from playwright.sync_api import Locator, Page, expect

from clients import rest
from clients.relay import Relay
from lab.testing.service import FindService
from services.wire.diagram import CROSS
from tests.browser.acts import latencies, try_it
from tests.browser.conftest import Addresses, Visit
from tests.support.pace import FAR, until


def open_toxics(page: Page, proxy: str) -> None:
    """Have the toxics of a service shown."""
    if not page.locator(f"#network-{proxy}").evaluate("details => details.open"):
        page.locator(f"#network-{proxy} summary").click()


def switched(page: Page, proxy: str, kind: str) -> Locator:
    """Flip a switch; return it once the page shows the other state."""
    open_toxics(page, proxy)
    switch = page.locator(f"#switch-{proxy}-{kind}")
    before = switch.get_attribute("aria-checked")
    switch.click()
    expect(switch).not_to_have_attribute("aria-checked", str(before))
    return switch


def took(relayed: Addresses) -> float:
    """Return the seconds of one exchange with rest, through the relay."""
    began = time.monotonic()
    rest.hello(relayed["rest"], "anybody", FAR)
    return time.monotonic() - began


def milliseconds(page: Page, proxy: str) -> int:
    """Return what the slider of a proxy's latency is at."""
    return int(page.locator(f"#value-{proxy}-latency").input_value())


def test_a_switch_makes_the_next_exchange_late(
    visit: Visit, relayed: Addresses, control: Relay
) -> None:
    """And the one after it is flipped back is not: the network is what the page says."""
    page = visit()
    switch = switched(page, "rest", "latency")
    expect(switch).to_have_attribute("aria-checked", "true")
    late = milliseconds(page, "rest") / 1000
    assert late > 0
    assert [toxic["type"] for toxic in control.proxy("rest")["toxics"]] == ["latency"]
    assert took(relayed) >= late
    switched(page, "rest", "latency")
    assert control.proxy("rest")["toxics"] == []
    assert min(took(relayed) for _ in range(5)) < late


def test_a_slider_changes_what_is_on(visit: Visit, relayed: Addresses, control: Relay) -> None:
    """With the keyboard or the mouse; and what it was set to is in words beside it."""
    page = visit()
    switched(page, "rest", "latency")
    before = milliseconds(page, "rest")
    page.locator("#value-rest-latency").press("End")
    after = milliseconds(page, "rest")
    assert after > before
    until(lambda: latencies(control) == [after], f"the relay has a latency of {after} ms")
    expect(page.locator("#toxic-rest-latency")).to_contain_text(str(after))
    expect(page.locator("#active")).to_contain_text(str(after))
    assert took(relayed) >= after / 1000


def test_what_is_active_is_in_sight_after_a_reload_and_for_others(
    visit: Visit, control: Relay
) -> None:
    """Wherever one has scrolled to; and what somebody else does to the network is seen as well."""
    page, other = visit(), visit()
    switched(page, "kv", "latency")
    expect(other.locator("#switch-kv-latency")).to_have_attribute("aria-checked", "true")
    expect(other.locator("#active")).to_contain_text("kv")
    page.reload()
    expect(page.locator("#switch-kv-latency")).to_have_attribute("aria-checked", "true")
    for place in ("#network", "#stack"):
        page.locator(place).scroll_into_view_if_needed()
        expect(page.locator("#active")).to_be_in_viewport()
    control.reset()
    expect(page.locator("#switch-kv-latency")).to_have_attribute("aria-checked", "false")
    expect(page.locator("#active")).not_to_contain_text("kv")


@pytest.mark.parametrize("name", ["3g", "satellite", "lossy", "cut"])
def test_a_profile_is_set_with_its_seed_and_stays_set(
    visit: Visit, control: Relay, name: str
) -> None:
    """Until `clean`, which is always in sight, ends it."""
    page = visit()
    page.locator("#seed").fill("77")
    page.locator(f"#profile-{name}").click()
    active = page.locator("#active")
    expect(active).to_contain_text(name)
    expect(active).to_contain_text("77")
    page.reload()
    expect(active).to_contain_text(name)
    found = control.profile()
    assert (found["name"], found["seed"]) == (name, 77)
    expect(page.locator("#seed")).to_have_value("77")
    active.get_by_role("button").click()
    expect(active).not_to_contain_text(name)
    assert control.profile()["name"] == "clean"
    assert all(proxy["toxics"] == [] for proxy in control.proxies().values())


def test_the_same_seed_loses_the_same_datagrams(visit: Visit) -> None:
    """The second time as the first, as everybody in the room can see."""
    page = visit()

    def lossy() -> list[bool]:
        page.locator("#seed").fill("7")
        with page.expect_response("**/network/profile*"):
            page.locator("#profile-lossy").click()
        return [CROSS in str(try_it(page, "udp-time").text_content()) for _ in range(8)]

    first = lossy()
    assert any(first)
    assert lossy() == first


def test_a_relay_that_ends_says_so_in_words_and_comes_back_clean(
    visit: Visit, server: FindService
) -> None:
    """The page goes on: what cannot be known is not shown as if it were."""
    page = visit()
    switched(page, "rpc", "latency")
    expect(page.locator("#active")).to_contain_text("rpc")
    with server("relay").killed(wait=False):
        expect(page.locator("#service-relay")).to_have_attribute("data-state", "failed")
        expect(page.locator("#active")).not_to_contain_text("rpc")
        expect(page.locator("#active")).to_contain_text("relay")
        expect(try_it(page, "rpc", function="add", arguments="1, 2")).to_contain_text("relay")
    expect(page.locator("#service-relay")).to_have_attribute("data-state", "healthy")
    expect(page.locator("#switch-rpc-latency")).to_have_attribute("aria-checked", "false")
    expect(try_it(page, "rpc", function="add", arguments="1, 2")).to_contain_text("3")
