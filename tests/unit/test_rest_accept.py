"""Which media type a client gets for the Accept header that it sends."""

import pytest

from services.rest.accept import acceptable, media_ranges
from services.rest.problems import Problem
from services.rest.representations import CSV, HTML, JSON, XML

HELLO = (HTML, JSON, XML, CSV)  # what /hello offers
LOCALTIME = (XML, JSON, CSV, HTML)

# What clients send unless they are told otherwise, and what they get from the two.
CLIENTS = [
    ("curl, wget, requests, Ruby's Net::HTTP", "*/*", HTML, XML),
    ("Java 6 to 17", "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", HTML, HTML),
    ("Java 18", "text/html, image/gif, image/jpeg, */*; q=0.2", HTML, HTML),
    ("soapUI", "text/xml, text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", HTML, XML),
    ("Firefox, Safari", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
     HTML, HTML),
    ("Chrome", ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,"
     "image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7"), HTML, HTML),
    ("Chrome, for a picture", "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8",
     HTML, XML),
    ("Internet Explorer 6", "image/gif, image/x-xbitmap, image/jpeg, image/pjpeg, */*", HTML, XML),
    ("Internet Explorer 11", "text/html, application/xhtml+xml, */*", HTML, HTML),
    ("Lynx", "text/html, text/plain, text/sgml, text/css, */*;q=0.01", HTML, HTML),
    ("axios, Angular", "application/json, text/plain, */*", JSON, JSON),
    ("jQuery.getJSON", "application/json, text/javascript, */*; q=0.01", JSON, JSON),
    ("HTTPie", "application/json, */*;q=0.5", JSON, JSON),
    ("Spring's RestTemplate", "text/plain, application/json, application/*+json, */*", JSON, JSON),
    ("kubectl", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json", JSON, JSON),
    ("Ruby's rest-client", "*/*; q=0.5, application/xml", XML, XML),
    ("feedparser", ("application/atom+xml,application/rdf+xml,application/rss+xml,"
     "application/x-netcdf,application/xml;q=0.9,text/xml;q=0.2,*/*;q=0.1"), XML, XML),
    ("SimplePie", ("application/atom+xml, application/rss+xml, application/rdf+xml;q=0.9, "
     "application/xml;q=0.8, text/xml;q=0.8, text/html;q=0.7, unknown/unknown;q=0.1, "
     "application/unknown;q=0.1, */*;q=0.1"), XML, XML),
]  # fmt: skip


@pytest.mark.parametrize(
    ("accept", "hello", "localtime"),
    [pytest.param(*what, id=client) for client, *what in CLIENTS],
)
def test_clients_get_what_they_ask_for(accept: str, hello: str, localtime: str) -> None:
    """The header that a program sends by itself selects what its users expect."""
    environ = {"HTTP_ACCEPT": accept}
    assert (acceptable(environ, *HELLO), acceptable(environ, *LOCALTIME)) == (hello, localtime)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        # Nothing is asked for.
        (None, HTML),
        ("", HTML),
        ("  ", HTML),
        (", ,", HTML),
        # Ranges, whatever their case, and the blanks and empty elements around them.
        ("*/*", HTML),
        ("*", HTML),
        (JSON, JSON),
        ("APPLICATION/JSON", JSON),
        ("application/*", JSON),
        ("text/csv, application/json", JSON),
        ("\t,application/json ,, image/png", JSON),
        # Weights.
        ("text/html;q=0.5, application/json", JSON),
        ("text/html ; Q = 0.5 , application/json\t;\tq=0.501", JSON),
        ("text/html;q=0.001, application/json;q=0", HTML),
        ("text/html;q=0., application/json;q=1.", JSON),
        # Weights that RFC 9110 does not have, and clients do.
        ("text/html;q=.8, application/json;q=.9", JSON),
        ("text/html;q=0.12341, application/json;q=0.12342", JSON),
        ("text/html;q=0.9, application/json;q=1.0000", JSON),
        ('text/html;q="0.8", application/json;q="0.9"', JSON),
        ("text/html;q=0.8), application/json;q=0.9)", JSON),
        ("text/html;q=1, application/json;q=2", HTML),
        ("text/html;q=0.9, application/json;q=high", JSON),
        ("text/html;q=0.9, application/json;q=", JSON),
        ("text/html;q=0.9, application/json;q", JSON),
        ("text/html;q=0.9, application/json;q=" + "9" * 5000, JSON),
        # The most specific range decides, even if another one has a higher weight ...
        ("text/html;q=0.5, */*;q=0.4", HTML),
        ("text/html;q=0, */*", JSON),
        ("text/*;q=0.1, */*;Q=1.000", JSON),
        ("*/*, text/*;q=0", JSON),
        ("text/html;q=0.1, text/*;q=0.9, application/json;q=0.2", JSON),
        # ... and between equal weights.
        ("*/*, application/json", JSON),
        ("*/*, application/*", JSON),
        ("*/*;q=0.5, application/json;q=0.5", JSON),
        ("text/*, application/json", JSON),
        ("application/json, text/html", HTML),
        # Of one range sent twice, the higher weight.
        ("application/json;q=0.9, text/html;q=0.8, application/json;q=0.1", JSON),
        # Parameters: what has none is meant by a range without any, or else by one with some.
        ("application/json;charset=utf-8", JSON),
        ("text/html;level=1, text/html;q=0.4, application/json;q=0.5", JSON),
        ("text/html;q=0.4, text/html;level=1, application/json;q=0.5", JSON),
        ("text/html;level=1;q=0.4, application/json;q=0.5", JSON),
        ("text/html;q=0.4;level=1, application/json;q=0.5;;", JSON),
        ('text/html;x="a,b;q=1";q=0.1, application/json;q=0.2', JSON),
        (r'text/html;x="\",*/*;q=1";q=0.1, application/json;q=0.2', JSON),
        # What is no range at all.
        ("junk, , ;q=, application/json ; q=1", JSON),
        (";, application/json", JSON),
        (";;, =, /, application/json", JSON),
    ],
)
def test_the_best_of_what_is_accepted_is_chosen(accept: str | None, expected: str) -> None:
    """By weight, by the most specific range, then by the server's order (RFC 9110, 12.5.1)."""
    environ = {} if accept is None else {"HTTP_ACCEPT": accept}
    assert acceptable(environ, HTML, JSON) == expected


@pytest.mark.parametrize(
    "accept",
    [
        "image/png",
        "text",
        "text/plain;q=1, application/*",
        "text/html;q=0",
        "text/html;q=0.000, */*",
        "text/html;q=.0",
        "*/*;q=0.0",
        "*;q=0",
        "text/*;q=0, */*",
    ],
)
def test_what_is_not_accepted_is_not_sent(accept: str) -> None:
    """406 says what there is, and that Accept decides."""
    with pytest.raises(Problem, match=r"^Available here: text/html\.$") as caught:
        acceptable({"HTTP_ACCEPT": accept}, HTML)
    assert caught.value.status.value == 406
    assert caught.value.headers == [("Vary", "Accept")]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("text/xml", XML),
        ("text/xml;q=0.5, application/xml;q=0.1, text/csv;q=0.4", XML),
        ("text/xml;charset=utf-8", XML),
        ("text/*", CSV),
    ],
)
def test_xml_has_two_names(accept: str, expected: str) -> None:
    """`text/xml` is an alias of `application/xml` (RFC 7303, 9.2), but this is not in `text/*`."""
    assert acceptable({"HTTP_ACCEPT": accept}, XML, CSV) == expected


def test_one_header_chooses_among_what_each_route_offers() -> None:
    """What was found for it before was found for another offer."""
    environ = {"HTTP_ACCEPT": "application/xml;q=0.5, text/*;q=0.4"}
    assert acceptable(environ, HTML, XML) == XML
    assert acceptable(environ, CSV, HTML) == CSV


def test_an_unclosed_quote_ends_no_later_than_the_header() -> None:
    """A broken header takes no time and no range with it."""
    ranges = list(media_ranges('text/html;x="' + '"a,' * 2000))
    assert ranges[0] == (False, 1.0, HTML)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("header", ['""' * 50_000 + '"', '"\\' * 50_000, 'a;q="' + "\\" * 99_999])
def test_a_quote_that_does_not_end_takes_the_rest_of_the_header(header: str) -> None:
    """Looking for its end once for each character would take minutes."""
    assert list(media_ranges(f"text/html, {header}")) != []
