"""What somebody is doing on the page is not taken from them by what comes meanwhile."""

import pytest
from playwright.sync_api import Page, Request, Route, expect

from clients import rest
from clients.relay import Relay
from tests.browser.acts import change_network, latencies
from tests.browser.conftest import Addresses, Visit
from tests.support.pace import FAR, until


def shows(page: Page, profile: str) -> None:
    """Wait until a page shows which profile the network has."""
    button = page.locator(f"#profile-{profile}")
    expect(button).to_have_attribute("aria-pressed", "true")


@pytest.mark.usefixtures("control")
def test_what_is_selected_is_typed_over(visit: Visit) -> None:
    """Though somebody else changes the field in between; who types nothing sees the change."""
    page, seed = visit(), 5
    field = page.locator("#seed")
    field.select_text()
    change_network(page, "profile", profile="lossy", seed=seed)
    shows(page, "lossy")
    expect(field).not_to_have_value(str(seed))
    page.keyboard.press("Tab")
    expect(field).to_have_value(str(seed))
    field.select_text()
    change_network(page, "profile", profile="3g", seed=seed + 1)
    shows(page, "3g")
    page.keyboard.type("77")
    expect(field).to_have_value("77")


def test_what_is_typed_stays_until_it_is_sent(visit: Visit, control: Relay) -> None:
    """Also when the field has been left; what is sent then is what was typed."""
    page = visit()
    page.locator("#seed").fill("77")
    page.keyboard.press("Tab")
    change_network(page, "profile", profile="lossy", seed=5)
    shows(page, "lossy")
    expect(page.locator("#seed")).to_have_value("77")
    page.locator("#profile-3g").click()
    shows(page, "3g")
    assert control.profile()["seed"] == 77
    change_network(page, "profile", profile="lossy", seed=6)
    expect(page.locator("#seed")).to_have_value("6")


def test_a_slider_that_was_moved_stays_until_it_is_sent(visit: Visit, control: Relay) -> None:
    """With the words beside it, while others change another one of the same service."""
    page = visit()
    page.locator("#network-rest summary").click()
    slider, words = page.locator("#value-rest-latency"), page.locator("#toxic-rest-latency output")
    slider.press("End")
    value = slider.input_value()
    expect(words).to_have_text(f"{value} ms")
    change_network(page, "toxic", proxy="rest", toxic="slicer", on=1, value=10)
    expect(page.locator("#switch-rest-slicer")).to_have_attribute("aria-checked", "true")
    expect(slider).to_have_value(value)
    expect(words).to_have_text(f"{value} ms")
    page.locator("#switch-rest-latency").click()
    expect(page.locator("#switch-rest-latency")).to_have_attribute("aria-checked", "true")
    assert latencies(control) == [int(value)]
    change_network(page, "toxic", proxy="rest", toxic="latency", value=100)
    expect(slider).to_have_value("100")
    expect(words).to_have_text("100 ms")


def test_a_slider_that_is_moved_on_while_it_is_sent_is_sent_again(
    visit: Visit, control: Relay
) -> None:
    """The network does what the slider says, and the slider does not jump back."""
    page = visit()
    page.locator("#network-rest summary").click()
    page.locator("#switch-rest-latency").click()
    expect(page.locator("#switch-rest-latency")).to_have_attribute("aria-checked", "true")
    slider = page.locator("#value-rest-latency")
    late: list[Route] = []

    def hold(route: Route) -> None:
        late.append(route)

    page.route("**/network/toxic*", hold, times=1)
    slider.press("ArrowRight")
    first = slider.input_value()
    until(lambda: page.evaluate("1") and late, "the form is sent")
    slider.press("End")
    late[0].continue_()
    until(
        lambda: latencies(control) == [int(slider.input_value())], "the relay has the second value"
    )
    expect(slider).not_to_have_value(first)


def test_a_click_is_on_what_it_began_on(visit: Visit, relayed: Addresses) -> None:
    """A list that others make longer does not move between press and release."""
    page, other = visit(), visit()
    rest.hello(relayed["rest"], "pressed", FAR)
    row = page.locator("#conversations a", has_text="pressed")
    row.hover()
    page.mouse.down()
    rest.hello(relayed["rest"], "meanwhile", FAR)
    expect(other.locator("#conversations")).to_contain_text("meanwhile")
    page.mouse.up()
    expect(page.locator("#conversation pre.ladder")).to_contain_text("pressed")
    expect(page.locator("#conversations")).to_contain_text("meanwhile")


def test_the_focus_stays_on_a_conversation(visit: Visit, relayed: Addresses) -> None:
    """Wherever those that come push it to."""
    page = visit()
    rest.hello(relayed["rest"], "focused", FAR)
    page.locator("#conversations a", has_text="focused").focus()
    rest.hello(relayed["rest"], "after-it", FAR)
    expect(page.locator("#conversations")).to_contain_text("after-it")
    expect(page.locator("#conversations a:focus")).to_contain_text("focused")


def test_of_two_links_the_last_counts(visit: Visit, relayed: Addresses) -> None:
    """Also where the answer to the first one would come after that to the second one."""
    page = visit()
    rest.hello(relayed["rest"], "clicked-first", FAR)
    rest.hello(relayed["rest"], "clicked-last", FAR)
    links = page.locator("#conversations a")
    late: list[Route] = []
    ended: list[Request] = []

    def hold(route: Route) -> None:
        late.append(route)

    def note(request: Request) -> None:
        ended.append(request)

    page.on("requestfinished", note)
    page.on("requestfailed", note)
    page.route("**/wire?*", hold, times=1)
    links.filter(has_text="clicked-first").click()
    until(lambda: page.evaluate("1") and late, "the first request")
    links.filter(has_text="clicked-last").click()
    expect(page.locator("#conversation pre.ladder")).to_contain_text("clicked-last")
    late[0].continue_()
    until(lambda: page.evaluate("1") and late[0].request in ended, "the end of the first one")
    assert "clicked-last" in str(page.locator("#conversation pre.ladder").text_content())
