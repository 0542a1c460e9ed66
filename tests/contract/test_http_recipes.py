"""The HTTP recipes against httpbin: every one with urllib and with requests."""

import io
import tracemalloc
from pathlib import Path
from types import ModuleType
from urllib import parse

import pytest

from clients.http import with_requests, with_urllib
from clients.http.messages import CHUNK, Answer
from tests.support.drivers import DRIVERS, Driver
from tests.support.pace import FAR
from tests.support.scripted import OK, scripted

TIMEOUT = FAR  # seconds; only tests of something else than timeouts have it


@pytest.fixture(scope="module")
def driver() -> Driver:
    """Name the driver."""
    return DRIVERS["httpbin"][0]


def test_a_query_reaches_the_server(library: ModuleType, base: str) -> None:
    """Names and values of a query arrive as they were, whatever characters they have."""
    params = {"name1": "value1", "a b&c": "=?#%+", "grüße": "你好"}

    answer: Answer = library.get(base, "/get", params, TIMEOUT)

    assert (answer.status, answer.reason) == (200, "OK")
    assert answer.json()["args"] == params
    assert dict(parse.parse_qsl(parse.urlsplit(answer.url).query)) == params


def test_a_form_reaches_the_server(library: ModuleType, base: str) -> None:
    """A form is sent as a body of type application/x-www-form-urlencoded."""
    fields = {"name1": "value1", "a b&c": "=?#%+", "grüße": "你好"}

    seen = library.post_form(base, "/post", fields, TIMEOUT).json()

    assert seen["form"] == fields
    assert (seen["data"], seen["args"], seen["files"]) == ("", {}, {})
    assert seen["headers"]["Content-Type"] == "application/x-www-form-urlencoded"


def test_headers_replace_those_of_the_library(library: ModuleType, base: str) -> None:
    """The recipes' two headers arrive, one in the place of the library's own User-Agent."""
    headers = {"User-agent": "none/ofyourbusiness", "Spam": "Eggs"}

    seen = library.post_with_headers(base, "/post", {"name1": "value1"}, headers, TIMEOUT).json()

    assert seen["headers"]["User-Agent"] == "none/ofyourbusiness"
    assert seen["headers"]["Spam"] == "Eggs"
    assert seen["form"] == {"name1": "value1"}


def test_an_answer_has_three_views(library: ModuleType) -> None:
    """The charset of the Content-Type says how bytes become text, and text is not yet data."""
    content = '"\\u00e9é"'.encode("utf-16")
    with scripted(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=UTF-16\r\n"
        b"Content-Length: %d\r\n\r\n" % len(content) + content
    ) as script:
        views = library.views(script.base, "/", TIMEOUT)

    assert views == (content, '"\\u00e9é"', "éé")


def test_head_has_the_headers_of_get_and_no_body(library: ModuleType, base: str) -> None:
    """HEAD announces the length of the body that GET sends."""
    whole: Answer = library.get(base, "/html", {}, TIMEOUT)

    answer: Answer = library.head(base, "/html", TIMEOUT)

    assert (answer.status, answer.content) == (200, b"")
    assert answer.header("content-length") == str(len(whole.content)) == "3741"


def test_head_follows_a_redirect(library: ModuleType, base: str) -> None:
    """HEAD goes where GET would go."""
    answer: Answer = library.head(base, "/redirect/1", TIMEOUT)

    assert (answer.status, answer.url) == (200, f"{base}/get")


@pytest.mark.parametrize("password", ["password", "pass:word", "Paßwort", "密码"])
def test_the_right_password_lets_in(library: ModuleType, base: str, password: str) -> None:
    """Basic authentication works with every password, as UTF-8."""
    path = f"/basic-auth/user/{parse.quote(password)}"

    answer: Answer = library.basic_auth(base, path, "user", password, TIMEOUT)

    assert (answer.status, answer.json()) == (200, {"authenticated": True, "user": "user"})


def test_a_wrong_password_is_answered_with_401(library: ModuleType, base: str) -> None:
    """A wrong password is no exception but an answer, and that says how to log in."""
    path = "/basic-auth/user/password"

    answer: Answer = library.basic_auth(base, path, "user", "passwort", TIMEOUT)

    assert (answer.status, answer.content) == (401, b"")
    assert answer.header("WWW-Authenticate") == 'Basic realm="Fake Realm"'


@pytest.mark.parametrize(
    "first",
    [
        pytest.param("/response-headers?Set-Cookie=spam%3Deggs", id="set by an answer"),
        pytest.param("/cookies/set?spam=eggs", id="set by a redirect"),
    ],
)
def test_cookies_go_with_the_next_request(library: ModuleType, base: str, first: str) -> None:
    """A cookie set by the first answer, or on the way to it, is sent with the second request."""
    answer: Answer = library.carry_cookies(base, first, "/cookies", TIMEOUT)

    assert answer.json() == {"cookies": {"spam": "eggs"}}


def test_cookies_go_only_where_they_belong(library: ModuleType, base: str) -> None:
    """A cookie for one path is not sent to another."""
    first = "/response-headers?Set-Cookie=" + parse.quote("spam=eggs; Path=/elsewhere")

    answer: Answer = library.carry_cookies(base, first, "/cookies", TIMEOUT)

    assert answer.json() == {"cookies": {}}


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        pytest.param(b"Hello, world.", "Hello, world.", id="text"),
        pytest.param(b"", "", id="empty"),
        pytest.param(b"\r\n--\r\n\r\n", "\r\n--\r\n\r\n", id="almost a boundary"),
        pytest.param(
            b"\xff\x00\r\n", "data:application/octet-stream;base64,/wANCg==", id="no text at all"
        ),
    ],
)
def test_a_file_arrives_as_it_is(
    library: ModuleType, base: str, tmp_path: Path, content: bytes, seen: str
) -> None:
    """An upload carries the bytes of a file unchanged, and form fields beside it."""
    file = tmp_path / "file.txt"
    file.write_bytes(content)

    answer: Answer = library.upload(base, "/post", file, {"näme": "välue\n"}, TIMEOUT)

    assert answer.json()["files"] == {"file": seen}
    assert answer.json()["form"] == {"näme": "välue\n"}


def test_a_redirect_is_followed(library: ModuleType, base: str) -> None:
    """After three redirects the answer is that of the last URL, and says which it was."""
    answer: Answer = library.follow_redirect(base, "/redirect/3", TIMEOUT)

    assert (answer.status, answer.url) == (200, f"{base}/get")


def test_a_redirect_is_not_followed(library: ModuleType, base: str) -> None:
    """A redirect that is not followed is an answer with its Location."""
    answer: Answer = library.stop_at_redirect(base, "/redirect/3", TIMEOUT)

    assert (answer.status, answer.url) == (302, f"{base}/redirect/3")
    assert answer.header("Location") == "/relative-redirect/2"


def test_a_redirect_to_another_server_is_not_followed(library: ModuleType, base: str) -> None:
    """Recipes stay with their server, wherever it sends them."""
    with scripted(OK) as elsewhere:
        path = "/redirect-to?url=" + parse.quote(f"{elsewhere.base}/")

        answer: Answer = library.follow_redirect(base, path, TIMEOUT)

    assert (answer.status, answer.header("Location")) == (302, f"{elsewhere.base}/")
    assert elsewhere.requests == []


@pytest.mark.parametrize(
    ("path", "size", "total"),
    [
        pytest.param("/range/100000", 100_000, 100_000, id="announced"),
        pytest.param("/stream-bytes/100000?seed=1", 100_000, None, id="chunked"),
    ],
)
def test_a_download_tells_its_progress(
    library: ModuleType, base: str, path: str, size: int, total: int | None
) -> None:
    """Progress grows up to the size, with the total where the server announces one."""
    sink = io.BytesIO()
    progress: list[tuple[int, int | None]] = []

    answer: Answer = library.download(
        base, path, sink, TIMEOUT, lambda so_far, total: progress.append((so_far, total))
    )

    sizes = [so_far for so_far, _ in progress]
    assert sizes == sorted(set(sizes))
    assert len(sizes) > 1
    assert progress[-1] == (size, total)
    assert len(sink.getvalue()) == size
    assert (answer.status, answer.content) == (200, b"")


def test_a_download_asks_for_no_compression(library: ModuleType) -> None:
    """The bytes that arrive are those that Content-Length counts."""
    with scripted(OK) as script:
        library.download(script.base, "/", io.BytesIO(), TIMEOUT, lambda *_: None)

    assert b"Accept-Encoding: identity\r\n" in script.requests[0]


def test_both_libraries_download_the_same(base: str) -> None:
    """The same bytes end in the sink, in the same order."""
    sinks = io.BytesIO(), io.BytesIO()
    for library, sink in zip((with_urllib, with_requests), sinks, strict=True):
        library.download(base, "/range/100000", sink, TIMEOUT, lambda *_: None)

    assert sinks[0].getvalue() == sinks[1].getvalue()
    assert sinks[0].getvalue().startswith(b"abcdefghijklmnopqrstuvwxyzabc")


def test_a_download_holds_one_chunk_at_a_time(library: ModuleType) -> None:
    """A body of 16 MiB passes in chunks, and takes less than 1 MiB of memory on its way."""
    body = bytes(16 * 1024 * 1024)
    chunks: list[int] = []

    class Sink(io.BytesIO):
        def write(self, chunk: bytes) -> int:  # type: ignore[override]
            chunks.append(len(chunk))
            return len(chunk)

    whole = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    with scripted(whole) as script:
        tracemalloc.start()
        try:
            library.download(script.base, "/", Sink(), TIMEOUT, lambda *_: None)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert sum(chunks) == len(body)
    assert max(chunks) <= CHUNK
    assert peak < 1024 * 1024


def test_the_environment_sends_no_request_elsewhere(
    library: ModuleType, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that is set for the world outside does not see the traffic of the lab."""
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with scripted(OK) as proxy:
        monkeypatch.setenv("http_proxy", proxy.base)

        answer: Answer = library.get(base, "/get", {}, TIMEOUT)

    assert answer.json()["url"] == f"{base}/get"
    assert proxy.requests == []
