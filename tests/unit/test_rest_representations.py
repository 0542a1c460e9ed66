"""The forms of an answer."""

import csv
import io
import json
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest

from services.rest.representations import CSV, HTML, JSON, XML, Record, headers, render

NASTY: list[Record] = [{"name": 'a,"b"\r\n<&>', "n": 1}, {"name": "Zoë 你", "n": -2}]


def test_json_is_the_value() -> None:
    """As UTF-8, without escapes for what needs none."""
    body = render(JSON, "rows", NASTY)
    assert json.loads(body) == NASTY
    assert "你".encode() in body


def test_csv_is_read_back_the_same() -> None:
    """Commas, quotes and line breaks survive (RFC 4180)."""
    text = render(CSV, "rows", NASTY).decode("utf-8")
    assert text.startswith("name,n\r\n")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [{"name": row["name"], "n": int(row["n"])} for row in rows] == NASTY


def test_xml_is_read_back_the_same() -> None:
    """Line breaks, which XML would change, survive as well."""
    root = ET.fromstring(render(XML, "rows", NASTY))  # noqa: S314 - our own document
    assert root.tag == "rows"
    rows = [{member.tag: member.text for member in item} for item in root]
    assert rows == [{"name": str(row["name"]), "n": str(row["n"])} for row in NASTY]


@pytest.mark.parametrize("character", ["\x00", "\x0b", "\x1f", "\ufffe"])
def test_xml_replaces_what_it_cannot_hold(character: str) -> None:
    """The document is well-formed whatever is in it."""
    root = ET.fromstring(render(XML, "x", {"a": f"<{character}>"}))  # noqa: S314 - our own
    assert root.findtext("a") == "<\ufffd>"


def test_html_shows_markup_as_text() -> None:
    """No value can become an element."""
    tags, texts = [], []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, _attributes: object) -> None:
            tags.append(tag)

        def handle_data(self, data: str) -> None:
            texts.append(data)

    Reader().feed(render(HTML, "<t>", {"<k>": "<script>"}).decode("utf-8"))
    assert tags == ["html", "head", "title", "body", "table", "tr", "th", "tr", "td"]
    assert [text for text in texts if text.strip()] == ["<t>", "<k>", "<script>"]


def test_the_headers_describe_the_bytes() -> None:
    """The length counts bytes; JSON has no charset (RFC 8259, 11)."""
    assert headers(HTML, "ë".encode()) == [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Length", "2"),
        ("Vary", "Accept"),
    ]
    assert headers(JSON, b"1")[0] == ("Content-Type", "application/json")


def test_there_is_no_other_representation() -> None:
    """A handler that offers a type which nothing writes fails at once."""
    with pytest.raises(ValueError, match="no representation as 'image/png'"):
        render("image/png", "x", {})
