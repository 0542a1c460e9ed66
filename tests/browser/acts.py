"""What a person does on the page, and what the browser knows of it."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from clients import console
from clients.addresses import Address
from clients.relay import Relay
from tests.support.pace import until

CONTRAST = Path(__file__).with_name("contrast.js").read_text()
LEAST_CONTRAST = 4.5  # WCAG 2.2, 1.4.3 (AA), and without its exception for large text


def try_it(page: Page, service: str, **fields: str) -> Locator:
    """Fill in the form of a service and send it; return what came of it."""
    for name, value in fields.items():
        field = page.locator(f"#{service}-{name}")
        if field.evaluate("field => field.tagName") == "SELECT":
            field.select_option(value)
        else:
            field.fill(value)
    with page.expect_response(f"**/try/{service}*"):
        page.locator(f"#try-{service}").get_by_role("button").click()
    # The response is there; that its HTML is in its place takes the page a moment longer.
    expect(page.locator("form[aria-busy=true]")).to_have_count(0)
    return page.locator(f"#try-{service}-result")


def change_network(page: Page, what: str, **fields: object) -> None:
    """Change the network as somebody else does on another page: all are told of it at once."""
    form = {name: str(value) for name, value in fields.items()}
    page.evaluate(
        """([what, form]) => {
            const token = document.querySelector("[name=token]").value;
            const body = new URLSearchParams({ token, ...form });
            return fetch(`/network/${what}`, { method: "POST", body });
        }""",
        [what, form],
    )


def latencies(control: Relay) -> list[int]:
    """Return the latencies that the relay gives rest, in ms."""
    toxics = control.proxy("rest")["toxics"]
    return [each["attributes"]["latency"] for each in toxics if each["type"] == "latency"]


def wait_for_state(
    addresses: Mapping[str, Address], pages: Iterable[Page], server: str, state: str
) -> None:
    """Wait until pages show a state of a server, which the console is asked to look at now."""
    boxes = [page.locator(f"#service-{server}") for page in pages]

    def shown() -> bool:
        console.stack(addresses[console.SERVICE])
        return all(box.get_attribute("data-state") == state for box in boxes)

    until(shown, f"the box of {server} is {state}")


def show_all(page: Page) -> None:
    """Make the window as high as the page, so that all of it is seen at once."""
    size = page.viewport_size
    assert size is not None
    height = int(page.evaluate("document.documentElement.scrollHeight"))
    page.set_viewport_size({"width": size["width"], "height": max(height, size["height"])})


def found_by_axe(page: Page) -> list[str]:
    """Return what axe finds."""
    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {node['html'][:200]}" for each in found for node in each["nodes"]]


def too_faint(page: Page) -> list[str]:
    """Return each text with too little contrast."""
    show_all(page)
    low: dict[str, Any] = page.evaluate(f"({CONTRAST})({LEAST_CONTRAST})")
    return [f"contrast {ratio}: {text}" for text, ratio in low.items()]


def too_wide(page: Page) -> list[str]:
    """Return what makes the page scroll sideways, outermost elements first."""
    found: list[str] = page.evaluate("""() => {
        const width = document.documentElement.clientWidth;
        if (document.documentElement.scrollWidth <= width) return [];
        return [...document.body.querySelectorAll("*")]
            .filter((each) => each.getBoundingClientRect().right > width + 1)
            .map((each) => `${each.tagName} ${each.id} ${each.className}`).slice(0, 5);
    }""")
    return found
