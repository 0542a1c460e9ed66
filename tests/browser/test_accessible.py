"""For everybody: nothing for axe to find, contrast, the keyboard alone, a narrow window."""

from collections.abc import Callable
from itertools import product

import pytest
from playwright.sync_api import Page, expect

from clients.relay import Relay
from tests.browser.acts import change_network, found_by_axe, too_faint, too_wide, try_it
from tests.browser.conftest import NARROW, WIDE, Visit


def quiet(page: Page) -> None:
    """Leave the page as it opens."""


def busy(page: Page) -> None:
    """Show as much as there can be at once: an answer, a conversation and its bytes, toxics."""
    try_it(page, "rpc", function="add", arguments="1, 2, 3")
    try_it(page, "kv", action="keys")
    page.locator("#profile-lossy").click()
    expect(page.locator("#active")).to_contain_text("lossy")
    page.locator("#conversations a", has_text="rpc").first.click()
    page.locator("#conversation a[href*='/wire/bytes']").click()
    expect(page.locator("#bytes")).to_contain_text("0000")
    page.evaluate("document.querySelectorAll('details').forEach((it) => { it.open = true; })")


VIEWS: dict[str, tuple[str, Callable[[Page], None]]] = {
    "as it opens": ("/", quiet),
    "busy": ("/", busy),
    "Chinese": ("/?language=zh", busy),
    "presentation": ("/?present=1", busy),
}

AXE = {WIDE: "light", NARROW: "dark"}  # the theme in which axe looks, by the width


@pytest.mark.usefixtures("control")
@pytest.mark.parametrize("view", VIEWS)
def test_there_is_nothing_for_axe_to_find_and_no_text_is_faint(visit: Visit, view: str) -> None:
    """In both themes and at both widths, with little on the page and with much.

    Of axe's rules only the one of contrast depends on the theme, and is stricter here.
    """
    path, do = VIEWS[view]
    page = visit(path, reduced_motion="reduce")  # or colours would change for a while
    expect(page.locator("#service-kv")).to_have_attribute("data-state", "healthy")
    do(page)
    found = []
    for width, theme in product((WIDE, NARROW), ("light", "dark")):
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme=theme)
        by_axe = found_by_axe(page) if theme == AXE[width] else []
        found += [(width, theme, each) for each in (*by_axe, *too_wide(page), *too_faint(page))]
    assert found == []


def test_a_faint_text_is_found(visit: Visit) -> None:
    """In a diagram as in the page, so that the test above sees what there is to see."""
    page = visit()
    try_it(page, "tcp-echo", text="something")
    page.locator("#conversations a").first.click()
    expect(page.locator("#conversation svg.wire")).to_be_visible()
    page.evaluate("""() => {
        document.querySelector("#conversation svg.wire text").style.fill = "#999";
        document.querySelector("h2").style.color = "#999";
    }""")
    assert len(too_faint(page)) >= 2


FOCUSED = """() => {
    const at = document.activeElement;
    const style = getComputedStyle(at);
    const box = at.getClientRects()[0];
    const above = document.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
    return {
        what: at.id || at.textContent.trim().slice(0, 30) || at.tagName,
        nothing: at === document.body,
        ring: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
        seen: at.contains(above) || above?.contains(at) && !above.matches("#active"),
    };
}"""


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until an element has the focus, which each on the way is seen to have."""
    wanted = page.locator(selector).first
    for _ in range(300):
        page.keyboard.press("Tab")
        found = page.evaluate(FOCUSED)
        if found["nothing"]:  # between the end of the page and its beginning
            continue
        assert found["ring"], f"{found['what']} does not show that it has the focus"
        assert found["seen"], f"{found['what']} is out of sight, or covered, while it has the focus"
        if wanted.evaluate("element => element === document.activeElement"):
            return
    pytest.fail(f"Tab does not get to {selector}")


def test_all_that_can_be_done_can_be_done_by_the_keyboard(visit: Visit, control: Relay) -> None:
    """From the top of the page to its end, by Tab, Enter, Space and the arrows alone."""
    page = visit()
    tab_to(page, "#tcp-echo-text")
    page.keyboard.press("Control+A")
    page.keyboard.type("by keyboard")
    page.keyboard.press("Enter")
    expect(page.locator("#try-tcp-echo-result")).to_contain_text("by keyboard")
    tab_to(page, "#try-udp-time button")
    page.keyboard.press("Space")
    expect(page.locator("#try-udp-time-result svg.wire")).to_be_visible()
    tab_to(page, "#filter a[href*='service=tcp-echo']")
    page.keyboard.press("Enter")
    expect(page.locator("#filter [aria-current=true]")).to_have_text("tcp-echo")
    page.wait_for_load_state()  # of another page: what shows the focus is in its style
    tab_to(page, "#conversations a")
    page.keyboard.press("Enter")
    expect(page.locator("#conversation svg.wire")).to_be_visible()
    tab_to(page, "#conversation a[href*='/wire/bytes']")
    page.keyboard.press("Enter")
    expect(page.locator("#bytes")).to_contain_text("0000")
    tab_to(page, "#seed")
    page.keyboard.press("Control+A")
    page.keyboard.type("5")
    tab_to(page, "#profile-3g")
    page.keyboard.press("Enter")
    expect(page.locator("#active")).to_contain_text("3g")
    tab_to(page, "#network-kv summary")
    page.keyboard.press("Enter")
    tab_to(page, "#switch-kv-latency")
    before = page.locator("#switch-kv-latency").get_attribute("aria-checked")
    page.keyboard.press("Space")
    expect(page.locator("#switch-kv-latency")).not_to_have_attribute("aria-checked", str(before))
    assert page.locator("#switch-kv-latency").evaluate("it => it === document.activeElement")
    tab_to(page, "#network-rest summary")
    page.keyboard.press("Enter")
    tab_to(page, "#value-rest-latency")
    with page.expect_response("**/network/toxic*"):
        page.keyboard.press("ArrowRight")
    assert control.profile()["seed"] == 5


@pytest.mark.usefixtures("control")
def test_the_focus_stays_where_it_is_while_the_page_changes(visit: Visit) -> None:
    """Also in an element that somebody else changes meanwhile, with what was typed."""
    page = visit()
    page.locator("#seed").focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("12")
    change_network(page, "profile", profile="lossy", seed=3)
    expect(page.locator("#active")).to_contain_text("lossy")
    page.keyboard.type("34")
    expect(page.locator("#seed")).to_have_value("1234")
    page.locator("#network-rest summary").evaluate("it => { it.parentElement.open = true; }")
    page.locator("#switch-rest-latency").focus()
    change_network(page, "toxic", proxy="rest", toxic="latency", on=1, value=300)
    expect(page.locator("#switch-rest-latency")).to_have_attribute("aria-checked", "true")
    assert page.locator("#switch-rest-latency").evaluate("it => it === document.activeElement")


def test_nothing_moves_for_who_wants_it_so(visit: Visit) -> None:
    """With reduced motion there are no animations and no transitions."""
    page = visit(reduced_motion="reduce")
    moving = page.evaluate("""() => [...document.querySelectorAll("*")].filter((each) => {
        const style = getComputedStyle(each);
        return [style.animationDuration, style.transitionDuration].some((all) =>
            all.split(",").some((one) => parseFloat(one) > 0.01));
    }).map((each) => each.id || each.tagName)""")
    assert moving == []


@pytest.mark.usefixtures("control")
def test_the_live_region_does_not_repeat_what_passes(visit: Visit) -> None:
    """It says what became of the network once, and nothing of conversations."""
    page = visit()
    expect(page.locator("#announcement")).to_contain_text("All ")
    page.evaluate("""() => {
        document.said = [];
        new MutationObserver(() => document.said.push(
            document.getElementById("announcement").textContent.trim(),
        )).observe(document.body, { childList: true, subtree: true, characterData: true });
    }""")
    for number in range(5):
        try_it(page, "tcp-echo", text=f"number {number}")
    expect(page.locator("#conversations")).to_contain_text("number 4")
    change_network(page, "profile", profile="lossy", seed=3)
    expect(page.locator("#announcement")).to_contain_text("tcp-echo, udp-time")
    said = [text for text in dict.fromkeys(page.evaluate("document.said")) if text]
    assert len(said) <= 2, said
