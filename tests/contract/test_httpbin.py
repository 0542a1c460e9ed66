"""httpbin under gunicorn, and the HTTP recipes: every one with urllib and with requests."""

import argparse
import io
import json
import re
import socket
import socketserver
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.client import HTTPResponse
from pathlib import Path
from threading import Thread
from types import ModuleType
from urllib import parse, request

import pytest
import requests

from clients import httpbin
from clients.addresses import Address
from clients.checks import Check, WrongAnswer
from clients.http import command, with_requests, with_urllib
from clients.http.messages import CHUNK, LONGEST_WAIT, Answer, Wanted
from tests.support.drivers import DRIVERS, serving
from tests.support.pace import FAR, until, within
from tests.support.processes import Server
from tests.support.sockets import connect, reset, rest_of, unanswered

(HTTPBIN,) = DRIVERS["httpbin"]
TIMEOUT = FAR  # seconds; only tests of something else than timeouts have it

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nfine"
BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
NOTHING = b""  # the connection is closed without an answer


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Run httpbin for all tests that only talk to it."""
    with serving(HTTPBIN) as server:
        yield server


@pytest.fixture
def base(server: Server) -> str:
    """Return the base URL of httpbin."""
    return f"http://{server.address}"


@pytest.fixture(
    params=[pytest.param(with_urllib, id="urllib"), pytest.param(with_requests, id="requests")]
)
def library(request: pytest.FixtureRequest) -> ModuleType:
    """Return one of the two modules of recipes."""
    module: ModuleType = request.param
    return module


@dataclass
class Scripted:
    """A server that answers as a test tells it: where it is, and what it has been asked."""

    base: str
    requests: list[bytes] = field(default_factory=list)


@contextmanager
def scripted(*answers: bytes) -> Iterator[Scripted]:
    """Run a server that gives each request the next answer, and the last one from then on."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            head = b""
            while (line := self.rfile.readline()) not in (b"\r\n", b""):
                head += line
            script.requests.append(head)
            self.wfile.write(answers[min(len(script.requests), len(answers)) - 1])

    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as server:
        script = Scripted("http://{}:{}".format(*server.server_address[:2]))
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield script
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replace time.sleep() by a list of how long it was asked to sleep."""
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    return waits


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


def test_cookies_may_come_in_several_headers(server: Server) -> None:
    """As a proxy may pass them on (RFC 9113, 8.2.3), and none is lost."""
    head = b"GET /cookies HTTP/1.0\r\nCookie: a=1\r\nCookie: b=2; c=3\r\n\r\n"
    with connect(server.address) as client:
        client.sendall(head)
        body = rest_of(client).partition(b"\r\n\r\n")[2]
    assert json.loads(body) == {"cookies": {"a": "1", "b": "2", "c": "3"}}


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
    "path",
    [
        pytest.param("/delay/2", id="before the headers"),
        pytest.param("/drip?numbytes=2&duration=4", id="in the middle of the body"),
    ],
)
def test_an_answer_that_takes_too_long_is_a_timeout(
    library: ModuleType, base: str, path: str
) -> None:
    """Wherever the server falls silent, both libraries raise TimeoutError."""
    with pytest.raises(TimeoutError):
        library.answer_within(base, path, 0.2)


@pytest.mark.usefixtures("waits")
def test_a_server_that_fails_twice_is_asked_three_times(library: ModuleType) -> None:
    """Neither a 503 nor a closed connection is the last word."""
    with scripted(BUSY, NOTHING, OK) as script:
        answer: Answer = library.get_with_retries(script.base, "/", TIMEOUT)

    assert (answer.status, answer.content) == (200, b"fine")
    assert len(script.requests) == 3


@pytest.mark.usefixtures("waits")
def test_a_server_that_always_fails_is_given_up(library: ModuleType) -> None:
    """After the retries the last answer is returned as it came."""
    with scripted(BUSY) as script:
        answer: Answer = library.get_with_retries(script.base, "/", TIMEOUT, retries=4)

    assert (answer.status, answer.reason) == (503, "Busy")
    assert len(script.requests) == 5


@pytest.mark.usefixtures("waits")
def test_a_server_that_never_answers_is_given_up(library: ModuleType) -> None:
    """After the retries the last error is raised, as an OSError."""
    with scripted(NOTHING) as script, pytest.raises(OSError, match="closed connection"):
        library.get_with_retries(script.base, "/", TIMEOUT, retries=4)

    assert len(script.requests) == 5


@pytest.mark.parametrize("answer", [pytest.param(BUSY, id="503"), pytest.param(NOTHING, id="none")])
def test_retries_end_with_the_time_for_them(
    library: ModuleType, waits: list[float], answer: bytes
) -> None:
    """A failure after the deadline is the last one, however many retries are left."""
    with scripted(answer) as script:
        try:
            library.get_with_retries(script.base, "/", TIMEOUT, retries=4, within=0.0)
        except OSError:
            assert answer == NOTHING

    assert (len(script.requests), waits) == (1, [])


@pytest.mark.usefixtures("waits")
def test_an_error_of_the_client_is_not_repeated(library: ModuleType) -> None:
    """A 404 stays a 404."""
    with scripted(BUSY.replace(b"503", b"404")) as script:
        answer: Answer = library.get_with_retries(script.base, "/", TIMEOUT)

    assert (answer.status, len(script.requests)) == (404, 1)


@pytest.mark.usefixtures("waits")
def test_a_post_is_not_repeated(library: ModuleType) -> None:
    """Nobody knows what a POST that failed has done, so it is sent once."""
    wanted = Wanted("POST", "/", form=(("a", "1"),), retries=3)
    with scripted(BUSY) as script:
        answer: Answer = library.send(script.base, wanted, TIMEOUT, None, print)

    assert (answer.status, len(script.requests)) == (503, 1)


def test_waits_double_and_differ(library: ModuleType, waits: list[float]) -> None:
    """Each wait is longer than the one before, up to the longest, and no two clients' alike."""
    with scripted(BUSY) as script:
        library.get_with_retries(script.base, "/", TIMEOUT, retries=8, backoff=0.1)
        first, waits[:] = waits[:], []
        library.get_with_retries(script.base, "/", TIMEOUT, retries=8, backoff=0.1)

    assert len(first) >= 7
    assert first == sorted(first)
    assert 1 < first[-1] / first[-3] <= 8
    assert max(first) <= LONGEST_WAIT
    assert first != waits


@pytest.mark.parametrize(
    ("asked", "waited"),
    [
        pytest.param("2", pytest.approx(2), id="seconds"),
        pytest.param(formatdate(time.time() + 3600, usegmt=True), LONGEST_WAIT, id="a date"),
        pytest.param("3600", LONGEST_WAIT, id="more than the longest wait"),
    ],
)
def test_retry_after_says_how_long_to_wait(
    library: ModuleType, waits: list[float], asked: str, waited: float
) -> None:
    """What the server asks for goes before the client's own backoff, up to a cap."""
    busy = BUSY.replace(b"\r\n\r\n", f"\r\nRetry-After: {asked}\r\n\r\n".encode())
    with scripted(busy, OK) as script:
        answer: Answer = library.get_with_retries(script.base, "/", TIMEOUT, backoff=0.001)

    assert (answer.status, waits) == (200, [waited])


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


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(OK.replace(b"fine", b"fi"), id="shorter than announced"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfine\r\n", id="a chunk less"
        ),
    ],
)
def test_a_body_that_breaks_off_is_an_error(library: ModuleType, answer: bytes) -> None:
    """Half a body is never taken for a whole one, streamed or not."""
    with scripted(answer) as script:
        with pytest.raises(OSError, match=r"incomplete|IncompleteRead|ended prematurely"):
            library.download(script.base, "/", io.BytesIO(), TIMEOUT, lambda *_: None)
        with pytest.raises(OSError, match=r"incomplete|IncompleteRead|ended prematurely"):
            library.get(script.base, "/", {}, TIMEOUT)


def test_what_is_not_http_is_an_error(library: ModuleType) -> None:
    """A server of another protocol is an OSError, as everything that keeps an answer away."""
    with scripted(b"SSH-2.0-OpenSSH_10.0\r\n") as script, pytest.raises(OSError, match="SSH"):
        library.get(script.base, "/", {}, TIMEOUT)


def test_a_server_that_is_not_there_is_an_error(library: ModuleType) -> None:
    """A refused connection is an OSError that says so."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with pytest.raises(OSError, match="refused") as failed:
        library.get(f"http://127.0.0.1:{port}", "/", {}, TIMEOUT)

    wanted = ConnectionRefusedError if library is with_urllib else requests.ConnectionError
    assert failed.type is wanted


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


@pytest.mark.parametrize("check", httpbin.CHECKS, ids=lambda check: check.what)
def test_every_check_holds(server: Server, check: Check) -> None:
    """The server keeps each promise that the command line's table lists."""
    check.run(server.address)


def test_the_health_check_is_an_exchange(server: Server) -> None:
    """A healthy httpbin answers the health check, and its log shows the request."""
    httpbin.health(server.address, TIMEOUT)

    until(lambda: '"GET /user-agent HTTP/1.1" 200' in server.log, "the request is in the log")


def test_the_health_check_does_not_take_any_answer() -> None:
    """Another server in the place of httpbin is not healthy."""
    with scripted(OK) as script, pytest.raises(WrongAnswer, match="the answer"):
        httpbin.health(where(script), TIMEOUT)


def where(script: Scripted) -> Address:
    """Return the address of a scripted server."""
    url = parse.urlsplit(script.base)
    assert url.hostname is not None
    assert url.port is not None
    return Address(url.hostname, url.port)


# ---- the command line ----


def run(arguments: list[str], address: Address) -> None:
    """Do what `python -m clients http ARGUMENTS` does."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--timeout", type=float, default=TIMEOUT)
    command.configure(parser)
    command.command(parser.parse_args(arguments), address)


@pytest.fixture(params=["urllib", "requests"])
def option(request: pytest.FixtureRequest) -> str:
    """Return the option that chooses a library."""
    return f"--library={request.param}"


def test_the_body_goes_to_stdout_and_the_status_to_stderr(
    server: Server, option: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """The output can be piped into what reads JSON."""
    run(["get", "/get?a=1", "b=2", "b=3", option], server.address)

    out, err = capfd.readouterr()
    assert json.loads(out)["args"] == {"a": "1", "b": ["2", "3"]}
    assert err == "200 OK\n"


def test_include_prints_status_and_headers_before_the_body(
    server: Server, option: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """With -i the output is a whole answer; every one of two equal headers is there."""
    path = "/response-headers?Set-Cookie=a%3D1&Set-Cookie=b%3D2"
    run(["-i", "GET", path, option], server.address)

    head, _, body = capfd.readouterr().out.partition("\n\n")
    lines = head.split("\n")
    assert lines[0] == "200 OK"
    assert [line for line in lines if "Cookie" in line] == ["Set-Cookie: a=1", "Set-Cookie: b=2"]
    assert json.loads(body)["Set-Cookie"] == ["a=1", "b=2"]


def test_options_make_up_one_request(
    server: Server, option: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Query, form, file, headers and credentials go together."""
    file = tmp_path / "file.txt"
    file.write_text("Hello, world.")

    run(
        [
            *("PUT", "/put", "q=1", "--form", "a=1", "-F", "b=x=y", "--file", str(file), option),
            *("-H", "Spam: Eggs", "-H", "User-Agent: none", "--user", "user:pass:word"),
        ],
        server.address,
    )

    seen = json.loads(capfd.readouterr().out)
    assert seen["args"] == {"q": "1"}
    assert seen["form"] == {"a": "1", "b": "x=y"}
    assert seen["files"] == {"file": "Hello, world."}
    assert seen["headers"]["Spam"] == "Eggs"
    assert seen["headers"]["User-Agent"] == "none"
    assert seen["headers"]["Authorization"] == "Basic dXNlcjpwYXNzOndvcmQ="


@pytest.mark.parametrize(
    ("options", "status"),
    [
        pytest.param(["GET", "/redirect/1"], "200 OK", id="redirect"),
        pytest.param(["GET", "/redirect/1", "--no-redirect"], "302 FOUND", id="no redirect"),
        pytest.param(["GET", "/basic-auth/u/p", "-u", "u:p"], "200 OK", id="right password"),
        pytest.param(["GET", "/basic-auth/u/p", "-u", "u:x"], "401 UNAUTHORIZED", id="wrong"),
        pytest.param(["HEAD", "/redirect/1"], "200 OK", id="HEAD"),
        pytest.param(["DELETE", "/delete"], "200 OK", id="DELETE"),
        pytest.param(["GET", "/status/404"], "404 NOT FOUND", id="error"),
    ],
)
def test_the_status_is_printed(
    server: Server,
    option: str,
    options: list[str],
    status: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Every status is an answer."""
    run([*options, option], server.address)

    assert capfd.readouterr().err == f"{status}\n"


def test_output_takes_the_body(
    server: Server, option: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """With --output the body ends in the file and nowhere else."""
    file = tmp_path / "letters"

    run(["GET", "/range/100000", "--output", str(file), option], server.address)

    assert file.read_bytes()[:26] == b"abcdefghijklmnopqrstuvwxyz"
    assert file.stat().st_size == 100_000
    assert capfd.readouterr() == ("", "200 OK\n")


@pytest.mark.usefixtures("waits")
def test_retries_repeat_the_request(option: str) -> None:
    """--retries counts what comes after the first attempt."""
    with scripted(BUSY) as script:
        run(["GET", "/", "--retries", "2", option], where(script))

    assert len(script.requests) == 3


def test_without_retries_there_is_one_request(option: str) -> None:
    """Nothing is repeated that nobody asked to repeat."""
    with scripted(BUSY) as script:
        run(["GET", "/", option], where(script))

    assert len(script.requests) == 1


def test_the_timeout_is_an_oserror(server: Server, option: str) -> None:
    """--timeout ends the wait, with an error that says what happened."""
    with pytest.raises(OSError, match="timed out"):
        run(["GET", "/delay/2", "--timeout", "0.2", option], server.address)


# ---- the server ----


def test_the_log_starts_without_a_warning(server: Server) -> None:
    """What httpbin lacks on purpose is not worth a line at every start."""
    assert not re.findall("WARNING|flasgger", server.log)


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        pytest.param(b"GET /get HTTP/1.1\r\nHost: lab\r\n\r\n", True, id="kept alive and idle"),
        pytest.param(b"", False, id="silent"),
        pytest.param(b"GET /get HTTP/1.1\r\nHos", False, id="in the middle of a request"),
        pytest.param(b"GET /delay/10 HTTP/1.1\r\nHost: lab\r\n\r\n", False, id="being answered"),
    ],
)
def test_a_stop_waits_for_no_client(sent: bytes, answered: bool) -> None:
    """SIGTERM ends the server with status 0 within two seconds, whatever clients do."""
    with serving(HTTPBIN) as server, connect(server.address) as client:
        # Once another client has its answer the worker runs, and has seen this one connect.
        client.sendall(sent)
        httpbin.health(server.address, TIMEOUT)
        if answered:
            assert client.recv(CHUNK).startswith(b"HTTP/1.1 200 OK\r\n")

        assert server.stop() == 0


def test_silent_clients_hold_no_thread() -> None:
    """With more half requests than there are threads, the next client is served before them."""
    with serving(HTTPBIN) as server, ExitStack() as clients:
        for _ in range(20):
            client = clients.enter_context(connect(server.address))
            client.sendall(b"GET /get HTTP/1.1\r\nHos")

        httpbin.health(server.address, 5.0)  # of the 10 that half a request may take


def test_slow_answers_keep_nobody_waiting() -> None:
    """As long as they leave one of the eight threads."""
    with serving(HTTPBIN) as server, ExitStack() as clients:
        httpbin.health(server.address, TIMEOUT)
        slow = [clients.enter_context(connect(server.address)) for _ in range(7)]
        for client in slow:
            client.sendall(b"GET /delay/10 HTTP/1.1\r\nHost: x\r\n\r\n")
        for _ in range(3):
            httpbin.health(server.address, 5.0)
        assert unanswered(*slow)


def exchange(server: Server, sent: bytes) -> HTTPResponse:
    """Send a request as it is, and return the answer, of which the head has been read."""
    with connect(server.address) as client:
        client.sendall(sent)
        response = HTTPResponse(client)
        response.begin()
        return response


def test_an_answer_is_sent_as_it_is_made(server: Server) -> None:
    """Its first byte is there long before its last is made."""
    began = time.monotonic()
    with exchange(
        server, b"GET /drip?numbytes=2&duration=2&delay=0 HTTP/1.1\r\nHost: x\r\n\r\n"
    ) as response:
        assert response.read(1) == b"*"
        first = time.monotonic() - began
        assert response.read(1) == b"*"
        assert time.monotonic() - began - first > 0.25


@pytest.mark.parametrize("how", ["goes on", "resets"])
def test_a_client_that_does_not_wait_for_its_answer_costs_nothing(how: str) -> None:
    """The kernel reports it all the time, and there is nothing to be done about it."""
    with serving(HTTPBIN) as server, ExitStack() as clients:
        httpbin.health(server.address, TIMEOUT)
        client = clients.enter_context(connect(server.address))
        client.sendall(b"GET /delay/1 HTTP/1.1\r\nHost: x\r\n\r\n")
        httpbin.health(server.address, TIMEOUT)  # so the other request is being answered
        before = server.cpu
        if how == "goes on":
            client.sendall(b"GET /status/204 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert re.findall(rb"HTTP/1\.1 (\d+) ", rest_of(client)) == [b"200", b"204"]
        else:
            reset(client)
            until(lambda: '"GET /delay/1 HTTP/1.1"' in server.log, "it is over")
        assert within(server.cpu - before, 0.4)
        httpbin.health(server.address, TIMEOUT)


def test_lines_are_sent_in_chunks(server: Server) -> None:
    """An answer whose length is not known beforehand has no other end."""
    with exchange(server, b"GET /stream/3 HTTP/1.1\r\nHost: x\r\n\r\n") as response:
        assert response.headers["Transfer-Encoding"] == "chunked"
        assert [json.loads(line)["id"] for line in response.read().splitlines()] == [0, 1, 2]


def test_a_body_in_chunks_arrives_whole(server: Server) -> None:
    """And the answer shows how it came."""
    head = b"POST /post HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with exchange(server, head + b"5\r\nHello\r\n7;x=y\r\n, world\r\n0\r\n\r\n") as response:
        seen = json.loads(response.read())

    assert seen["data"] == "Hello, world"
    assert seen["headers"]["Transfer-Encoding"] == "chunked"


def test_a_body_that_is_too_large_is_refused(server: Server) -> None:
    """A MiB is as much as is taken, whatever the path; the sender gets to read why."""
    answer: Answer = with_requests.post_form(
        f"http://{server.address}", "/post", {"a": "x" * 1024 * 1024}, TIMEOUT
    )

    assert (answer.status, answer.header("Content-Type")) == (413, "application/problem+json")
    assert answer.json()["detail"] == "A body may have at most 1048576 bytes."


# ---- the recipe's transcripts ----


@pytest.fixture
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what talks to httpbin without the recipes away from a proxy."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.mark.usefixtures("_no_proxy")
def test_the_recipes_urllib_get(base: str) -> None:
    """Its first transcript: a query, and the bytes of the answer."""
    url = f"{base}/get"
    parms = {"name1": "value1", "name2": "value2"}
    querystring = parse.urlencode(parms)

    with request.urlopen(url + "?" + querystring) as u:  # noqa: S310
        resp = u.read()

    assert resp.startswith(b'{\n  "args": {\n    "name1": "value1",')
    assert json.loads(resp)["args"] == parms
    assert json.loads(resp)["headers"]["Accept-Encoding"] == "identity"
    assert json.loads(resp)["url"] == f"{base}/get?name1=value1&name2=value2"


@pytest.mark.usefixtures("_no_proxy")
def test_the_recipes_urllib_post(base: str) -> None:
    """Its second and third transcripts: a form, and headers of one's own."""
    url = f"{base}/post"
    parms = {"name1": "value1", "name2": "value2"}
    querystring = parse.urlencode(parms).encode("ascii")
    headers = {"User-agent": "none/ofyourbusiness", "Spam": "Eggs"}

    req = request.Request(url, querystring, headers=headers)  # noqa: S310
    with request.urlopen(req) as u:  # noqa: S310
        resp = json.loads(u.read())

    assert resp["form"] == parms
    assert resp["headers"]["User-Agent"] == "none/ofyourbusiness"
    assert resp["headers"]["Spam"] == "Eggs"


@pytest.mark.usefixtures("_no_proxy")
def test_the_recipes_requests_post(base: str) -> None:
    """Its fourth transcript, printed as a whole; only what names the host is another."""
    parms = {"name1": "value1", "name2": "value2"}
    headers = {"User-agent": "none/ofyourbusiness", "Spam": "Eggs"}

    resp = requests.post(f"{base}/post", data=parms, headers=headers, timeout=TIMEOUT)

    assert json.loads(resp.text) == {
        "args": {},
        "data": "",
        "files": {},
        "form": {"name1": "value1", "name2": "value2"},
        "headers": {
            "Accept": "*/*",
            "Accept-Encoding": resp.request.headers["Accept-Encoding"],
            "Connection": "keep-alive",
            "Content-Length": "25",
            "Content-Type": "application/x-www-form-urlencoded",
            "Host": base.removeprefix("http://"),
            "Spam": "Eggs",
            "User-Agent": "none/ofyourbusiness",
        },
        "json": None,
        "origin": "127.0.0.1",
        "url": f"{base}/post",
    }


@pytest.mark.usefixtures("_no_proxy")
def test_the_recipes_other_requests(base: str, tmp_path: Path) -> None:
    """Its transcripts of HEAD, basic authentication, cookies, upload and the closing example."""
    resp = requests.head(f"{base}/html", timeout=TIMEOUT)
    assert resp.headers["content-length"] == "3741"

    resp = requests.get(
        f"{base}/basic-auth/user/password", auth=("user", "password"), timeout=TIMEOUT
    )
    assert repr(resp) == "<Response [200]>"

    resp1 = requests.get(f"{base}/post", timeout=TIMEOUT)
    resp2 = requests.get(f"{base}/post", cookies=resp1.cookies, timeout=TIMEOUT)
    assert resp2.status_code == 405

    (tmp_path / "file.txt").write_text("Hello, world.")
    with (tmp_path / "file.txt").open("rb") as file:
        r = requests.post(f"{base}/post", files={"file": ("file.txt", file)}, timeout=TIMEOUT)
    assert r.json()["files"] == {"file": "Hello, world."}
    assert r.json()["headers"]["Content-Length"] == "157"

    r = requests.get(
        f"{base}/get?name=Dave&n=37", headers={"User-agent": "goaway/1.0"}, timeout=TIMEOUT
    )
    assert r.json().keys() == {"args", "headers", "origin", "url"}
    assert r.json()["headers"]["User-Agent"] == "goaway/1.0"
    assert r.json()["args"] == {"n": "37", "name": "Dave"}
