"""The pictures of the console in docs/, which are written where `--pictures` says so."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from services.wire.diagram import CROSS
from tests.browser.acts import too_wide, try_it
from tests.browser.conftest import NARROW, WIDE, Visit

LARGEST = 150_000  # bytes
HEIGHTS = {WIDE: 760, NARROW: 844}


@pytest.mark.usefixtures("control")
@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_picture(
    visit: Visit, request: pytest.FixtureRequest, tmp_path: Path, theme: str, width: int
) -> None:
    """A network that loses one datagram of ten, and the ladder that shows one of them."""
    page = visit("/", width, HEIGHTS[width], dark=theme == "dark")
    expect(page.locator("#service-kv")).to_have_attribute("data-state", "healthy")
    page.locator("#seed").fill("7")
    page.locator("#profile-lossy").click()
    expect(page.locator("#active")).to_contain_text("lossy")
    for _ in range(20):
        if CROSS in str(try_it(page, "udp-time").text_content()):
            break
    page.locator("#conversations a", has_text="udp-time").first.click()
    expect(page.locator("#conversation svg.wire")).to_be_visible()
    assert too_wide(page) == []
    folder = request.config.getoption("--pictures") or tmp_path
    for part in ("stack", "conversation"):
        page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
        if part == "conversation":
            page.locator("#conversation").evaluate("it => it.scrollIntoView()")
        file = Path(folder, f"console-{part}-{width}-{theme}.png")
        page.screenshot(path=file, animations="disabled")
        assert file.stat().st_size < LARGEST
