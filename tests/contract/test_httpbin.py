"""httpbin under gunicorn, and the transcripts of the recipe, which come out as printed."""

import json
import re
import time
from contextlib import ExitStack
from http.client import HTTPResponse
from pathlib import Path
from urllib import parse, request

import pytest
import requests

from clients import httpbin
from clients.checks import Check, WrongAnswer
from clients.http import with_requests
from clients.http.messages import CHUNK, Answer
from tests.support.drivers import DRIVERS, Driver, serving
from tests.support.pace import FAR, until, within
from tests.support.processes import Server
from tests.support.scripted import OK, scripted
from tests.support.sockets import connect, reset, rest_of, unanswered

(HTTPBIN,) = DRIVERS["httpbin"]
TIMEOUT = FAR  # seconds; only tests of something else than timeouts have it


@pytest.fixture(scope="module")
def driver() -> Driver:
    """Name the driver."""
    return HTTPBIN


def test_cookies_may_come_in_several_headers(server: Server) -> None:
    """As a proxy may pass them on (RFC 9113, 8.2.3), and none is lost."""
    head = b"GET /cookies HTTP/1.0\r\nCookie: a=1\r\nCookie: b=2; c=3\r\n\r\n"
    with connect(server.address) as client:
        client.sendall(head)
        body = rest_of(client).partition(b"\r\n\r\n")[2]
    assert json.loads(body) == {"cookies": {"a": "1", "b": "2", "c": "3"}}


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
        httpbin.health(script.address, TIMEOUT)


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


# The transcripts of the recipe.


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
