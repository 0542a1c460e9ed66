"""The page docs/clients.md, which `make interop` writes."""

import pytest

from lab import ROOT
from tests.interop.matrix import (
    PYTHON,
    SECTIONS,
    Client,
    Outcome,
    Section,
    document,
    read,
    tables,
    unexpected,
)

PAGE = (ROOT / "docs/clients.md").read_text()
SECTION = SECTIONS[0]
RUBY, *_ = SECTION.clients

CLIENTS = [
    pytest.param(section, client, id=f"{client.name}: {section.title}")
    for section in SECTIONS
    for client in section.clients
]


@pytest.mark.parametrize(("section", "client"), CLIENTS)
def test_the_clients_of_a_section_make_the_same_checks(section: Section, client: Client) -> None:
    """In the same order and each once, or a row of the table would mean different things."""
    assert client.checks == section.clients[0].checks
    assert len(set(client.checks)) == len(client.checks) > 0


@pytest.mark.parametrize(("section", "client"), CLIENTS)
def test_the_page_has_what_every_client_does(section: Section, client: Client) -> None:
    """A row for each check of its program, and a cross where it is known to fail, and only there.

    Otherwise `make interop` is due.
    """
    table, column = tables(PAGE)[section.title], section.clients.index(client)
    assert client.software[0] in table.pop("check")[column]
    assert list(table) == client.checks
    failing = [check for check, cells in table.items() if cells[column].startswith("✗")]
    known = section.deviations.get(client.name, {})
    assert failing == [check for check in client.checks if check in known]
    assert {cells[column][0] for cells in table.values()} <= set("✓✗—")


def test_the_page_has_no_other_tables() -> None:
    """Each of its sections is one of matrix.py."""
    assert list(tables(PAGE)) == [section.title for section in SECTIONS]


def test_a_mark_that_is_no_pass_has_a_note() -> None:
    """It has the same number for the same reason, and a Python that was not there is named."""
    outcomes = [
        Outcome(check, None if check == "nil" else check not in SECTION.deviations["Ruby"], "none")
        for check in RUBY.checks
    ]
    versions = {"Ruby": "Ruby 3.3"}
    page = document({(SECTION.title, "Ruby"): outcomes}, versions)
    table = tables(page)[SECTION.title]
    assert table["check"][0] == "Ruby 3.3<br>xmlrpc (gem)"
    assert [table[check][0] for check in ("set", "get", "fault", "nil")] == [
        "✗ (1)", "✗ (1)", "✓", "— (3)",
    ]  # fmt: skip
    assert "\n1. Raises on the nil that `set` and `delete` return" in page
    assert "\n3. none\n" in page
    assert "\n1. Not run: there was no such Python" in page
    assert set(tables(page)[SECTIONS[-1].title]["handshake"]) == {"— (1)"}
    assert len(PYTHON) == len(tables(page)[SECTIONS[-1].title]["handshake"])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"check": "fault", "ok": true, "detail": ""}', []),
        ('{"check": "nil", "ok": null, "detail": "has none"}', []),
        ('{"check": "set", "ok": false, "detail": "E: wrong/unknown XML-RPC type \'nil\'"}', []),
        ('{"check": "set", "ok": false, "detail": "refused"}', ["set fails: refused"]),
        ('{"check": "fault", "ok": false, "detail": "2"}', ["fault fails: 2"]),
        (
            '{"check": "get", "ok": true, "detail": ""}',
            ["get passes, and is known to fail: Raises on the nil that `set` and `delete` return."],
        ),
    ],
    ids=["passes", "absent", "known", "fails otherwise", "fails", "passes unexpectedly"],
)
def test_only_what_is_known_may_fail(line: str, said: list[str]) -> None:
    """And what is known to fail has to, or the page would say what is not so any more."""
    assert unexpected(SECTION, RUBY, read(line)) == said
