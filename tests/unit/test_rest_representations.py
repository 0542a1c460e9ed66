"""Content negotiation, and the forms of an answer."""

import csv
import io
import json
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest

from services.rest.accept import acceptable, media_ranges
from services.rest.problems import Problem
from services.rest.representations import CSV, HTML, JSON, XML, Record, entity_headers, render

NASTY: list[Record] = [{"name": 'a,"b"\r\n<&>', "n": 1}, {"name": "Zoë 你", "n": -2}]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, "text/html"),
        ("", "text/html"),
        ("*/*", "text/html"),
        ("application/json", "application/json"),
        ("APPLICATION/JSON", "application/json"),
        ("application/json;charset=utf-8", "application/json"),
        ("application/*", "application/json"),
        ("text/csv, application/json", "application/json"),
        ("text/html;q=0.5, application/json", "application/json"),
        ("text/html;Q=0.5, application/json", "application/json"),
        ("text/html;q=0.5, */*;q=0.4", "text/html"),
        ("text/html;q=0, */*", "application/json"),
        ("text/*;q=0.1, */*;Q=1.000", "application/json"),
        ("*/*, text/*;q=0", "application/json"),
        ('text/html;x="a,b;q=1";q=0.1, application/json;q=0.2', "application/json"),
        ("text/html;q=2, application/json;q=0.001", "application/json"),
        ("junk, , ;q=, application/json ; q=1", "application/json"),
    ],
)
def test_the_best_of_what_is_accepted_is_chosen(accept: str | None, expected: str) -> None:
    """By quality, by the most specific range, then by the server's order (RFC 9110, 12.5.1)."""
    environ = {} if accept is None else {"HTTP_ACCEPT": accept}
    assert acceptable(environ, "text/html", "application/json") == expected


@pytest.mark.parametrize(
    "accept", ["image/png", "text/html;q=0", "text", "*/*;q=0.0", "text/html;q=2"]
)
def test_what_is_not_accepted_is_not_sent(accept: str) -> None:
    """406 says what there is, and that Accept decides."""
    with pytest.raises(Problem, match=r"^Available here: text/html\.$") as caught:
        acceptable({"HTTP_ACCEPT": accept}, "text/html")
    assert caught.value.status.value == 406
    assert caught.value.headers == [("Vary", "Accept")]


def test_one_header_chooses_among_what_each_route_offers() -> None:
    """What was found for it before was found for another offer."""
    environ = {"HTTP_ACCEPT": "application/xml;q=0.5, text/*;q=0.4"}
    assert acceptable(environ, "text/html", "application/xml") == "application/xml"
    assert acceptable(environ, "text/csv", "text/html") == "text/csv"


def test_an_unclosed_quote_ends_no_later_than_the_header() -> None:
    """A broken header takes no time and no range with it."""
    ranges = list(media_ranges('text/html;x="' + '"a,' * 2000))
    assert ranges[0] == ("text/html", 1.0)


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
    assert entity_headers(HTML, "ë".encode()) == [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Length", "2"),
    ]
    assert entity_headers(JSON, b"1")[0] == ("Content-Type", "application/json")


def test_there_is_no_other_representation() -> None:
    """A handler that offers a type which nothing writes fails at once."""
    with pytest.raises(ValueError, match="no representation as 'image/png'"):
        render("image/png", "x", {})


@pytest.mark.timeout(20)
@pytest.mark.parametrize("header", ['""' * 50_000 + '"', '"\\' * 50_000, 'a;q="' + "\\" * 99_999])
def test_a_quote_that_does_not_end_takes_the_rest_of_the_header(header: str) -> None:
    """Looking for its end once for each character would take minutes."""
    assert list(media_ranges(f"text/html, {header}")) != []
