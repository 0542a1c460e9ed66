"""What the key-value store promises, over the wire and across a crash."""

import ast
import http.client
import math
import os
import re
import signal
import xmlrpc.client
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, MultiCall, ServerProxy

import pytest

from clients import kv
from clients.addresses import Address
from clients.checks import Check, WrongAnswer
from tests.contract.data.xml_rpc_documents import DOCUMENTS
from tests.support.clients import http_exchange
from tests.support.drivers import DRIVERS, Driver, named, serving
from tests.support.pace import FAR
from tests.support.processes import refuses_to_start, running
from tests.support.sockets import connect, reset, rest_of, unanswered

LIMIT = 1024 * 1024  # bytes of a request's body

gunicorn = pytest.mark.parametrize("driver", named("kv", "gunicorn"), ids=str, indirect=True)
single = pytest.mark.parametrize("driver", named("kv", "single"), ids=str, indirect=True)


@pytest.fixture(scope="module", params=DRIVERS["kv"], ids=str)
def driver(request: pytest.FixtureRequest) -> Driver:
    """Name each driver, one after the other."""
    found: Driver = request.param
    return found


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
    body: bytes | None,
    method: str = "POST",
    path: str = "/",
    seconds: float = FAR,
    **headers: str,
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Make an HTTP request with these headers, if they are not empty; by default it is a call."""
    headers = {"Host": str(address), "Content_Type": "text/xml", **headers}
    if body is not None and "Transfer_Encoding" not in headers:
        headers["Content_Length"] = str(len(body))
    fields = {name.replace("_", "-"): value for name, value in headers.items() if value}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    head = f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode()
    response, answer = http_exchange(address, head + (body or b""), method, seconds)
    return response.status, response.headers, answer


def fault(address: Address, body: bytes) -> Fault:
    """Return the fault that a call is answered with."""
    status, _, answer = post(address, body)
    assert status == 200
    with pytest.raises(Fault) as caught:
        xmlrpc.client.loads(answer)
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
def test_what_the_client_checks_holds(address: Address, driver: Driver, check: Check) -> None:
    """Every check of the client passes; line endings do not come back from the stock server."""
    if driver.name == "single" and check.run is kv.check_types:
        with pytest.raises(WrongAnswer, match="string: wanted"):
            check.run(address)
    else:
        check.run(address)


def test_the_health_check_passes(address: Address) -> None:
    """The exchange that container health checks make succeeds, also by the other path."""
    kv.health(address, FAR)
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


# A parser of XML turns CR, and CR LF, into LF, and the stock server leaves it at that.
CHANGED = {
    "line endings": "\n \n \n \t ",
    "a struct": {"": {}, "a": {"b": {"c": [1.5]}}, "\n": "é"},
}


@pytest.mark.parametrize("kind", VALUES)
def test_every_type_comes_back_as_it_was(store: Any, driver: Driver, kind: str) -> None:
    """Of the same type, and equal; except for line endings, through the stock server."""
    value = CHANGED.get(kind, VALUES[kind]) if driver.name == "single" else VALUES[kind]
    store.set("name", VALUES[kind])
    found = store.get("name")
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize("name", ["", " ", "a/b?c&d", "Zoë 😀", "\r\n", "x" * 10_000])
def test_any_text_is_a_name(store: Any, driver: Driver, name: str) -> None:
    """It is among the keys as it was given; a line ending as the stock server reads it."""
    store.set(name, 1)
    assert store.keys() == [name.replace("\r\n", "\n") if driver.name == "single" else name]
    assert store.exists(name)
    store.delete(name)
    assert store.keys() == []


def test_names_are_in_the_order_in_which_they_were_first_set(store: Any) -> None:
    """Another value leaves a name where it is; a name that was deleted begins anew."""
    for name in ("one", "two", "three", "one"):
        store.set(name, 1)
    assert store.keys() == ["one", "two", "three"]
    store.delete("one")
    store.set("one", 1)
    assert store.keys() == ["two", "three", "one"]


EQUAL: dict[str, tuple[object, object, bool]] = {
    "the same": ({"a": [1, "x"]}, {"a": [1, "x"]}, True),
    "1 and True": (1, True, False),
    "1 and 1.0": (1, 1.0, False),
    "in an array": ([0], [False], False),
    "nil and a nil": (None, None, True),
    "text and bytes": ("x", b"x", False),
}


@pytest.mark.parametrize(("held", "expected", "equal"), EQUAL.values(), ids=EQUAL)
def test_compare_and_set_goes_by_the_form_in_xml(
    store: Any, held: object, expected: object, equal: bool
) -> None:
    """Values that Python takes for equal are not if their types are others."""
    store.set("name", held)
    assert store.compare_and_set("name", expected, "new") is equal
    assert (store.get("name") == "new") is equal


def test_a_missing_name_counts_as_nil(store: Any) -> None:
    """So a lock is taken by one alone, and released."""
    assert store.compare_and_set("lock", "somebody", "me") is False
    assert store.keys() == []
    assert store.compare_and_set("lock", None, "me") is True
    assert store.compare_and_set("lock", None, "you") is False
    assert store.compare_and_set("lock", "me", None) is True
    assert store.compare_and_set("lock", None, "you") is True


def test_the_order_of_members_matters_to_the_stock_server_alone(store: Any, driver: Driver) -> None:
    """A struct has none, and the durable store compares it in that of the names."""
    store.set("name", {"a": 1, "b": 2})
    done = store.compare_and_set("name", {"b": 2, "a": 1}, "new")
    assert done is (driver.name == "gunicorn")


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


INTERNALS = re.compile(r"Traceback|Error|class|services[.]|sqlite|xmlrpc|codec")


@gunicorn
@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_sets_its_value_or_has_its_fault(
    address: Address, store: Any, name: str
) -> None:
    """A fault tells nothing about the code of the server, and then nothing is written."""
    document = DOCUMENTS[name]
    if document.code is None:
        status, _, answer = post(address, document.body)
        assert (status, xmlrpc.client.loads(answer)[0]) == (200, (None,))
        value = store.get("x")
        assert (type(value), value) == (type(document.value), document.value)
    else:
        found = fault(address, document.body)
        assert found.faultCode == document.code
        assert len(found.faultString) < 300
        assert not INTERNALS.search(found.faultString)
        assert store.keys() == []


@gunicorn
def test_builtin_types_can_be_had_of_every_value(address: Address, store: Any) -> None:
    """A client that asks for them fails for a dateTime or base64 that is none."""
    values = [name for name, document in DOCUMENTS.items() if document.code is None]
    with ServerProxy(f"http://{address}", allow_none=True, use_builtin_types=True) as builtin:
        for name in values:
            post(address, DOCUMENTS[name].body)
            found = builtin.get("x")
            assert found == getattr(DOCUMENTS[name].value, "data", found)
    assert store.keys() == ["x"]


@gunicorn
def test_a_client_without_nil_has_a_path_of_its_own(address: Address, store: Any) -> None:
    """The standard library's, which by itself refuses nil; introspection says where it is."""
    store.set("nil", [None])
    with ServerProxy(f"http://{address}/RPC2/1999") as old:
        assert old.set("foo", "bar") is True
        assert old.system.methodSignature("delete") == [["boolean", "string"]]
        assert store.system.methodSignature("delete") == [["nil", "string"]]
        assert old.delete("foo") is True
        with pytest.raises(Fault) as caught:
            old.get("nil")
    text = "the result has a nil, which the dialect of 1999 does not have: 'nil'"
    assert (caught.value.faultCode, caught.value.faultString) == (3, text)


@gunicorn
@pytest.mark.parametrize(("path", "done"), [("/RPC2", None), ("/RPC2/1999", True)])
@pytest.mark.usefixtures("store")
def test_the_librarys_multicall_is_one_request(address: Address, path: str, done: object) -> None:
    """With each result in its place, up to the first fault, which is raised when it is reached."""
    with ServerProxy(f"http://{address}{path}", allow_none=True) as store:
        calls = MultiCall(store)
        calls.set("foo", {"bar": [1, 2, 3]})
        calls.get("foo")
        calls.get("spam")
        results = calls()
    assert [results[0], results[1]] == [done, {"bar": [1, 2, 3]}]
    with pytest.raises(Fault, match="no such key: 'spam'"):
        print(results[2])


# What a web page of any site can have the browser of whoever runs the lab send; the last ones are
# of a site whose name resolves to this machine.
FOREIGN: dict[str, tuple[dict[str, Any], int]] = {
    "a form": ({"Content_Type": "text/plain"}, 415),
    "bytes without a type": ({"Content_Type": ""}, 415),
    "a script of another site": ({"Origin": "http://evil.example"}, 403),
    "a file, or a frame in a sandbox": ({"Origin": "null"}, 403),
    "a name that was made to resolve here": ({"Host": "evil.example"}, 421),
    "a script with such a name": ({"Host": "evil.example", "Origin": "http://evil.example"}, 421),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_a_web_page_cannot_write(address: Address, store: Any, driver: Driver, what: str) -> None:
    """The stock server takes whatever it sends."""
    headers, status = FOREIGN[what]
    found, _, _ = post(address, setting("<value>by a page</value>"), **headers)
    assert found == (status if driver.name == "gunicorn" else 200)
    assert store.keys() == ([] if driver.name == "gunicorn" else ["refused"])


@gunicorn
@pytest.mark.parametrize(
    ("kind", "encoding"),
    [
        ("text/xml; charset=utf-8", "utf-8"),
        ('text/xml;charset="ISO-8859-1"', "iso-8859-1"),
        ("application/xml; a=b; charset=windows-1252", "windows-1252"),
        ("text/xml; charset=", "utf-8"),
    ],
)
def test_a_call_may_name_its_charset_in_its_type(
    address: Address, store: Any, kind: str, encoding: str
) -> None:
    """Whatever the document says of itself: the header decides (RFC 7303, 3.2)."""
    declared = "" if kind.endswith("=") else "<?xml version='1.0' encoding='utf-16'?>"
    body = setting("<value>Zoë</value>", declared).decode().encode(encoding)
    status, _, answer = post(address, body, Content_Type=kind)
    assert (status, xmlrpc.client.loads(answer)[0]) == (200, (None,))
    assert store.get("refused") == "Zoë"


@pytest.mark.parametrize("host", ["kv:15000", "lab.example", "evil.example"])
def test_more_names_of_the_server_are_a_setting(host: str) -> None:
    """A list with commas; compose.yaml has the names of its services there."""
    body = xmlrpc.client.dumps((), "keys").encode()
    with serving(DRIVERS["kv"][0], WIRELAB_HOSTS="kv, lab.example,") as server:
        status, _, _ = post(server.address, body, Host=host)
    assert status == (421 if "evil" in host else 200)


@pytest.mark.parametrize("value", [True, None, {"a": 1}])
def test_its_health_does_not_depend_on_what_is_stored(
    store: Any, address: Address, value: Any
) -> None:
    """Nor do the comparison and the checks: no name is theirs."""
    store.set("", value)
    kv.health(address, FAR)
    with kv.conversation(address, FAR) as ask:
        ask("word")
    for check in kv.CHECKS[:1]:
        check.run(address)


# What the stock server has afterwards in place of a value that it took: whatever Python makes of
# it, or else the text of a fault.
TAKEN: dict[str, object] = {
    "2**31 as i8": "<class 'OverflowError'>:int exceeds XML-RPC limits",
    "2**31 as int": "<class 'OverflowError'>:int exceeds XML-RPC limits",
    "a struct with a member twice": {"a": "2"},
    "a decimal": "<class 'TypeError'>:cannot marshal <class 'decimal.Decimal'> objects",
    "a dateTime that is none": "an answer that is no XML",  # since it writes the text as it is
    "an integer that only Python reads": 1000,
    "an integer in other digits": 1,
    "a double that is no number": math.nan,
    "a double too large": math.inf,
    "base64 that is none": b"",
    "text in front of a value": 1,
    "text in nil": None,
    "nesting": ast.literal_eval("[" * 65 + "]" * 65),
    "an entity bomb": "xxxx",
    "an entity from a file": "",
}


@gunicorn
@pytest.mark.parametrize(("body", "code"), REFUSED.values(), ids=REFUSED)
def test_what_would_not_come_back_is_refused_and_nothing_written(
    address: Address, store: Any, body: bytes, code: int
) -> None:
    """Neither a new name nor another value of an old one."""
    found = fault(address, body)
    assert found.faultCode == code
    for internal in ("Traceback", "Error", "class", "services.", "sqlite", "xmlrpc"):
        assert internal not in found.faultString
    assert store.keys() == []
    store.set("refused", "before")
    fault(address, body)
    assert store.get("refused") == "before"


@single
@pytest.mark.parametrize("what", REFUSED)
def test_the_stock_server_takes_all_that_is_xml(address: Address, store: Any, what: str) -> None:
    """The answer says that all is well; what is read afterwards is something else, or a fault."""
    if what not in TAKEN:
        assert fault(address, REFUSED[what][0]).faultString.startswith("<class 'xml.parsers.expat")
        return
    status, _, answer = post(address, REFUSED[what][0])
    assert (status, xmlrpc.client.loads(answer)[0]) == (200, (None,))
    try:
        found = store.get("refused")
    except Fault as error:
        found = error.faultString
    except WrongAnswer:
        found = "an answer that is no XML"
    assert repr(getattr(found, "data", found)) == repr(TAKEN[what])


# A call, the code and the text of its fault, and the text of the stock server: always of code 1.
FAULTS: dict[str, tuple[bytes, int, str, str]] = {
    "a missing name": (
        xmlrpc.client.dumps(("x",), "get").encode(),
        1,
        "no such key: 'x'",
        "no such key: 'x'",
    ),
    "to delete one": (
        xmlrpc.client.dumps(("x",), "delete").encode(),
        1,
        "no such key: 'x'",
        "no such key: 'x'",
    ),
    "an unknown method": (
        xmlrpc.client.dumps((), "unheard").encode(),
        -32601,
        "no such method: 'unheard'",
        "<class 'Exception'>:method \"unheard\" is not supported",
    ),
    "an attribute": (
        xmlrpc.client.dumps((), "__init__").encode(),
        -32601,
        "no such method: '__init__'",
        "<class 'Exception'>:method \"__init__\" is not supported",
    ),
    "too few arguments": (
        xmlrpc.client.dumps(("x",), "set").encode(),
        -32602,
        "bad argument: set takes 2 arguments, not 1",
        "<class 'TypeError'>:MemoryStore.set() missing 1 required positional argument: 'value'",
    ),
    "too many": (
        xmlrpc.client.dumps(("x", 1), "get").encode(),
        -32602,
        "bad argument: get takes 1 argument, not 2",
        "<class 'TypeError'>:MemoryStore.get() takes 2 positional arguments but 3 were given",
    ),
    "a number for a name": (
        xmlrpc.client.dumps((1,), "get").encode(),
        -32602,
        "bad argument: get: the name 1 is not a string",
        "no such key: 1",
    ),
    "no method": (
        b"<methodCall><params/></methodCall>",
        -32600,
        "not a call in XML-RPC: the element 'params' is out of place in 'methodCall'",
        "<class 'Exception'>:method \"None\" is not supported",
    ),
    "an empty call": (
        b"<methodCall/>",
        -32600,
        "not a call in XML-RPC: the element 'methodCall' is incomplete",
        "<class 'xmlrpc.client.ResponseError'>:ResponseError()",
    ),
    "no XML": (
        b"hello",
        -32700,
        "not well-formed XML: syntax error: line 1, column 0",
        "<class 'xml.parsers.expat.ExpatError'>:syntax error: line 1, column 0",
    ),
    "nothing": (
        b"",
        -32700,
        "not well-formed XML: no element found: line 1, column 0",
        "<class 'xml.parsers.expat.ExpatError'>:no element found: line 1, column 0",
    ),
}


@pytest.mark.parametrize("what", FAULTS)
@pytest.mark.usefixtures("store")
def test_each_fault_has_its_code_and_its_text(address: Address, driver: Driver, what: str) -> None:
    """Both are fixed: no name of a class, no traceback; the stock server names the class."""
    body, code, text, of_stock = FAULTS[what]
    found = fault(address, body)
    wanted = (code, text) if driver.name == "gunicorn" else (1, of_stock)
    assert (found.faultCode, found.faultString) == wanted


CALL = xmlrpc.client.dumps((), "keys").encode()
WAITS = 0  # for as long as the client does, for more of the body
HTTP: dict[str, tuple[dict[str, Any], dict[str, int]]] = {
    "GET": ({"method": "GET", "body": None}, {"gunicorn": 405, "single": 501}),
    "PUT": ({"method": "PUT", "body": CALL}, {"gunicorn": 405, "single": 501}),
    "another path": ({"body": CALL, "path": "/rpc"}, {"gunicorn": 404, "single": 404}),
    "no length": ({"body": None}, {"gunicorn": 411, "single": 500}),
    "chunks": (
        {"body": b"%x\r\n%b\r\n0\r\n\r\n" % (len(CALL), CALL), "Transfer_Encoding": "chunked"},
        {"gunicorn": 411, "single": 500},
    ),
    "a body too large": (
        {"body": None, "Content_Length": str(LIMIT + 1)},
        {"gunicorn": 413, "single": WAITS},
    ),
    "a compressed body": (
        {"body": CALL, "Content_Encoding": "gzip"},
        {"gunicorn": 415, "single": 400},
    ),
    "a negative length": (
        {"body": None, "Content_Length": "-1"},
        {"gunicorn": 400, "single": WAITS},
    ),
    "a length of words": (
        {"body": None, "Content_Length": "ten"},
        {"gunicorn": 400, "single": 500},
    ),
    "a length of many digits": (
        {"body": None, "Content_Length": "9" * 5000},
        {"gunicorn": 400, "single": 500},
    ),
}


@pytest.mark.parametrize("what", HTTP)
def test_a_request_that_is_no_call_has_a_status_of_http(
    address: Address, driver: Driver, what: str
) -> None:
    """405 and 415 say what is accepted; the server goes on, once the client has left."""
    request, statuses = HTTP[what]
    if statuses[driver.name] == WAITS:
        with pytest.raises(TimeoutError):
            post(address, seconds=0.3, **request)
    else:
        found, headers, _ = post(address, **request)
        assert found == statuses[driver.name]
        assert headers.get("Allow") == ("POST" if found == 405 else None)
        assert headers.get("Accept-Encoding") == ("identity" if found == 415 else None)
    kv.health(address, FAR)


@pytest.mark.parametrize("coding", ["identity", "IDENTITY"])
def test_a_call_may_say_that_it_is_not_compressed(address: Address, coding: str) -> None:
    """In any case (RFC 9110, 8.4.1)."""
    assert post(address, CALL, Content_Encoding=coding)[0] == 200


def test_a_value_outlives_the_server_in_the_durable_store_alone(
    driver: Driver, tmp_path: Path
) -> None:
    """SIGKILL to every process of the server at once, then another on the same file."""
    file = tmp_path / "kv.sqlite3"
    with running(driver.command, WIRELAB_KV_FILE=str(file)) as server:
        with kv.proxy(server.address) as store:
            store.set("foo", {"bar": [1, 2, 3]})
        os.killpg(server.process.pid, signal.SIGKILL)
        assert server.process.wait(FAR) == -signal.SIGKILL
    with serving(driver, WIRELAB_KV_FILE=str(file)) as server, kv.proxy(server.address) as store:
        assert store.keys() == (["foo"] if driver.name == "gunicorn" else [])
        if driver.name == "gunicorn":
            assert store.get("foo") == {"bar": [1, 2, 3]}


def test_no_update_of_a_counter_is_lost(driver: Driver, tmp_path: Path) -> None:
    """Eight threads increment it; through two servers, where one file can be that of both."""
    file = tmp_path / "kv.sqlite3"
    with ExitStack() as stack:
        servers = [
            stack.enter_context(serving(driver, WIRELAB_KV_FILE=str(file)))
            for _ in range({"gunicorn": 2, "single": 1}[driver.name])
        ]

        def increment(number: int) -> list[int]:
            with kv.proxy(servers[number % len(servers)].address, timeout=20) as store:
                return [kv.increment(store, "counter", attempts=10_000) for _ in range(10)]

        with ThreadPoolExecutor(8) as threads:
            found = [value for values in threads.map(increment, range(8)) for value in values]
        assert sorted(found) == list(range(1, 81))


def test_calls_are_served_while_clients_are_idle(address: Address) -> None:
    """Kept for the next call, a connection keeps nobody waiting; or it is not kept."""
    with ExitStack() as stack:
        for _ in range(20):
            idle = stack.enter_context(kv.proxy(address))
            idle.exists("")
        kv.health(address, FAR)


def test_a_file_that_cannot_be_one_is_one_line(tmp_path: Path) -> None:
    """It names the variable and the path, and no worker is started."""
    path = tmp_path / "none" / "kv.sqlite3"
    line = refuses_to_start(DRIVERS["kv"][0].command, WIRELAB_PORT="0", WIRELAB_KV_FILE=str(path))
    assert line.startswith(f"WIRELAB_KV_FILE has value {str(path)!r}. Not a database: ")


HALF = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/xml\r\nContent-Length: 10\r\n\r\n"


@single
@pytest.mark.parametrize("said", [b"", HALF], ids=["nothing", "half a request"])
def test_one_silent_connection_keeps_everyone_waiting_until_it_leaves(
    address: Address, said: bytes
) -> None:
    """The kernel holds the others meanwhile, and each is served then."""
    body = xmlrpc.client.dumps(("x",), "exists").encode()
    request = HALF.replace(b"10", b"%d" % len(body)) + body
    with connect(address) as silent, ExitStack() as clients:
        silent.sendall(said)
        waiting = [clients.enter_context(connect(address)) for _ in range(20)]
        for client in waiting:
            client.sendall(request)
        assert unanswered(*waiting)
        silent.close()
        for client in waiting:
            assert rest_of(client).startswith(b"HTTP/1.0 200 OK\r\n")


@pytest.mark.parametrize("said", [b"", b"POST / HT", HALF])
def test_a_reset_disturbs_nobody(address: Address, said: bytes) -> None:
    """Nor is there a traceback in the log."""
    client = connect(address)
    client.sendall(said)
    reset(client)
    kv.health(address, FAR)


def test_a_connection_has_one_call_of_the_stock_server(address: Address, driver: Driver) -> None:
    """It closes after the answer (HTTP/1.0), where the default waits for the next call."""
    body = xmlrpc.client.dumps(("x",), "exists").encode()
    with closing(http.client.HTTPConnection(*address, timeout=FAR)) as connection:
        connection.request("POST", "/", body, {"Content-Type": "text/xml"})
        response = connection.getresponse()
        response.read()
    assert response.will_close is (driver.name == "single")


def test_sigterm_ends_the_single_server_amid_a_call() -> None:
    """Whatever the call does, and xmlrpc.server catches."""
    signalling = """
import os, signal, time
from services import runtime
from services.kv import single

def get(self, name):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)

single.MemoryStore.get = get
runtime.main(single.serve, default_port=15000)
"""
    with running(["python", "-c", signalling]) as server:
        with (
            kv.proxy(server.address) as store,
            pytest.raises((OSError, http.client.HTTPException)),
        ):
            store.get("x")
        assert server.ended() == 0
