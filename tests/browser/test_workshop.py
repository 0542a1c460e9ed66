"""The workshop: how far each person of the class is."""

from datetime import UTC, datetime

from playwright.sync_api import expect

from clients import class_results
from clients.class_results import Reached
from tests.browser.conftest import Addresses, Visit


def test_what_somebody_reaches_is_soon_in_the_table(visit: Visit, addresses: Addresses) -> None:
    """A row for each person, while the page is open."""
    page = visit()
    table = page.locator("#class")
    expect(table).not_to_contain_text("otter-31")
    since = datetime.now(UTC)
    reached = {1: Reached(4, 4, "", since), 2: Reached(1, 5, "2.2", since)}
    class_results.write(addresses["kv"], "otter-31", reached)
    row = table.get_by_role("row", name="otter-31")
    expect(row).to_contain_text("2.2")
