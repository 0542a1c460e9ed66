"""Answers over HTTP that break off, at every byte: no client takes one for the whole."""

import io
import json
import re
import socket
import socketserver
import struct
import xmlrpc.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from clients import console, httpbin, kv, relay, rest
from clients.addresses import Address, variable
from clients.checks import WrongAnswer
from clients.cli.main import main
from clients.http import with_requests, with_urllib
from clients.http.errors import Incomplete
from clients.http.messages import Wanted
from services.wire.record import to_json
from tests.support.sockets import in_a_thread
from tests.unit.wire_records import HALF_CLOSE

TIMEOUT = 5.0
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n"


class Server(socketserver.TCPServer):
    """Reads a request, sends `answer` and closes."""

    allow_reuse_address = True
    answer = b""

    @property
    def where(self) -> Address:
        """Where it listens."""
        return Address(*self.server_address[:2])  # type: ignore[arg-type]


class Handler(socketserver.StreamRequestHandler):
    """Answers with what the server is told to."""

    server: Server

    def handle(self) -> None:
        """Read head and body."""
        length = 0
        while (line := self.rfile.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        self.rfile.read(length)
        self.wfile.write(self.server.answer)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Run a server for all tests."""
    with in_a_thread(Server(("127.0.0.1", 0), Handler)) as server:
        yield server


def head(body: bytes) -> bytes:
    """Return the first lines of an answer: the journal has a type of its own."""
    if body.startswith((b":", b"event:")):
        return HEAD.replace(b"text/xml", b"text/event-stream")
    return HEAD


def with_length(body: bytes) -> bytes:
    """Return an answer that announces its length."""
    return head(body) + b"Content-Length: %d\r\n\r\n" % len(body) + body


def in_chunks(body: bytes) -> bytes:
    """Return an answer in two chunks, up to the last byte that says anything."""
    half = len(body) // 2
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:half], body[half:]))
    return head(body) + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0"


def until_closed(body: bytes) -> bytes:
    """Return an answer that ends when the server closes."""
    return HEAD + b"\r\n" + body


def rest_request(method: str) -> Callable[[Address], object]:
    """Return a function that makes a request with the client of rest."""
    return lambda where: rest.request(where, method, "/", timeout=TIMEOUT).body


def recipe(library: Any, name: str) -> Callable[[Address], object]:
    """Return a function that follows a recipe for HTTP."""

    def follow(where: Address) -> object:
        base, sink = f"http://{where}", io.BytesIO()
        match name:
            case "get":
                return library.get(base, "/", {}, TIMEOUT).content
            case "post_form":
                return library.post_form(base, "/", {"a": "1"}, TIMEOUT).content
            case "upload":
                return library.upload(base, "/", Path(__file__), {}, TIMEOUT).content
            case "download":
                library.download(base, "/", sink, TIMEOUT, lambda *_: None)
                return sink.getvalue()
            case "send":
                return library.send(base, Wanted("PUT", "/"), TIMEOUT, None, print).content
        library.send(base, Wanted("GET", "/"), TIMEOUT, sink, lambda *_: None)
        return sink.getvalue()

    return follow


CLIENTS: dict[str, Callable[[Address], object]] = {
    **{f"rest {method}": rest_request(method) for method in ("GET", "POST", "PUT", "DELETE")},
    **{
        f"{library.__name__.rpartition('_')[2]} {name}": recipe(library, name)
        for library in (with_urllib, with_requests)
        for name in ("get", "post_form", "upload", "download", "send", "send to a file")
    },
}


@pytest.mark.parametrize("framed", [with_length, in_chunks])
@pytest.mark.parametrize("client", CLIENTS)
def test_an_http_answer_that_breaks_off_is_an_error(
    server: Server, client: str, framed: Callable[[bytes], bytes]
) -> None:
    """In the status line, in a header, in a length, in the body: an OSError wherever it is."""
    whole = framed(b"<a>0123456789</a>")
    server.answer = whole
    assert CLIENTS[client](server.where) == b"<a>0123456789</a>"
    for count in range(len(whole)):
        server.answer = whole[:count]
        with pytest.raises(OSError, match=r"."):
            CLIENTS[client](server.where)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_head_that_breaks_off_is_an_error(server: Server, client: str) -> None:
    """Also where it would have announced no length; in the body, nobody can tell."""
    whole = until_closed(b"<a/>")
    server.answer = whole
    assert CLIENTS[client](server.where) == b"<a/>"
    for count in range(len(whole) - len(b"<a/>")):
        server.answer = whole[:count]
        with pytest.raises(OSError, match=r"."):
            CLIENTS[client](server.where)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
    ],
    ids=["length 0", "no chunk", "204"],
)
def test_an_answer_without_a_body_is_complete(server: Server, client: str, head: bytes) -> None:
    """Where it says that it has none."""
    server.answer = head
    assert CLIENTS[client](server.where) == b""


def test_no_client_waits_for_a_body_of_head(server: Server) -> None:
    """Its length is that of another answer."""
    server.answer = with_length(b"<a/>")[: -len(b"<a/>")]
    base = f"http://{server.where}"
    assert rest.request(server.where, "HEAD", "/").body == b""
    for library in (with_urllib, with_requests):
        assert library.head(base, "/", TIMEOUT).content == b""


CALLS: dict[str, Callable[[Any], object]] = {
    "get": lambda store: store.get("name"),
    "set": lambda store: store.set("name", 1),
    "delete": lambda store: store.delete("name"),
    "exists": lambda store: store.exists("name"),
    "keys": lambda store: store.keys(),
    "compare_and_set": lambda store: store.compare_and_set("name", 1, 2),
}
BODY = xmlrpc.client.dumps((1,), methodresponse=True).rstrip().encode()


@pytest.mark.parametrize("framed", [with_length, in_chunks, until_closed])
@pytest.mark.parametrize("method", CALLS)
def test_an_answer_of_kv_that_breaks_off_is_an_error(
    server: Server, method: str, framed: Callable[[bytes], bytes]
) -> None:
    """XML says itself where it ends, so that a length is not needed to know."""
    whole = framed(BODY)
    server.answer = whole
    with kv.proxy(server.where, TIMEOUT) as store:
        assert CALLS[method](store) == 1
    for count in range(len(whole)):
        server.answer = whole[:count]
        with kv.proxy(server.where, TIMEOUT) as store, pytest.raises(OSError, match=r"."):
            CALLS[method](store)


@contextmanager
def answering(server: Server, body: bytes) -> Iterator[Any]:
    """Lend a client of kv whose calls are answered with a body."""
    server.answer = with_length(body)
    with kv.proxy(server.where, TIMEOUT) as store:
        yield store


@pytest.mark.parametrize(
    ("length", "message"),
    [
        (len(BODY) + 10, rf"^the answer is incomplete: it ends after {len(BODY)} of \d+ bytes$"),
        (len(BODY) - 10, rf"^the answer is incomplete: its XML ends after {len(BODY) - 10} bytes$"),
        (0, r"^the answer is incomplete: its XML ends after 0 bytes$"),
    ],
    ids=["longer", "shorter", "none"],
)
def test_a_length_that_is_not_that_of_the_body_is_an_error(
    server: Server, length: int, message: str
) -> None:
    """What came is said, and what should have."""
    server.answer = HEAD + b"Content-Length: %d\r\n\r\n" % length + BODY
    with kv.proxy(server.where, TIMEOUT) as store, pytest.raises(Incomplete, match=message):
        store.get("name")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"Hello, world.", id="text"),
        pytest.param(b"<html></html>", id="another document"),
        pytest.param(b"<html>&nbsp;</html>", id="an entity"),
        pytest.param(BODY.replace(b"<int>1<", b"<int>x<"), id="no integer"),
        pytest.param(BODY.replace(b"<int>1</int>", b"<base64>x</base64>"), id="no base64"),
        pytest.param(BODY.replace(b"int>", b"number>"), id="no type"),
        pytest.param(
            b"<methodResponse><fault><value><int>1</int></value></fault></methodResponse>",
            id="a fault that is none",
        ),
    ],
)
def test_what_is_no_answer_of_xml_rpc_is_wrong(server: Server, body: bytes) -> None:
    """It is the server that is wrong: what is sent to it is not a usage error."""
    with answering(server, body) as store, pytest.raises(WrongAnswer, match="not an answer of XML"):
        store.get("name")


@pytest.mark.parametrize("module", [kv, rest, httpbin])
def test_the_health_check_of_an_answer_that_breaks_off_fails(server: Server, module: Any) -> None:
    """With an OSError, as where there is none."""
    server.answer = with_length(BODY)[:-1]
    with pytest.raises(Incomplete):
        module.health(server.where, TIMEOUT)


@pytest.mark.parametrize(
    ("arguments", "service"),
    [
        (["kv", "get", "name"], "kv"),
        (["kv", "set", "name", "1"], "kv"),
        (["rest", "hello", "Guido"], "rest"),
        (["http", "GET", "/"], "httpbin"),
        (["http", "GET", "/", "--library", "requests"], "httpbin"),
        (["http", "GET", "/", "--library", "requests", "-o", "/dev/null"], "httpbin"),
        (["http", "GET", "/", "-o", "/dev/null"], "httpbin"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, list) else "",
)
@pytest.mark.parametrize(("missing", "said"), [(10, "ends after {} of {} bytes"), (0, "")])
def test_the_terminal_says_incomplete(
    server: Server,
    arguments: list[str],
    service: str,
    missing: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """In one line, with the service and its address, and how much there is of the answer."""
    monkeypatch.setenv(f"WIRELAB_{service.upper()}_ADDRESS", str(server.where))
    server.answer = with_length(BODY)[: -missing or None]
    assert main(arguments) == (1 if missing else 0)
    errors = capfd.readouterr().err.removesuffix("200 OK\n")
    whole = f"clients: {service} at {server.where}: the answer is incomplete: it {said}\n"
    assert errors == (whole.format(len(BODY) - missing, len(BODY)) if missing else "")


IN_JSON: dict[str, tuple[Callable[[Address], object], bytes]] = {
    "relay": (lambda where: relay.Relay(where, TIMEOUT).proxies(), b'{"kv": {}}'),
    "journal": (lambda where: list(relay.Relay(where, TIMEOUT).journal()), b": quiet\n\n"),
    "console": (lambda where: console.stack(where, TIMEOUT), b'[{"name": "kv"}]'),
}


@pytest.mark.parametrize("framed", [with_length, in_chunks])
@pytest.mark.parametrize("client", IN_JSON)
def test_an_answer_in_json_that_breaks_off_is_an_error(
    server: Server, client: str, framed: Callable[[bytes], bytes]
) -> None:
    """Also that of the relay's journal, which would otherwise be one without conversations."""
    call, body = IN_JSON[client]
    whole = framed(body)
    server.answer = whole
    call(server.where)
    for count in range(len(whole)):
        server.answer = whole[:count]
        with pytest.raises((OSError, WrongAnswer), match=r"."):  # its status is among what is wrong
            call(server.where)


@pytest.mark.parametrize("arguments", [["relay"], ["wire"], ["console"]], ids=" ".join)
def test_the_terminal_names_who_answers_with_something_else(
    server: Server,
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """With status 1, as nothing is wrong with what was typed."""
    service = "console" if arguments == ["console"] else "relay"
    monkeypatch.setenv(f"WIRELAB_{service.upper()}_ADDRESS", str(server.where))
    for answer, said in (
        (b"SSH-2.0-OpenSSH\r\n", r"not an HTTP answer: .*"),
        (with_length(b": quiet\n\n")[:-1], r"the answer is incomplete: .*"),
        (
            with_length(b"hello"),
            r"the journal is text/event-stream, not text/xml"
            if arguments == ["wire"]
            else r"not an answer in JSON: .*",
        ),
    ):
        server.answer = answer
        assert main(arguments) == 1
        whole = rf"clients: {service} at {server.where}: {said}\n"
        assert re.fullmatch(whole, capfd.readouterr().err)


RECORD = b"event: record\ndata: %s\n\n"
PROFILE = b'{"name": "clean", "seed": 1, "profiles": ["clean"], "kv": %s}'


@pytest.mark.parametrize(
    ("arguments", "body"),
    [
        *(
            pytest.param(arguments, body, id=f"{arguments}-{body.decode()}")
            for arguments in ("relay", "relay clean", "wire", "console")
            for body in (b"[1]", b"1", b"null", b'{"kv": 1}', b'{"profiles": 1}', b'["kv"]')
        ),
        pytest.param("wire --service kv", b"1", id="a number of services"),
        pytest.param("wire --service kv", b"[[]]", id="services without names"),
        pytest.param("relay", PROFILE % b"{}", id="a proxy without anything"),
        pytest.param("relay --service kv", PROFILE % b"null", id="no proxy"),
        pytest.param("wire", RECORD % b"1", id="a record that is a number"),
        pytest.param("wire", RECORD % b"{}", id="an empty record"),
        pytest.param("wire", RECORD % b"{", id="no record"),
        pytest.param(
            "wire",
            RECORD % json.dumps({**to_json(HALF_CLOSE[0]), "number": -1}).encode(),
            id="a number that is none",
        ),
    ],
)
def test_the_terminal_names_who_answers_with_another_document(
    server: Server,
    arguments: str,
    body: bytes,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """As for what is no JSON at all; of a journal that is none, its type says so."""
    service = "console" if arguments == "console" else "relay"
    monkeypatch.setenv(f"WIRELAB_{service.upper()}_ADDRESS", str(server.where))
    server.answer = with_length(body)
    assert main(arguments.split()) == 1
    said = f"clients: {service} at {server.where}: "
    why = r"not the JSON of this service: .+|the journal is text/event-stream, not text/xml"
    assert re.fullmatch(rf"{re.escape(said)}({why})\n", capfd.readouterr().err)


class Resetting(socketserver.BaseRequestHandler):
    """Answers a connection with a reset (socket(7), SO_LINGER)."""

    def handle(self) -> None:
        """Do so at once: the client learns of it while it connects, sends or reads."""
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.request.close()


@pytest.mark.parametrize(
    "arguments",
    [["tcp-echo", "a"], ["rest", "GET", "/"], ["http", "GET", "/"], ["kv", "keys"], ["relay"]],
    ids=" ".join,
)
def test_a_connection_that_is_reset_is_said_to_be(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whenever the client learns of it, so this is done several times."""
    service = {"http": "httpbin"}.get(arguments[0], arguments[0])
    with in_a_thread(socketserver.TCPServer(("127.0.0.1", 0), Resetting)) as server:
        where = Address(*server.server_address[:2])  # type: ignore[arg-type]
        monkeypatch.setenv(variable(service), str(where))
        for _ in range(20):
            assert main(arguments) == 1
            said = capfd.readouterr().err
            reasons = "Connection reset by peer|Broken pipe|Remote end closed .*"
            assert re.fullmatch(rf"clients: {service} at {where}: ({reasons})\n", said)
