"""What the key-value store promises, over the wire and across a crash."""

import http.client
import io
import os
import signal
import socket
import xmlrpc.client
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ServerProxy

import pytest

from clients import kv
from clients.addresses import Address
from clients.checks import Check
from services.kv.app import KeyValueServer
from services.kv.store import Store
from tests.helpers import refuses_to_start
from tests.processes import Server, running

COMMAND = ["gunicorn", "-c", "services/kv/gunicorn.conf.py"]
LIMIT = 1024 * 1024  # bytes of a request's body


@contextmanager
def serving(file: Path) -> Iterator[Server]:
    """Run a store that is kept in `file`."""
    with running(COMMAND, WIRELAB_KV_FILE=str(file)) as server:
        yield server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run a store for all tests that only talk to it."""
    with serving(tmp_path_factory.mktemp("kv") / "kv.sqlite3") as server:
        yield server


@pytest.fixture
def address(server: Server) -> Address:
    """Return where the store is."""
    return server.address


@pytest.fixture
def store(address: Address) -> Iterator[Any]:
    """Return a client of an empty store."""
    with kv.proxy(address) as store:
        names: Any = store.keys()
        for name in names:
            store.delete(name)
        yield store


def post(
    address: Address,
    body: bytes | Iterator[bytes] | None,
    method: str = "POST",
    path: str = "/",
    **headers: str,
) -> tuple[int, dict[str, str], bytes]:
    """Make an HTTP request with just these headers, in chunks where the body is an iterator."""
    if isinstance(body, bytes):
        headers["Content_Length"] = str(len(body))
    elif body is not None:
        headers["Transfer_Encoding"] = "chunked"
    with closing(http.client.HTTPConnection(*address, timeout=5)) as connection:
        connection.putrequest(method, path)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders(body, encode_chunked=not isinstance(body, bytes))
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()


def fault(address: Address, body: bytes) -> Fault:
    """Return the fault that a call is answered with."""
    status, _, answer = post(address, body)
    assert status == 200
    with pytest.raises(Fault) as caught:
        xmlrpc.client.loads(answer)
    for internal in ("Traceback", "Error", "class", "services.", "sqlite", "xmlrpc"):
        assert internal not in caught.value.faultString
    return caught.value


def setting(value: str, head: str = "") -> bytes:
    """Return a call that would set `refused` to a value given as XML."""
    return (
        f"{head}<methodCall><methodName>set</methodName><params>"
        f"<param><value>refused</value></param><param>{value}</param></params></methodCall>"
    ).encode("utf-8", "surrogatepass")


def test_the_transcript_of_the_recipe_comes_out_as_printed(address: Address, store: Any) -> None:
    """Typed into Python, with the standard library's client."""
    assert store.keys() == []
    with ServerProxy(f"http://localhost:{address.port}", allow_none=True) as s:
        assert s.set("foo", "bar") is None
        assert s.set("spam", [1, 2, 3]) is None
        assert sorted(s.keys()) == ["foo", "spam"]  # type: ignore[arg-type]
        assert s.get("foo") == "bar"
        assert s.get("spam") == [1, 2, 3]
        assert s.delete("spam") is None
        assert s.exists("spam") is False


@pytest.mark.parametrize("check", kv.CHECKS, ids=[check.what for check in kv.CHECKS])
def test_what_the_client_checks_holds(address: Address, check: Check) -> None:
    """Every check of the client passes."""
    check.run(address)


def test_the_health_check_passes(address: Address) -> None:
    """The exchange that container health checks make succeeds, also by the other path."""
    kv.health(address, 5)
    body = xmlrpc.client.dumps(("x",), "exists").encode()
    status, headers, answer = post(address, body, path="/RPC2")
    assert (status, headers["Content-Type"]) == (200, "text/xml")
    assert xmlrpc.client.loads(answer) == ((False,), None)


VALUES: dict[str, Any] = {
    "None": None,
    "the smallest int": -(2**31),
    "the largest int": 2**31 - 1,
    "True": True,
    "a double": 0.1,
    "text": "Zoë & <b> 😀 ]]>",
    "line endings": "\r\n \r \n \t ",
    "text of nothing": "",
    "a dateTime": xmlrpc.client.DateTime(datetime(2012, 8, 15, 20, 35, 8, tzinfo=UTC)),
    "bytes": xmlrpc.client.Binary(bytes(range(256))),
    "an array": [[], [None, [1, ["two"]]], "", 0],
    "a struct": {"": {}, "a": {"b": {"c": [1.5]}}, "\r": "é"},
    "much text": "x" * 500_000,
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_every_type_comes_back_as_it_was(store: Any, value: Any) -> None:
    """Of the same type, and equal."""
    store.set("name", value)
    found = store.get("name")
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize("name", ["", " ", "a/b?c&d", "Zoë 😀", "\r\n", "x" * 10_000])
def test_any_text_is_a_name(store: Any, name: str) -> None:
    """It is among the keys as it was given."""
    store.set(name, 1)
    assert store.keys() == [name]
    assert store.exists(name)
    store.delete(name)
    assert store.keys() == []


REFUSED: dict[str, tuple[bytes, int]] = {
    "NUL": (setting("<value>\0</value>"), -32700),
    "a reference to NUL": (setting("<value>&#0;</value>"), -32700),
    "a lone surrogate": (setting("<value>\ud800</value>"), -32700),
    "2**31 as i8": (setting("<value><i8>2147483648</i8></value>"), -32602),
    "2**31 as int": (setting("<value><int>2147483648</int></value>"), -32602),
    "a struct with a member twice": (
        setting(
            "<value><struct><member><name>a</name><value>1</value></member>"
            "<member><name>a</name><value>2</value></member></struct></value>"
        ),
        -32602,
    ),
    "a decimal": (setting("<value><bigdecimal>1</bigdecimal></value>"), -32602),
    "a dateTime that is none": (
        setting("<value><dateTime.iso8601>&lt;now&gt;</dateTime.iso8601></value>"),
        -32600,
    ),
    "an integer that only Python reads": (setting("<value><int>1_000</int></value>"), -32600),
    "an integer in other digits": (setting("<value><int>&#x661;</int></value>"), -32600),
    "a double that is no number": (setting("<value><double>nan</double></value>"), -32600),
    "a double too large": (setting("<value><double>1e999</double></value>"), -32600),
    "base64 that is none": (setting("<value><base64>!!!!</base64></value>"), -32600),
    "text in front of a value": (setting("<value>abc<int>1</int></value>"), -32600),
    "text in nil": (setting("<value><nil>x</nil></value>"), -32600),
    "nesting": (
        setting("<value><array><data>" * 65 + "</data></array></value>" * 65),
        -32602,
    ),
    "an entity bomb": (
        setting(
            "<value>&c;</value>",
            '<!DOCTYPE x [<!ENTITY a "x"><!ENTITY b "&a;&a;"><!ENTITY c "&b;&b;">]>',
        ),
        -32600,
    ),
    "an entity from a file": (
        setting("<value>&a;</value>", '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'),
        -32600,
    ),
}


@pytest.mark.parametrize(("body", "code"), REFUSED.values(), ids=REFUSED)
def test_what_would_not_come_back_is_refused_and_nothing_written(
    address: Address, store: Any, body: bytes, code: int
) -> None:
    """Neither a new name nor another value of an old one."""
    assert fault(address, body).faultCode == code
    assert store.keys() == []
    store.set("refused", "before")
    fault(address, body)
    assert store.get("refused") == "before"


FAULTS: dict[str, tuple[bytes, int, str]] = {
    "a missing name": (xmlrpc.client.dumps(("x",), "get").encode(), 1, "no such key: 'x'"),
    "to delete one": (xmlrpc.client.dumps(("x",), "delete").encode(), 1, "no such key: 'x'"),
    "an unknown method": (
        xmlrpc.client.dumps((), "system.listMethods").encode(),
        -32601,
        "no such method: 'system.listMethods'",
    ),
    "an attribute": (
        xmlrpc.client.dumps((), "__init__").encode(),
        -32601,
        "no such method: '__init__'",
    ),
    "too few arguments": (
        xmlrpc.client.dumps(("x",), "set").encode(),
        -32602,
        "bad argument: set: missing a required argument: 'value'",
    ),
    "too many": (
        xmlrpc.client.dumps(("x", 1), "get").encode(),
        -32602,
        "bad argument: get: too many positional arguments",
    ),
    "a number for a name": (
        xmlrpc.client.dumps((1,), "get").encode(),
        -32602,
        "bad argument: get: the name 1 is not a string",
    ),
    "no method": (
        b"<methodCall><params/></methodCall>",
        -32600,
        "not a call in XML-RPC: there is no methodName",
    ),
    "an empty call": (b"<methodCall/>", -32600, "not a call in XML-RPC"),
    "no XML": (b"hello", -32700, "not well-formed XML: syntax error: line 1, column 0"),
    "nothing": (b"", -32700, "not well-formed XML: no element found: line 1, column 0"),
}


@pytest.mark.parametrize(("body", "code", "text"), FAULTS.values(), ids=FAULTS)
@pytest.mark.usefixtures("store")
def test_each_fault_has_its_code_and_its_text(
    address: Address, body: bytes, code: int, text: str
) -> None:
    """Both are fixed: no name of a class, no traceback."""
    found = fault(address, body)
    assert (found.faultCode, found.faultString) == (code, text)


CALL = xmlrpc.client.dumps((), "keys").encode()
HTTP: dict[str, tuple[dict[str, Any], int]] = {
    "GET": ({"method": "GET", "body": None}, 405),
    "PUT": ({"method": "PUT", "body": CALL}, 405),
    "another path": ({"body": CALL, "path": "/rpc"}, 404),
    "no length": ({"body": None}, 411),
    "chunks": ({"body": iter([CALL])}, 411),
    "a body too large": ({"body": None, "Content_Length": str(LIMIT + 1)}, 413),
    "a compressed body": ({"body": CALL, "Content_Encoding": "gzip"}, 415),
    "a negative length": ({"body": None, "Content_Length": "-1"}, 400),
    "a length of words": ({"body": None, "Content_Length": "ten"}, 400),
    "a length of many digits": ({"body": None, "Content_Length": "9" * 5000}, 400),
}


@pytest.mark.parametrize(("request_", "status"), HTTP.values(), ids=HTTP)
def test_a_request_that_is_no_call_has_a_status_of_http(
    address: Address, request_: dict[str, Any], status: int
) -> None:
    """405 with the method that is allowed; the server goes on."""
    found, headers, _ = post(address, **request_)
    assert found == status
    assert headers.get("Allow") == ("POST" if status == 405 else None)
    kv.health(address, 5)


def test_an_acknowledged_value_survives_a_kill(tmp_path: Path) -> None:
    """SIGKILL to every process of the server at once, then another on the same file."""
    file = tmp_path / "kv.sqlite3"
    with serving(file) as server:
        with kv.proxy(server.address) as store:
            store.set("foo", {"bar": [1, 2, 3]})
        os.killpg(server.process.pid, signal.SIGKILL)
        assert server.process.wait(5) == -signal.SIGKILL
    with serving(file) as server, kv.proxy(server.address) as store:
        assert store.get("foo") == {"bar": [1, 2, 3]}


def test_no_update_of_a_counter_is_lost(tmp_path: Path) -> None:
    """Eight threads increment it, through two servers on one file."""
    file = tmp_path / "kv.sqlite3"
    with serving(file) as one, serving(file) as other, ThreadPoolExecutor(8) as threads:

        def increment(number: int) -> list[int]:
            with kv.proxy((one, other)[number % 2].address, timeout=20) as store:
                return [kv.increment(store, "counter", attempts=10_000) for _ in range(10)]

        found = [value for values in threads.map(increment, range(8)) for value in values]
        assert sorted(found) == list(range(1, 81))


def test_calls_are_served_while_clients_are_idle(address: Address) -> None:
    """A connection that is kept for the next call takes no thread of the sixteen."""
    with ExitStack() as stack:
        for _ in range(20):
            idle = stack.enter_context(kv.proxy(address))
            idle.exists("")
        kv.health(address, 5)


def test_a_file_that_cannot_be_one_is_one_line(tmp_path: Path) -> None:
    """It names the variable and the path, and no worker is started."""
    path = tmp_path / "none" / "kv.sqlite3"
    line = refuses_to_start(COMMAND, WIRELAB_PORT="0", WIRELAB_KV_FILE=str(path))
    assert line.startswith(f"WIRELAB_KV_FILE has value {str(path)!r}. Not a database: ")


def test_a_bad_port_is_one_line() -> None:
    """It names the variable and the value."""
    line = refuses_to_start(COMMAND, WIRELAB_PORT="kv")
    assert line == "WIRELAB_PORT has value 'kv'. Not a port number (0 to 65535)"


def test_half_requests_leave_a_thread_for_others(tmp_path: Path) -> None:
    """Fifteen of sixteen threads wait for the rest of a call, and the next call is served."""
    with serving(tmp_path / "kv.sqlite3") as server, ExitStack() as clients:
        for _ in range(15):
            client = clients.enter_context(socket.create_connection(server.address, 5))
            client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n")
        kv.health(server.address, 5)


def test_a_fault_of_the_server_says_nothing_about_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its log has the traceback, its client a fixed code and text."""

    def broken(_self: Store, _name: str) -> str:
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(Store, "get", broken)
    application = KeyValueServer(Store(tmp_path / "kv.sqlite3"))
    body = xmlrpc.client.dumps(("x",), "get").encode()
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }
    answer = b"".join(application(environ, lambda *_: lambda _: None))
    with pytest.raises(Fault) as caught:
        xmlrpc.client.loads(answer)
    assert (caught.value.faultCode, caught.value.faultString) == (-32603, "internal error")
