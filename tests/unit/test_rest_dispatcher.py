"""The dispatcher, under wsgiref's validator, which raises wherever either side breaks PEP 3333."""

import json
import logging
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from io import BytesIO, StringIO
from typing import Any, NamedTuple
from urllib.parse import unquote
from wsgiref.handlers import SimpleHandler
from wsgiref.headers import Headers
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from services.rest.app import application
from services.rest.dispatcher import PathDispatcher
from services.rest.problems import Problem

FILE = b'--b\r\nContent-Disposition: form-data; name="f"; filename="a.txt"\r\n\r\nabc\r\n--b--\r\n'


class Answer(NamedTuple):
    """What came through the validator."""

    status: str
    headers: Headers
    body: bytes


def call(
    app: WSGIApplication, method: str, path: str, query: str = "", body: bytes = b"", **extra: Any
) -> Answer:
    """Make a request as a WSGI server would, and return the answer."""
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": BytesIO(body),
        **extra,
    }
    setup_testing_defaults(environ)
    started: list[Any] = []  # status and headers
    sent: list[bytes] = []

    def start_response(
        status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], object]:
        if exc_info and sent:
            raise exc_info[1]
        assert exc_info or not started, "the second one has to say that it replaces the first"
        started[:] = status, headers
        return sent.append

    blocks = validator(app)(environ, start_response)
    try:
        for block in blocks:
            sent.append(block)  # noqa: PERF402 - one by one: start_response looks at it
    finally:
        blocks.close()  # type: ignore[attr-defined]
    status, headers = started
    return Answer(status, Headers(headers), b"".join(sent))


def plain(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the parameters."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "9")])
    return [json.dumps(environ["params"]).encode()]


class Closed:
    """A WSGI application that is its own iterable, and counts the calls of its close()."""

    def __init__(self) -> None:
        self.closed = 0

    def __call__(self, _environ: WSGIEnvironment, start_response: StartResponse) -> "Closed":
        """Answer."""
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "1")])
        return self

    def __iter__(self) -> Iterator[bytes]:
        return iter([b"x"])

    def close(self) -> None:
        """Count."""
        self.closed += 1


@pytest.fixture
def dispatcher() -> PathDispatcher:
    """Return a dispatcher without handlers."""
    return PathDispatcher()


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "DELETE"])
@pytest.mark.parametrize("path", [*application.pathmap, "/nothing"])
def test_every_route_is_clean_under_the_validator(path: str, method: str) -> None:
    """Whatever is sent and accepted, the answer keeps to PEP 3333 and is no 500."""
    bodies = {
        "application/x-www-form-urlencoded": b"name=x",
        "multipart/form-data; boundary=b": FILE,
        "application/json": b"{}",
        "": b"",
    }
    for accept in ("*/*", "application/json", "text/html", "image/png"):
        for content_type, body in bodies.items():
            extra = {"HTTP_ACCEPT": accept, "CONTENT_TYPE": content_type}
            answer = call(application, method, path, body=body, **extra)
            assert int(answer.status[:3]) < 500
            assert "Content-Length" in answer.headers or answer.status == "204 No Content"
            assert method != "HEAD" or answer.body == b""


def test_register_returns_the_function(dispatcher: PathDispatcher) -> None:
    """So that it can be registered again, or stand under a decorator."""
    assert dispatcher.register("get", "/", plain) is plain
    assert call(dispatcher, "GET", "/").body == b"{}"


def test_a_path_parameter_becomes_a_parameter(dispatcher: PathDispatcher) -> None:
    """It is decoded from UTF-8, and goes before one of the query."""
    dispatcher.register("GET", "/a.b/{name}/c", plain)
    path = "/a.b/Zoë/c".encode().decode("latin-1")
    assert json.loads(call(dispatcher, "GET", path, "name=x&y=z").body) == {
        "name": "Zoë",
        "y": "z",
    }
    assert call(dispatcher, "GET", "/aXb/x/c").status == "404 Not Found"
    assert call(dispatcher, "GET", "/a.b//c").status == "404 Not Found"
    assert call(dispatcher, "GET", "/a.b/x/y/c").status == "404 Not Found"


def test_a_path_with_fewer_parameters_goes_first(dispatcher: PathDispatcher) -> None:
    """Whichever of them was registered earlier."""
    for path in ("/{a}/{b}", "/{a}/x", "/x/x"):
        dispatcher.register("GET", path, plain)
    assert call(dispatcher, "GET", "/x/x").body == b"{}"
    assert call(dispatcher, "GET", "/y/x").body == b'{"a": "y"}'
    assert json.loads(call(dispatcher, "GET", "/y/y").body) == {"a": "y", "b": "y"}


def test_paths_that_match_the_same_share_its_methods(dispatcher: PathDispatcher) -> None:
    """Each is asked in turn, and Allow has the methods of all (RFC 9110, 10.2.1)."""
    dispatcher.register("POST", "/me", plain)
    dispatcher.register("GET", "/{name}", plain)
    dispatcher.register("PUT", "/{other}", plain)
    dispatcher.register("DELETE", "/{name}/x", plain)
    assert call(dispatcher, "POST", "/me").body == b"{}"
    assert call(dispatcher, "GET", "/me").body == b'{"name": "me"}'
    assert call(dispatcher, "PUT", "/me").body == b'{"other": "me"}'
    assert call(dispatcher, "HEAD", "/me").status == "200 OK"
    for method, status in (("DELETE", 405), ("OPTIONS", 204)):
        answer = call(dispatcher, method, "/me")
        assert answer.status.startswith(str(status))
        assert answer.headers["Allow"] == "GET, HEAD, OPTIONS, POST, PUT"
    assert call(dispatcher, "POST", "/you").headers["Allow"] == "GET, HEAD, OPTIONS, PUT"
    # Nothing is looked at but the path (RFC 9110, 9.3.7).
    answer = call(dispatcher, "OPTIONS", "/me", "%FF", b"{}", CONTENT_TYPE="application/json")
    assert answer.status == "204 No Content"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/x/Guido", "Guido"),
        ("/x/AC%2FDC", "AC/DC"),
        ("/x/AC%2fDC", "AC/DC"),
        ("/%78/%47uido", "Guido"),
        ("/x/100%25", "100%"),
        ("/x/AC%252FDC", "AC%2FDC"),
        ("/x/Zo%C3%AB", "Zoë"),
        ("/x/a%5Cb%00c", "a\\b\0c"),
        ("/x/..", ".."),
        ("/x/%2E", "."),
        ("/x/{name}", "{name}"),
        ("/x/a+b;c=d,e:@!$&'()*", "a+b;c=d,e:@!$&'()*"),
        ('/x/"<>\\^`|', '"<>\\^`|'),
        ("/x/a?name=b&c=/d", "a"),
        ("http://h/x/a%2Fb?c", "a/b"),
        ("HTTPS://h:1/x/a", "a"),
        ("/x/ahttp://h", None),
        ("/x%2FGuido", None),
        ("/x/", None),
        ("/x//", None),
        ("//x/a", None),
        ("/x//a", None),
        ("/x/a/", None),
        ("/x/a/b", None),
        ("/./x/a", None),
        ("/y/../x/a", None),
    ],
)
def test_an_encoded_slash_is_data(
    dispatcher: PathDispatcher, target: str, expected: str | None
) -> None:
    """The raw path is split, then its segments are decoded, once (RFC 3986, 2.2 and 2.4)."""
    dispatcher.register("GET", "/x/{name}", plain)
    path = re.sub("^https?://[^/]*", "", target, flags=re.IGNORECASE).partition("?")[0]
    answer = call(dispatcher, "GET", unquote(path, "latin-1"), RAW_URI=target)
    if expected is None:
        assert answer.status == "404 Not Found"
    else:
        assert json.loads(answer.body) == {"name": expected}


def test_a_literal_path_may_be_written_in_many_ways(dispatcher: PathDispatcher) -> None:
    """Percent-encoded where it has to be, and where it does not (RFC 3986, 6.2.2.2)."""
    dispatcher.register("GET", "/a b/100%/Zoë/c;d=(1,@)", plain)
    for target in (
        "/a%20b/100%25/Zo%C3%AB/c;d=(1,@)",
        "/%61%20%62/1%30%30%25/%5Ao%c3%ab/c%3bd%3D%281%2C%40%29",
    ):
        answer = call(dispatcher, "GET", unquote(target, "latin-1"), RAW_URI=target)
        assert answer.status == "200 OK"


@pytest.mark.parametrize(
    ("target", "detail"),
    [
        ("/%FF", "The path is not UTF-8."),
        ("/%C3", "The path is not UTF-8."),
        ("/%C3%2F%AB", "The path is not UTF-8."),
        ("/%", "In the path, percent-encode '%' as %25."),
        ("/100%", "In the path, percent-encode '%' as %25."),
        ("/%4", "In the path, percent-encode '%' as %25."),
        ("/%zz", "In the path, percent-encode '%' as %25."),
        ("/%25%u0041", "In the path, percent-encode '%' as %25."),
        ("/Zo\xc3\xab", "In the path, percent-encode 'ë' as %C3%AB."),
        ("/\xff", "In the path, percent-encode '\\udcff' as %FF."),
        ("/a\x7f", "In the path, percent-encode '\\x7f' as %7F."),
        ("/a#b", "In the path, percent-encode '#' as %23."),
    ],
)
def test_a_path_that_is_not_percent_encoded_utf8_is_a_bad_request(
    dispatcher: PathDispatcher, target: str, detail: str
) -> None:
    """Rather than a name with replacement characters in it, or one that was guessed."""
    dispatcher.register("GET", "/{name}", plain)
    answer = call(dispatcher, "GET", unquote(target, "latin-1"), RAW_URI=target)
    problem = json.loads(answer.body)
    assert (answer.status, problem["detail"]) == ("400 Bad Request", detail)
    assert re.fullmatch(r"/([\w.~-]|%[0-9A-F]{2})+", problem["instance"], re.ASCII)


@pytest.mark.parametrize("raw", [{}, {"RAW_URI": "/before/x/Guido"}, {"RAW_URI": "/x/%41%2FB"}])
def test_a_path_that_is_only_known_decoded_counts_as_it_is(
    dispatcher: PathDispatcher, raw: dict[str, Any]
) -> None:
    """Another WSGI server may not pass on the raw path, and another application may change it."""
    dispatcher.register("GET", "/x/{name}", plain)
    path = "/x/100% Zoë".encode().decode("latin-1")
    assert json.loads(call(dispatcher, "GET", path, **raw).body) == {"name": "100% Zoë"}
    assert call(dispatcher, "GET", "/x/a/b", **raw).status == "404 Not Found"
    literally = call(dispatcher, "GET", "/x/%41", **{**raw, "RAW_URI": "/x/%41"})
    assert json.loads(literally.body) == {"name": "%41"}


def test_a_name_may_look_like_its_template(dispatcher: PathDispatcher) -> None:
    """A template is no path that could be asked for as it is written."""
    dispatcher.register("GET", "/{name}", plain)
    assert json.loads(call(dispatcher, "GET", "/{name}").body) == {"name": "{name}"}


def test_a_wrong_method_is_told_the_right_ones(dispatcher: PathDispatcher) -> None:
    """405 has Allow, with HEAD only where there is GET."""
    dispatcher.register("GET", "/get", plain)
    dispatcher.register("PUT", "/put", plain)
    answer = call(dispatcher, "POST", "/get", body=b"unread")
    assert (answer.status, answer.headers["Allow"]) == (
        "405 Method Not Allowed",
        "GET, HEAD, OPTIONS",
    )
    assert call(dispatcher, "HEAD", "/put").headers["Allow"] == "OPTIONS, PUT"


def test_head_keeps_the_headers_of_get_and_closes(dispatcher: PathDispatcher) -> None:
    """Nothing of the body goes out, and the iterable is closed once."""
    handler = dispatcher.register("GET", "/", Closed())
    answer = call(dispatcher, "HEAD", "/")
    assert (answer.headers["Content-Length"], answer.body) == ("1", b"")
    assert handler.closed == 1


def test_options_asterisk_has_the_methods_of_all_paths(dispatcher: PathDispatcher) -> None:
    """The validator knows no such path, so this goes past it."""
    dispatcher.register("GET", "/a", plain)
    dispatcher.register("PUT", "/b", plain)
    started: list[Any] = []

    def start_response(*args: Any) -> Callable[[bytes], object]:
        started.extend(args)
        return bytes

    environ: WSGIEnvironment = {"REQUEST_METHOD": "OPTIONS", "PATH_INFO": "*"}
    setup_testing_defaults(environ)
    dispatcher(environ, start_response)
    assert started == ["204 No Content", [("Allow", "GET, HEAD, OPTIONS, PUT")]]


def test_a_handler_of_its_own_for_head_and_options_is_used(dispatcher: PathDispatcher) -> None:
    """The automatic ones only stand in."""
    dispatcher.register("OPTIONS", "/", plain)
    assert call(dispatcher, "OPTIONS", "/").status == "200 OK"


def test_the_iterable_of_a_handler_is_closed(dispatcher: PathDispatcher) -> None:
    """The server's close() arrives at the handler's."""
    handler = dispatcher.register("GET", "/", Closed())
    assert call(dispatcher, "GET", "/").body == b"x"
    assert handler.closed == 1


def test_the_iterable_of_a_handler_that_fails_is_closed(dispatcher: PathDispatcher) -> None:
    """Before somebody else answers for it."""

    class Failing(Closed):
        def __iter__(self) -> Iterator[bytes]:
            raise LookupError("no first block")

    handler = dispatcher.register("GET", "/", Failing())
    assert call(dispatcher, "GET", "/").status == "500 Internal Server Error"
    assert handler.closed == 1


def test_a_generator_is_closed_if_the_client_leaves(dispatcher: PathDispatcher) -> None:
    """Its `finally` runs although there were more blocks to come."""
    ended = []

    def endless(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        try:
            while True:
                yield b"x"
        finally:
            ended.append(True)

    dispatcher.register("GET", "/", endless)
    environ: WSGIEnvironment = {}
    setup_testing_defaults(environ)
    blocks = dispatcher(environ, lambda *_: bytes)
    assert next(iter(blocks)) == b"x"
    assert not ended
    blocks.close()  # type: ignore[attr-defined]
    assert ended == [True]


def test_blocks_are_passed_on_one_by_one(dispatcher: PathDispatcher) -> None:
    """The second block is not asked for before the server wants it."""
    asked = []

    def slow(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        for block in (b"1", b"2"):
            asked.append(block)
            yield block

    dispatcher.register("GET", "/", slow)
    environ: WSGIEnvironment = {}
    setup_testing_defaults(environ)
    blocks = dispatcher(environ, lambda *_: bytes)
    assert asked == [b"1"]
    assert list(blocks) == [b"1", b"2"]
    blocks.close()  # type: ignore[attr-defined]


def test_what_is_written_comes_before_what_is_returned(dispatcher: PathDispatcher) -> None:
    """Also an application that uses the write() of PEP 3333 is answered for."""

    def writer(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])(b"first ")
        return [b"second"]

    dispatcher.register("GET", "/", writer)
    assert call(dispatcher, "GET", "/").body == b"first second"


def test_a_raised_problem_is_the_answer(dispatcher: PathDispatcher) -> None:
    """Also from a generator that had already started another one."""

    def teapot(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "1")])
        if environ["params"]["pot"] == "a b<":
            raise Problem(HTTPStatus.IM_A_TEAPOT, "Short and stout.", [("X-Handle", "here")])
        yield b"x"

    dispatcher.register("GET", "/{pot}", teapot)
    answer = call(dispatcher, "GET", "/a b<")
    assert answer.status == "418 I'm a Teapot"
    assert answer.headers["X-Handle"] == "here"
    assert answer.headers.get_all("Content-Type") == ["application/problem+json"]
    assert json.loads(answer.body) == {
        "type": "about:blank",
        "title": "I'm a Teapot",
        "status": 418,
        "detail": "Short and stout.",
        "instance": "/a%20b%3C",
    }


def test_a_fault_is_logged_and_not_shown(
    dispatcher: PathDispatcher, caplog: pytest.LogCaptureFixture
) -> None:
    """The client gets a bare 500, the log the traceback and a path that is one line."""

    def broken(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        raise LookupError("the secret")

    dispatcher.register("GET", "/{path}", broken)
    answer = call(dispatcher, "GET", "/a\nb")
    assert answer.status == "500 Internal Server Error"
    assert json.loads(answer.body)["detail"] == "The server failed to handle the request."
    [record] = caplog.records
    assert (record.levelno, record.getMessage()) == (logging.ERROR, r"GET '/a\nb'")
    assert "LookupError: the secret" in caplog.text


def test_a_handler_that_starts_two_responses_is_a_fault(dispatcher: PathDispatcher) -> None:
    """Unless it says by `exc_info` that the second is to replace the first (PEP 3333)."""

    def twice(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"x"]

    def replacing(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        start_response("503 Later", [("Content-Type", "text/plain")], (None, None, None))
        return [b"x"]

    dispatcher.register("GET", "/twice", twice)
    dispatcher.register("GET", "/replacing", replacing)
    assert call(dispatcher, "GET", "/twice").status == "500 Internal Server Error"
    assert call(dispatcher, "GET", "/replacing").status == "503 Later"


def test_what_is_sent_is_not_replaced(dispatcher: PathDispatcher) -> None:
    """An error after the first block is raised again where the server sees it (PEP 3333)."""

    def late(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"x"
        try:
            raise LookupError("late")
        except LookupError:
            start_response("500 Oops", [("Content-Type", "text/plain")], sys.exc_info())

    dispatcher.register("GET", "/", late)
    with pytest.raises(LookupError, match="late"):
        call(dispatcher, "GET", "/")


def test_head_of_an_answer_without_a_length_has_none(dispatcher: PathDispatcher) -> None:
    """Wsgiref adds a Content-Length where it can count, and there is no body to be counted."""

    def unmeasured(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"x"

    dispatcher.register("GET", "/", unmeasured)
    environ: WSGIEnvironment = {"REQUEST_METHOD": "HEAD"}
    setup_testing_defaults(environ)
    sent = BytesIO()
    SimpleHandler(BytesIO(), sent, StringIO(), environ).run(dispatcher)
    assert sent.getvalue().endswith(b"Content-Type: text/plain\r\n\r\n")
    assert b"Content-Length" not in sent.getvalue()


def test_uploaded_files_are_there_for_the_handler(dispatcher: PathDispatcher) -> None:
    """Also while the blocks of the response are made."""
    seen: list[Any] = []

    def keeper(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        [part] = environ["files"]["f"]
        seen.extend([part.filename, part.content_type])
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"1"
        seen.append(part.file.read())

    dispatcher.register("POST", "/", keeper)
    extra = {"CONTENT_TYPE": "multipart/form-data; boundary=b"}
    call(dispatcher, "POST", "/", body=FILE, **extra)
    assert seen == ["a.txt", "application/octet-stream", b"abc"]


def test_a_limit_of_its_own_is_kept() -> None:
    """`max_body` is the largest body that a dispatcher takes."""
    dispatcher = PathDispatcher(max_body=4)
    dispatcher.register("POST", "/", plain)
    extra = {"CONTENT_TYPE": "application/x-www-form-urlencoded"}
    assert call(dispatcher, "POST", "/", body=b"a=bc", **extra).status == "200 OK"
    assert call(dispatcher, "POST", "/", body=b"a=bcd", **extra).status.startswith("413 ")
