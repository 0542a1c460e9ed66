"""The parameters of a request, and what is refused as one."""

from io import BytesIO
from typing import Any
from wsgiref.types import WSGIEnvironment

import pytest

from services.rest.parameters import MAX_FIELDS, Params, parameter, parameters
from services.rest.problems import Problem

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=b"


def environ(query: str = "", body: bytes = b"", kind: str = FORM, **extra: Any) -> WSGIEnvironment:
    """Return the part of a POST request's environment that counts here."""
    return {
        "REQUEST_METHOD": "POST",
        "QUERY_STRING": query,
        "CONTENT_TYPE": kind,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": BytesIO(body),
        **extra,
    }


def params(*args: Any, **kwargs: Any) -> Params:
    """Return the text parameters of a request."""
    return parameters(environ(*args, **kwargs), 10_000)[0]


def refusal(*args: Any, **kwargs: Any) -> tuple[int, str]:
    """Return status and detail of the problem that a request meets."""
    with pytest.raises(Problem) as caught:
        params(*args, **kwargs)
    return caught.value.status.value, caught.value.detail


class Unread:
    """An input that must not be read."""

    def read(self, _size: int) -> bytes:
        """Fail."""
        raise AssertionError("read")


def part(name: str, value: bytes, *headers: str) -> bytes:
    """Return one part of a form, with the boundary before it."""
    lines = [f'--b\r\nContent-Disposition: form-data; name="{name}"', *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + value + b"\r\n"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {}),
        ("name=Guido", {"name": "Guido"}),
        ("a=1&b=2&a=3", {"a": ["1", "3"], "b": "2"}),
        ("name=Zo%C3%AB+%26+%E4%BD%A0", {"name": "Zoë & 你"}),
        ("name=100%&b=%zz&c=%4", {"name": "100%", "b": "%zz", "c": "%4"}),
        ("name=a+b", {"name": "a b"}),
        ("a=b=c&=d", {"a": "b=c", "": "d"}),
        ("&&", {}),
    ],
)
def test_a_query_becomes_parameters(query: str, expected: Params) -> None:
    """As the URL Standard reads it, 5.1; a list if repeated."""
    assert params(query) == expected


@pytest.mark.parametrize(
    ("query", "body", "kind"),
    [
        pytest.param("name=", b"", FORM, id="query"),
        pytest.param("name", b"", FORM, id="query, no equals sign"),
        pytest.param("", b"name=", FORM, id="form"),
        pytest.param("", b"name", FORM, id="form, no equals sign"),
        pytest.param("", part("name", b"") + b"--b--", MULTIPART, id="multipart"),
    ],
)
def test_a_parameter_may_be_empty(query: str, body: bytes, kind: str) -> None:
    """It is there, wherever it comes from."""
    assert params(query, body, kind) == {"name": ""}
    twice = f"{query}&name=" if query else "name="
    assert params(twice, body, kind) == {"name": ["", ""]}


def test_a_form_goes_before_the_query() -> None:
    """As with cgi.FieldStorage, both count."""
    assert params("a=2", b"a=1") == {"a": ["1", "2"]}


def uploaded(*files: bytes) -> list[tuple[str, str, bytes]]:
    """Return field, name and content of each file of a multipart form."""
    _, found = parameters(environ(body=b"".join(files) + b"--b--\r\n", kind=MULTIPART), 10_000)
    return [(field, file.filename, file.raw) for field, some in found.items() for file in some]


def test_a_multipart_form_has_texts_and_files() -> None:
    """What has a file name is a file, and keeps its type."""
    body = (
        part("text", "Zoë".encode())
        + part('file"; filename="a.bin', b"\x00\xff", "Content-Type: image/png")
        + part('file"; filename="b.bin', b"")
        + b"--b--\r\n"
    )
    texts, files = parameters(environ(body=body, kind=MULTIPART), 10_000)
    assert texts == {"text": "Zoë"}
    assert [(file.filename, file.content_type, file.raw) for file in files["file"]] == [
        ("a.bin", "image/png", b"\x00\xff"),
        ("b.bin", "application/octet-stream", b""),
    ]


PIECE = 64 * 1024  # bytes, in which a parser may read a form


@pytest.mark.parametrize("end", [b"", b"\r\n", b"\r\nan epilogue\r\n" * 5], ids=len)
def test_a_multipart_form_may_be_of_any_size(end: bytes) -> None:
    """Wherever a piece of it ends: what follows the last boundary counts for nothing."""
    head, last = part('f"; filename="a', b"")[:-2], b"\r\n--b--"
    for size in (*range(PIECE - 4, PIECE + 5), *range(2 * PIECE - 4, 2 * PIECE + 5)):
        content = b"x" * (size - len(head) - len(last))
        body = head + content + last + end
        _, files = parameters(environ(body=body, kind=MULTIPART), len(body))
        assert files["f"][0].raw == content, size


def test_what_precedes_the_first_boundary_may_be_long() -> None:
    """A preamble, which counts for nothing either (RFC 2046, 5.1.1)."""
    body = b"a preamble\r\n" * PIECE + part("a", b"1") + b"--b--"
    assert parameters(environ(body=body, kind=MULTIPART), len(body)) == ({"a": "1"}, {})


@pytest.mark.parametrize("kind", ["multipart/form-data;\tboundary=b", MULTIPART + "\t;\tx=y"])
def test_parameters_of_a_type_may_be_after_tabs(kind: str) -> None:
    """Both are optional white space (RFC 9110, 5.6.3, 5.6.6)."""
    assert params(body=part("a", b"1") + b"--b--", kind=kind) == {"a": "1"}


def test_an_input_of_files_may_have_none() -> None:
    """A browser sends an empty name and no content then; what has either is a file."""
    none = part('f"; filename="', b"", "Content-Type: application/octet-stream")
    extended = part("f\"; filename*=UTF-8''; x=\"", b"")
    assert uploaded(none, extended) == []
    one = part('f"; filename="a', b"")
    assert uploaded(none, one, none) == [("f", "a", b"")]
    assert uploaded(part('f"; filename="', b"x")) == [("f", "", b"x")]


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('filename="a b.txt"', "a b.txt"),
        ("filename=a.txt", "a.txt"),
        ('filename="Zoë.txt"', "Zoë.txt"),
        ('filename="%22%0D%0A%25.txt"', '"\r\n%25.txt'),
        ("filename*=UTF-8''Zo%C3%AB.txt", "Zoë.txt"),
        ("FileName* = utf-8'en'a%20b%22.txt", 'a b".txt'),
        ("filename*=utf-8''it's.txt", "it's.txt"),
        ("filename*=UTF-8''Zo%C3%AB.txt; filename=\"Zoe.txt\"", "Zoë.txt"),
        ("filename=\"Zoe.txt\"; filename*=UTF-8''Zo%C3%AB.txt", "Zoë.txt"),
        ("filename=\"a; filename*=UTF-8''b\"", "a; filename*=UTF-8''b"),
        ("filename=\"a\"; xfilename*=UTF-8''b", "a"),
        ("filename=\"Zoe.txt\"; filename*=ISO-8859-1''Zo%EB.txt", "Zoe.txt"),
        ("filename=\"Zoe.txt\"; filename*=UTF-8''Zo%EB.txt", "Zoe.txt"),
        ("filename*=UTF-8''Zo%zz.txt; filename=\"Zoe.txt\"", "Zoe.txt"),
        (r"""filename="a\"; filename*=UTF-8''b" """, """a"; filename*=UTF-8''b"""),
    ],
)
def test_a_file_has_the_name_that_its_part_gives_it(disposition: str, name: str) -> None:
    """As browsers write it (RFC 7578, 4.2), or as other clients do (RFC 8187)."""
    body = f'--b\r\nContent-Disposition: form-data; name="f"; {disposition}\r\n\r\nx\r\n'.encode()
    assert uploaded(body) == [("f", name, b"x")]


@pytest.mark.parametrize(
    "value",
    [
        "ISO-8859-1''Zo%EB",
        "UTF-8''Zo%EB",
        "Zo%C3%AB",
        "UTF-8'Zo%C3%AB",
        "UTF-8''%zz",
        "\"UTF-8''a\"",
        "",
    ],
)
def test_a_file_name_that_is_not_utf8_is_a_bad_request(value: str) -> None:
    """RFC 8187, 3.2.1, has all recipients understand UTF-8, and nothing else."""
    body = part(f'f"; filename*={value}; x="', b"x") + b"--b--"
    status, detail = refusal(body=body, kind=MULTIPART)
    assert status == 400
    assert detail.endswith(" is not UTF-8 as in RFC 8187.")


def test_the_charset_that_a_part_names_is_not_used() -> None:
    """Some of Python's codecs take a time that is quadratic, or are none for text."""
    body = part("a", "é".encode(), "Content-Type: text/plain; charset=zlib") + b"--b--\r\n"
    assert params(body=body, kind=MULTIPART) == {"a": "é"}


def test_a_body_of_get_means_nothing() -> None:
    """It is not even read."""
    extra = {"REQUEST_METHOD": "GET", "wsgi.input": None}
    assert params("a=1", b"a=2", **extra) == {"a": "1"}


def test_an_empty_body_may_have_any_type() -> None:
    """There is nothing not to be understood."""
    assert params(body=b"", kind="application/json") == {}


@pytest.mark.parametrize("kind", ["application/json", "text/plain", ""])
def test_a_body_that_is_no_form_is_unsupported(kind: str) -> None:
    """415 names the type, and those that are accepted (RFC 9110, 15.5.16)."""
    with pytest.raises(Problem, match=f"^A body of type '{kind}' is not supported") as caught:
        params(body=b"{}", kind=kind)
    assert caught.value.status.value == 415
    forms = "application/x-www-form-urlencoded, multipart/form-data"
    assert caught.value.headers == [("Accept", forms)]


@pytest.mark.parametrize("coding", ["gzip", "br", "x-gzip", "gzip, identity", "aws-chunked"])
def test_a_compressed_body_is_unsupported(coding: str) -> None:
    """415 says what is accepted (RFC 9110, 15.5.16), and the body is not read."""
    extra = {"HTTP_CONTENT_ENCODING": coding, "wsgi.input": Unread()}
    with pytest.raises(Problem, match=f"^A body of Content-Encoding '{coding}' is ") as caught:
        params(body=b"a=1", **extra)
    assert caught.value.status.value == 415
    assert caught.value.headers == [("Accept-Encoding", "identity")]


@pytest.mark.parametrize("coding", ["", "identity", "Identity"])
def test_a_body_may_say_that_it_is_not_compressed(coding: str) -> None:
    """In any case (RFC 9110, 8.4.1)."""
    assert params(body=b"a=1", HTTP_CONTENT_ENCODING=coding) == {"a": "1"}


@pytest.mark.parametrize(
    ("query", "character"),
    [("name=Zo\xc3\xab", "'ë' as %C3%AB"), ("a=\xff", r"'\udcff' as %FF"), ("a=#", "'#' as %23")],
)
def test_a_query_is_percent_encoded(query: str, character: str) -> None:
    """What is not ASCII is no part of a URL (RFC 3986, 2), and is not guessed at."""
    assert refusal(query) == (400, f"In the query, percent-encode {character}.")


@pytest.mark.parametrize(
    ("query", "body", "kind"),
    [
        pytest.param("a=%FF", b"", FORM, id="query-not-utf8"),
        pytest.param("", b"a=%FF", FORM, id="form-not-utf8"),
        pytest.param("", b"a=\xff", FORM, id="form-bytes-not-utf8"),
        pytest.param("&".join(["a=1"] * (MAX_FIELDS + 1)), b"", FORM, id="too-many-in-query"),
        pytest.param("", part("a", b"\xff") + b"--b--", MULTIPART, id="part-not-utf8"),
        pytest.param("", b"--b--", "multipart/form-data", id="no-boundary"),
        pytest.param("", b"junk", MULTIPART, id="boundary-missing"),
        pytest.param("", part("a", b"1"), MULTIPART, id="end-missing"),
        pytest.param("", b"--b\r\nX: y\r\n\r\n1\r\n--b--", MULTIPART, id="no-disposition"),
        pytest.param(
            "",
            b"--b\r\nContent-Disposition: form-data\r\n\r\n1\r\n--b--",
            MULTIPART,
            id="no-name",
        ),
    ],
)
def test_what_is_malformed_is_a_bad_request(query: str, body: bytes, kind: str) -> None:
    """Nothing is guessed or replaced."""
    assert refusal(query, body, kind)[0] == 400


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(part("a", b"1") * (MAX_FIELDS + 1) + b"--b--", id="parts"),
        pytest.param(part("a", b"1", *["X: y"] * 8) + b"--b--", id="headers"),
        pytest.param(part("a", b"1", "X: " + "y" * 4096) + b"--b--", id="header-size"),
    ],
)
def test_a_multipart_form_has_limits(body: bytes) -> None:
    """More than the allowed number of parts or headers, or a longer header, is too large."""
    with pytest.raises(Problem) as caught:
        parameters(environ(body=body, kind=MULTIPART), len(body))
    assert caught.value.status.value == 413


def test_as_many_parameters_as_allowed_are_taken() -> None:
    """The limit is the largest number that is allowed."""
    assert len(params("&".join(["a=1"] * MAX_FIELDS))["a"]) == MAX_FIELDS


@pytest.mark.parametrize("length", ["10001", "9" * 18, "9" * 5000])
def test_what_is_announced_as_too_large_is_not_read(length: str) -> None:
    """However many digits the length has."""
    extra = {"CONTENT_LENGTH": length, "wsgi.input": Unread()}
    assert refusal(**extra) == (413, "A body may have at most 10000 bytes.")


@pytest.mark.parametrize(
    "length", ["-1", "+1", " 1", "1_0", "x", "\N{ARABIC-INDIC DIGIT ONE}", "²"]
)
def test_a_length_is_only_digits(length: str) -> None:
    """Everything else that int() would take is refused as well."""
    assert refusal(CONTENT_LENGTH=length) == (400, "Content-Length is not a number.")


def test_a_body_that_ends_early_is_a_bad_request() -> None:
    """Half a form is none."""
    assert refusal(body=b"a=1", CONTENT_LENGTH="4") == (
        400,
        "The body is shorter than its Content-Length.",
    )


def test_no_more_than_the_length_is_read() -> None:
    """PEP 3333: what comes after the body is not the application's."""
    assert params(body=b"a=1&b=2", CONTENT_LENGTH="3") == {"a": "1"}


def test_a_body_without_a_length_is_counted_while_reading() -> None:
    """Where the server ends the input with the body, as gunicorn does."""
    extra = {"CONTENT_LENGTH": "", "wsgi.input_terminated": True}
    assert params(body=b"a=1", **extra) == {"a": "1"}
    stream = BytesIO(bytes(20_000))
    assert refusal(**extra | {"wsgi.input": stream})[0] == 413
    assert stream.tell() == 10_001


def test_a_chunked_body_that_the_server_cannot_read_needs_a_length() -> None:
    """Rather than being taken for an empty one."""
    extra = {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input": Unread()}
    assert refusal(**extra)[0] == 411


@pytest.mark.parametrize(
    ("error", "status"),
    [(TimeoutError(), 408), (BlockingIOError(), 408), (OSError(), 400), (ValueError(), 400)],
)
def test_a_body_that_does_not_come_is_a_problem(error: Exception, status: int) -> None:
    """Whatever the server raises while reading."""

    class Failing:
        def read(self, _size: int) -> bytes:
            raise error

    assert refusal(body=b"a=1", **{"wsgi.input": Failing()})[0] == status


def test_a_parameter_is_one_text() -> None:
    """A missing or repeated one is a bad request that names it."""
    assert parameter({"params": {"name": "x"}}, "name") == "x"
    for present, fault in (({}, "missing"), ({"name": ["x", "y"]}, "given more than once")):
        with pytest.raises(Problem, match=f"^The parameter 'name' is {fault}.$"):
            parameter({"params": present}, "name")
