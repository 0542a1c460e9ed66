"""The HTTP recipes without a network: what they have in common, and what they are made of."""

import argparse
import inspect
import time
from email.parser import BytesParser
from email.policy import HTTP
from email.utils import formatdate
from http.client import HTTPMessage
from pathlib import Path

import pytest

from clients.addresses import Address
from clients.http import command, with_requests, with_urllib
from clients.http.headers import combined
from clients.http.messages import Answer, same_server
from clients.http.multipart import multipart

RECIPES = [
    "get",
    "post_form",
    "post_with_headers",
    "views",
    "head",
    "basic_auth",
    "carry_cookies",
    "upload",
    "follow_redirect",
    "stop_at_redirect",
    "answer_within",
    "get_with_retries",
    "download",
    "send",
]


@pytest.mark.parametrize("name", RECIPES)
def test_both_libraries_have_the_same_recipe(name: str) -> None:
    """The same name has the same arguments and result in both files."""
    signatures = [
        inspect.signature(getattr(module, name)) for module in (with_urllib, with_requests)
    ]
    assert signatures[0] == signatures[1]


def test_both_libraries_have_them_in_the_same_order() -> None:
    """The two files can be read side by side."""
    for module in (with_urllib, with_requests):
        own = [
            name
            for name, value in vars(module).items()
            if inspect.isfunction(value) and value.__module__ == module.__name__
        ]
        assert own[: len(RECIPES)] == RECIPES


def test_a_header_is_found_in_any_case() -> None:
    """Names of headers are the same in upper and lower case, and the first of two is returned."""
    answer = Answer("", 200, "OK", (("Set-Cookie", "a=1"), ("set-cookie", "b=2")), b"")

    assert answer.header("SET-COOKIE") == "a=1"
    assert answer.header("Cookie") is None


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ([], {}),
        ([("X-A", "1")], {"X-A": "1"}),
        ([("X-A", "1"), ("Y", ""), ("x-a", "2"), ("X-A", "1")], {"X-A": "1, 2, 1", "Y": ""}),
        ([("Cookie", "a=1; b=2"), ("COOKIE", "c=3")], {"Cookie": "a=1; b=2; c=3"}),
        ([("A", ""), ("A", "1"), ("A", "")], {"A": "1"}),
        ([("A", ""), ("A", "")], {"A": ""}),
    ],
)
def test_headers_of_one_name_become_one(given: list[tuple[str, str]], sent: dict[str, str]) -> None:
    """With all their values: by commas, and cookies by semicolons."""
    assert combined(given) == sent


@pytest.mark.parametrize(
    ("url", "other", "same"),
    [
        ("http://lab:8081/get", "http://lab:8081/", True),
        ("http://lab:8081/get", "http://lab:8082/get", False),
        ("http://lab:8081/get", "https://lab:8081/get", False),
        ("http://lab:8081/get", "http://lab:8081@example.org/get", False),
    ],
)
def test_scheme_host_and_port_make_a_server(url: str, other: str, *, same: bool) -> None:
    """Whatever else differs in two URLs, these three decide."""
    assert same_server(url, other) == same


def test_a_multipart_body_is_what_the_standard_library_reads(tmp_path: Path) -> None:
    """Boundary, headers and line ends of the hand-made body are as RFC 7578 wants them."""
    file = tmp_path / 'a "quoted"\r\nname.txt'
    file.write_bytes(b"\r\n--\xff\x00\r\n")

    content_type, body = multipart(
        [("näme", "one\r\ntwo"), ("näme", "")], [("file", file.name, file.read_bytes())]
    )

    message = BytesParser(policy=HTTP).parsebytes(
        f"Content-Type: {content_type}\r\n\r\n".encode() + body
    )
    parts = list(message.iter_parts())
    assert [part.get_param("filename", header="content-disposition") for part in parts] == [
        None,
        None,
        "a %22quoted%22%0D%0Aname.txt",
    ]
    assert [part.get_payload(decode=True) for part in parts] == [
        b"one\r\ntwo",
        b"",
        file.read_bytes(),
    ]
    assert body.startswith(b"--")
    assert body.count('form-data; name="näme"\r\n'.encode()) == 2


def test_no_two_boundaries_are_the_same() -> None:
    """Who makes a file cannot know the boundary that it will be sent with."""
    types = {multipart([], [("file", "name", b"")])[0] for _ in range(100)}

    assert len(types) == 100
    assert {len(content_type) for content_type in types} == {
        len("multipart/form-data; boundary=") + 32
    }


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        pytest.param("120", 120.0, id="seconds"),
        pytest.param(" 0 ", 0.0, id="at once"),
        pytest.param("Fri, 31 Dec 1999 23:59:59 GMT", 0.0, id="a date in the past"),
        pytest.param("soon", None, id="neither"),
        pytest.param("-1", None, id="negative"),
        pytest.param("", None, id="empty"),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    """Both forms are read, and anything else counts for nothing."""
    headers = HTTPMessage()
    headers["Retry-After"] = value

    assert with_urllib.retry_after(headers) == seconds


def test_retry_after_counts_from_now_to_a_date() -> None:
    """A date an hour ahead is an hour to wait."""
    headers = HTTPMessage()
    headers["Retry-After"] = formatdate(time.time() + 3600, usegmt=True)

    assert with_urllib.retry_after(headers) == pytest.approx(3600, abs=60)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["G T", "/"], "METHOD: 'G T' is not a method such as GET"),
        (["GET", "get"], "PATH: 'get' is not a path such as /get"),
        (["GET", "http://example.org/"], "PATH: 'http://example.org/' is not a path such as /get"),
        (["GET", "//example.org/"], "PATH: '//example.org/' is not a path such as /get"),
        (["GET", "/a b"], "PATH: '/a b' is not a path such as /get"),
        (["GET", "/", "name"], "NAME=VALUE: 'name' is not NAME=VALUE"),
        (["POST", "/", "--form", "=1"], "-F/--form: '=1' is not NAME=VALUE"),
        (["GET", "/", "-H", "Spam"], "-H/--header: 'Spam' is not 'NAME: VALUE'"),
        (["GET", "/", "-H", "A: b\nC: d"], r"-H/--header: 'A: b\nC: d' is not 'NAME: VALUE'"),
        (["GET", "/", "--user", "me"], "-u/--user: 'me' is not USER:PASSWORD"),
        (["GET", "/", "--file", "/nowhere"], "--file: '/nowhere' is not a file that can be read"),
        (["GET", "/", "--retries", "-1"], "--retries: '-1' is not a whole number from 0 to 100"),
        (["GET", "/", "--library", "curl"], "--library: invalid choice: 'curl'"),
    ],
)
def test_a_bad_option_is_named_with_its_value(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistake ends with one line that says where and what it is."""
    parser = argparse.ArgumentParser()
    command.configure(parser)

    with pytest.raises(SystemExit):
        parser.parse_args(arguments)

    assert f"error: argument {message}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["POST", "/post", "--retries", "2"], "--retries has value 2. Not for POST"),
        (["HEAD", "/html", "-o", "file"], "--output has value 'file'. Not for HEAD"),
        (["GET", "/get", "-o", "/nowhere/file"], "--output has value '/nowhere/file'. Not a file"),
    ],
)
def test_options_that_do_not_go_together_are_refused(arguments: list[str], message: str) -> None:
    """Before anything is sent, the option is named that cannot be followed."""
    parser = argparse.ArgumentParser()
    command.configure(parser)
    parser.set_defaults(timeout=1.0)

    with pytest.raises(ValueError, match=message):
        command.command(parser.parse_args(arguments), Address("127.0.0.1", 1))
