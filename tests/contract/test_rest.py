"""What the REST service promises, under each server that runs it."""

import json
import re
import select
import time
from contextlib import ExitStack
from http.client import HTTPConnection
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from openapi_spec_validator import validate

from clients import rest
from clients.addresses import Address
from clients.checks import Check
from services.rest.app import OPENAPI, application
from services.version import VERSION
from tests.support.clients import http_exchange
from tests.support.drivers import DRIVERS, Driver, serving
from tests.support.pace import FAR
from tests.support.processes import SILENCE_TIMEOUT, running
from tests.support.sockets import LOOPBACK, connect, rest_of, unanswered

GUNICORN, SINGLE = DRIVERS["rest"]
LIMIT = 1024 * 1024  # bytes of a body

DOCUMENT = json.loads(OPENAPI)
OPERATIONS = {
    operation["operationId"]: (method.upper(), path, operation)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
}
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=b"
FILE = (
    b'--b\r\nContent-Disposition: form-data; name="f"; filename="a.txt"\r\n'
    b"Content-Type: text/plain\r\n\r\nabc\r\n--b--\r\n"
)
# For each operation: a path, body and type that it answers with 200, and with 400.
GOOD: dict[str, tuple[str, bytes, str]] = {
    "index": ("/", b"", ""),
    "hello": ("/hello?name=Guido", b"", ""),
    "helloForm": ("/hello", b"name=Guido", FORM),
    "helloPath": ("/hello/Guido", b"", ""),
    "localtime": ("/localtime", b"", ""),
    "files": ("/files", FILE, MULTIPART),
    "openapi": ("/openapi.json", b"", ""),
}
BAD: dict[str, tuple[str, bytes, str]] = {
    "hello": ("/hello", b"", ""),
    "helloForm": ("/hello", b"nickname=Guido", FORM),
    "helloPath": ("/hello/%FF", b"", ""),
    "files": ("/files", b"name=Guido", FORM),
}


@pytest.fixture(scope="module", params=DRIVERS["rest"], ids=str)
def driver(request: pytest.FixtureRequest) -> Driver:
    """Name each driver, one after the other."""
    found: Driver = request.param
    return found


def test_the_hello_transcript_comes_out_as_printed(address: Address) -> None:
    """Every byte of the page is the recipe's, spaces included."""
    with urlopen(f"http://{address}/hello?name=Guido") as u:
        assert u.read().decode("utf-8") == (
            "<html>\n"
            "  <head>\n"
            "     <title>Hello Guido</title>\n"
            "   </head>\n"
            "   <body>\n"
            "     <h1>Hello Guido!</h1>\n"
            "   </body>\n"
            "</html>"
        )
        assert u.headers["Content-Type"] == "text/html; charset=utf-8"


def test_the_localtime_transcript_comes_out_as_printed(address: Address) -> None:
    """Every byte of the document is the recipe's, with the numbers of this second."""
    template = (
        '<?xml version="1.0"?>\n'
        "<time>\n"
        "  <year>{t.tm_year}</year>\n"
        "  <month>{t.tm_mon}</month>\n"
        "  <day>{t.tm_mday}</day>\n"
        "  <hour>{t.tm_hour}</hour>\n"
        "  <minute>{t.tm_min}</minute>\n"
        "  <second>{t.tm_sec}</second>\n"
        "</time>"
    )
    # localtime() reads time(2), a clock of the kernel's ticks, which is up to 10 ms behind time().
    before = int(time.time() - 0.01)
    with urlopen(f"http://{address}/localtime") as u:
        document = u.read().decode("utf-8")
        assert u.headers["Content-Type"] == "application/xml; charset=utf-8"
    possible = range(before, int(time.time()) + 1)
    assert document in [template.format(t=time.localtime(second)) for second in possible]


@pytest.mark.parametrize("check", rest.CHECKS, ids=[check.what for check in rest.CHECKS])
def test_what_the_client_checks_holds(address: Address, check: Check) -> None:
    """Every check of the client passes."""
    check.run(address)


def test_the_health_check_passes(address: Address) -> None:
    """The exchange that container health checks make succeeds."""
    rest.health(address)


def test_no_parameter_can_add_a_header(address: Address) -> None:
    """A line break in a name stays in the body."""
    response = rest.request(address, "GET", "/hello?name=x%0D%0AInjected:%20yes")
    assert response.status == 200
    assert "Injected" not in response.headers
    assert "Hello x\r\nInjected: yes!" in response.text


def test_a_body_announced_as_too_large_is_refused_unread(address: Address) -> None:
    """413 comes while not a byte of the body was sent."""
    head = f"POST /hello HTTP/1.1\r\nHost: localhost\r\nContent-Type: {FORM}\r\n"
    response, _ = http_exchange(address, f"{head}Content-Length: {LIMIT + 1}\r\n\r\n".encode())
    assert response.status == 413
    assert response.headers["Content-Type"] == "application/problem+json"


def test_who_sends_a_body_that_is_too_large_gets_to_read_why(address: Address) -> None:
    """The answer is not lost to a reset of the connection."""
    response = rest.upload(address, [("large.bin", bytes(16 * LIMIT))])
    rest.expect_problem(response, 413)


def test_the_single_server_reads_a_body_that_is_too_large() -> None:
    """A client that cannot read before all is sent, such as urlopen, gets the answer as well."""
    with serving(SINGLE) as server:
        too_large = Request(f"http://{server.address}/hello", bytes(16 * LIMIT))
        with pytest.raises(HTTPError, match="413") as caught:
            urlopen(too_large)  # noqa: S310 - always http:
        caught.value.close()


def test_a_body_of_just_the_limit_is_taken(address: Address) -> None:
    """The limit is the largest size that is allowed."""
    body = b"name=x&y=".ljust(LIMIT, b"y")
    assert rest.request(address, "POST", "/hello", body, {"Content-Type": FORM}).status == 200


@pytest.mark.parametrize(("length", "status"), [(64 * 1024, 200), (64 * 1024 + 1, 400)])
def test_a_parameter_has_a_longest_length(address: Address, length: int, status: int) -> None:
    """A page may be many times as long: in place of each quotation mark it has six characters."""
    body = b"name=" + length * b'"'
    assert rest.request(address, "POST", "/hello", body, {"Content-Type": FORM}).status == status


def test_a_chunked_body_is_counted_or_refused(address: Address, driver: Driver) -> None:
    """A body without a length is read up to the limit; wsgiref cannot read one, and says so."""
    chunk = b"400\r\n" + 1024 * b"x" + b"\r\n"
    head = (
        f"POST /hello HTTP/1.1\r\nHost: localhost\r\nContent-Type: {FORM}\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
    ).encode()
    small = http_exchange(address, head + b"6\r\nname=x\r\n0\r\n\r\n")[0].status
    large = http_exchange(address, head + 1025 * chunk)[0].status
    assert (small, large) == {"gunicorn": (200, 413), "single": (411, 411)}[driver.name]


@pytest.mark.parametrize("length", ["-1", "+1", "1_0", "ten", "0x1", "1,1"])
def test_a_broken_content_length_is_a_bad_request(address: Address, length: str) -> None:
    """Only digits are a length."""
    head = f"POST /hello HTTP/1.1\r\nHost: localhost\r\nContent-Type: {FORM}\r\n"
    response, _ = http_exchange(address, f"{head}Content-Length: {length}\r\n\r\n".encode())
    assert response.status == 400


def test_options_asterisk_is_about_the_whole_server(address: Address) -> None:
    """`OPTIONS *` names the methods of all paths."""
    response, _ = http_exchange(address, b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (response.status, response.headers["Allow"]) == (204, "GET, HEAD, OPTIONS, POST")
    assert "Content-Length" not in response.headers  # RFC 9110, 8.6


def test_the_request_after_a_refused_one_is_answered(address: Address) -> None:
    """A body that nobody read is not taken for the next request."""
    connection = HTTPConnection(*address, timeout=FAR)
    connection.request("POST", "/nothing", b"GET /nothing HTTP/1.1\r\n\r\n")
    with connection.getresponse() as first:
        first.read()
    connection.request("GET", "/hello?name=x")
    with connection.getresponse() as second:
        second.read()
    connection.close()
    assert (first.status, second.status) == (404, 200)


def test_a_head_answer_has_no_body_on_the_wire(address: Address) -> None:
    """Nothing comes after the empty line, for a greeting as for an error."""
    for path in (b"/hello?name=x", b"/nothing"):
        with connect(address) as connection:
            connection.sendall(
                b"HEAD " + path + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            )
            answer = rest_of(connection)
        assert answer.endswith(b"\r\n\r\n")
        assert answer.count(b"\r\n\r\n") == 1


def test_sigterm_ends_the_single_server_amid_a_request() -> None:
    """Whatever the application does, and wsgiref catches."""
    signalling = """
import os, signal, time
from services import runtime
from services.rest import single

def application(environ, start_response):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)

single.application = application
runtime.main(single.serve, default_port=8080)
"""
    with running(["python", "-c", signalling]) as server:
        with pytest.raises(OSError):  # noqa: PT011 - any of a connection
            rest.request(server.address, "GET", "/")
        assert server.ended() == 0


@pytest.mark.parametrize(("host", "place"), [("::", LOOPBACK), ("::", "::1"), ("::1", "::1")])
def test_the_single_server_tells_an_application_addresses_as_rfc_3875_has_them(
    host: str, place: str
) -> None:
    """A client's in its own family (4.1.8), and a server's that is IPv6 in brackets (4.1.14)."""
    told = """
from services import runtime
from services.rest import single

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{environ['REMOTE_ADDR']} {environ['SERVER_NAME']}".encode()]

single.application = application
runtime.main(single.serve, default_port=8080)
"""
    with running(["python", "-c", told], WIRELAB_HOST=host) as server:
        where = Address(place, server.address.port)
        client, name = rest.request(where, "GET", "/").body.decode().split()
    assert client == place
    assert re.fullmatch(r"\[[0-9a-f:]+\]|[\w.-]+", name)


@pytest.mark.parametrize("said", [b"", b"GET /hel"], ids=["nothing", "half a request"])
def test_one_silent_client_blocks_the_single_server_until_it_leaves(said: bytes) -> None:
    """The kernel holds the others meanwhile, and each is served then."""
    with serving(SINGLE) as server, ExitStack() as clients:
        silent = clients.enter_context(connect(server.address))
        silent.sendall(said)
        waiting = [clients.enter_context(connect(server.address)) for _ in range(5)]
        for client in waiting:
            client.sendall(b"GET /hello?name=x HTTP/1.0\r\n\r\n")
        assert unanswered(*waiting)
        silent.close()
        for client in waiting:
            assert client.recv(4096).startswith(b"HTTP/1.0 200 OK")
            client.close()


def test_silent_clients_hold_no_thread() -> None:
    """With more half requests than there are threads, the next client is served before them."""
    form = b"POST /hello HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nname"
    with serving(GUNICORN, **{SILENCE_TIMEOUT: "2"}) as server, ExitStack() as stack:
        clients = [stack.enter_context(connect(server.address)) for _ in range(20)]
        for number, client in enumerate(clients):
            client.sendall((b"GET /hel", form)[number % 2])
        rest.health(server.address, FAR)
        assert not select.select(clients, [], [], 0)[0]
        for client in clients:
            assert client.recv(4096).startswith(b"HTTP/1.1 408 ")


def test_gunicorn_logs_requests() -> None:
    """A line for each on stdout: client, request line, status, size of the body, and time."""
    with running(GUNICORN.command) as server:
        rest.hello(server.address, "Guido")
        rest.request(server.address, "HEAD", "/localtime")
        http_exchange(server.address, b'GET /"quoted" HTTP/1.1\r\nHost: localhost\r\n\r\n')
        assert server.stop() == 0
        lines = re.findall(r"INFO +http: (.*) \d+ ms\n", server.log)
    assert sorted(lines) == [
        '127.0.0.1 "GET /\\"quoted\\" HTTP/1.1" 404 146 bytes',
        '127.0.0.1 "GET /hello?name=Guido HTTP/1.1" 200 114 bytes',
        '127.0.0.1 "HEAD /localtime HTTP/1.1" 200 0 bytes',
    ]


def test_every_route_is_described_and_every_description_is_a_route() -> None:
    """The OpenAPI document has just the registered methods and paths."""
    registered = {
        (method, path) for path, handlers in application.pathmap.items() for method in handlers
    }
    assert {(method, path) for method, path, _ in OPERATIONS.values()} == registered


def test_the_description_is_valid_openapi() -> None:
    """The document keeps to the OpenAPI specification."""
    validate(DOCUMENT)


def test_the_description_is_what_is_served(address: Address) -> None:
    """`/openapi.json` is the document, of this version."""
    served = rest.request(address, "GET", "/openapi.json").json()
    assert served == DOCUMENT
    assert served["info"]["version"] == VERSION


def described(operation: str, status: str) -> dict[str, Any]:
    """Return media type -> description, of an answer of an operation."""
    response = OPERATIONS[operation][2]["responses"][status]
    if "$ref" in response:
        response = DOCUMENT["components"]["responses"][response["$ref"].rpartition("/")[2]]
    content: dict[str, Any] = response["content"]
    return content


def provoke(address: Address, operation: str, status: str, media_type: str) -> rest.Response:
    """Make a request of `operation` that is to be answered with `status`."""
    method = OPERATIONS[operation][0]
    target, body, content_type = (BAD if status == "400" else GOOD)[operation]
    accept = media_type if status == "200" else "*/*"
    match status:
        case "406":
            accept = "image/png"
        case "413":
            body = bytes(LIMIT + 1)
        case "415":
            content_type = "text/plain"
        case "default":
            method = "DELETE"
    headers = {"Accept": accept, "Content-Type": content_type}
    return rest.request(address, method, target, body, headers)


@pytest.mark.parametrize(
    ("operation", "status"),
    [(name, status) for name in OPERATIONS for status in OPERATIONS[name][2]["responses"]],
)
def test_an_operation_answers_as_described(address: Address, operation: str, status: str) -> None:
    """Status, type and JSON of a real answer are those of the document."""
    for media_type, description in described(operation, status).items():
        response = provoke(address, operation, status, media_type)
        assert response.status == (405 if status == "default" else int(status))
        assert response.content_type == media_type
        if media_type.endswith("json"):
            schema = {**description["schema"], "components": DOCUMENT["components"]}
            Draft202012Validator(schema).validate(response.json())


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_type_described_first_is_the_default(address: Address, operation: str) -> None:
    """Who accepts anything gets the first type of the document."""
    response = provoke(address, operation, "200", "*/*")
    assert response.content_type == next(iter(described(operation, "200")))


def exchange(address: Address, target: str, *headers: str, body: bytes = b"") -> rest.Response:
    """Send a request as it is written; return the answer. With a body it is a POST."""
    method = "POST" if body else "GET"
    lines = [f"{method} {target} HTTP/1.1", f"Host: {address}", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    head = "\r\n".join([*lines, "", ""]).encode()
    response, content = http_exchange(address, head + body)
    return rest.Response(response.status, response.reason, response.headers, content)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/hello/AC%2FDC", "AC/DC"),
        ("/hello/AC%2fDC", "AC/DC"),
        ("/hello/%2F", "/"),
        ("/hello/a%5Cb", "a\\b"),
        ("/hello/a%00b", "a\0b"),
        ("/hello/100%25", "100%"),
        ("/hello/AC%252FDC", "AC%2FDC"),
        ("/hello/..", ".."),
        ("/hello/%2e", "."),
        ("/%68ello/Guido", "Guido"),
        ("/hello/a?name=b", "a"),
        ("http://{address}/hello/a%2Fb", "a/b"),
        ("/hello?name=a%2Fb/c?d", "a/b/c?d"),
        ("/hello?name=100%", "100%"),
        ("/hello?name=", ""),
        ("/hello?name", ""),
        ("/hello%2FGuido", 404),
        ("/hello/", 404),
        ("/hello//", 404),
        ("/hello//Guido", 404),
        ("//hello/Guido", 404),
        ("/hello/Guido/", 404),
        ("/hello/../localtime", 404),
        ("/./localtime", 404),
        ("/hello/100%", 400),
        ("/hello/%zz", 400),
        ("/hello/%FF", 400),
        ("/hello/Zoë", 400),
        ("/hello?name=Zoë", 400),
        ("/hello?name=%FF", 400),
    ],
)
def test_a_target_is_read_as_it_was_written(
    address: Address, target: str, expected: str | int
) -> None:
    """Under each server: slashes separate before anything is decoded, and nothing is guessed."""
    response = exchange(address, target.format(address=address), "Accept: application/json")
    if isinstance(expected, int):
        rest.expect_problem(response, expected)
    else:
        assert response.json()["name"] == expected


@pytest.mark.parametrize("target", ["/hello?name=Zoë", "/hello/Zoë"])
def test_who_sends_raw_utf8_is_told_to_encode_it(address: Address, target: str) -> None:
    """As somebody does who types it into curl."""
    assert "percent-encode" in exchange(address, target).json()["detail"]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (["Accept: image/png", "Accept: text/csv"], "text/csv"),
        (["Accept: text/csv;q=.5", "Accept:", "Accept: application/json;q=.6"], "application/json"),
        (["Accept:"], "text/html"),
        (["Accept: *"], "text/html"),
        (["Accept: text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"], "text/html"),
        (["Accept: text/xml"], "application/xml"),
    ],
)
def test_accept_may_be_sent_twice_or_empty(
    address: Address, headers: list[str], expected: str
) -> None:
    """Its headers are one list (RFC 9110, 5.3)."""
    assert exchange(address, "/hello?name=x", *headers).content_type == expected


def test_a_compressed_body_is_refused(address: Address) -> None:
    """With what is accepted instead (RFC 9110, 12.5.3)."""
    headers = (f"Content-Type: {FORM}", "Content-Encoding: gzip")
    response = exchange(address, "/hello", *headers, body=b"name=x")
    rest.expect_problem(response, 415)
    assert response.headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (FORM, b"name="),
        (FORM, b"name"),
        (MULTIPART, b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\n\r\n--b--\r\n'),
    ],
)
def test_a_name_may_be_empty(address: Address, content_type: str, body: bytes) -> None:
    """In a form as in a query."""
    headers = (f"Content-Type: {content_type}", "Accept: application/json")
    response = exchange(address, "/hello", *headers, body=body)
    assert response.json() == {"name": "", "greeting": "Hello !"}


@pytest.mark.parametrize(
    ("filename", "expected"),
    [
        (b"filename*=UTF-8''Zo%C3%AB.txt", "Zoë.txt"),
        (b"filename=\"Zoe.txt\"; filename*=UTF-8''Zo%C3%AB.txt", "Zoë.txt"),
        ('filename="Zoë.txt"'.encode(), "Zoë.txt"),
    ],
)
def test_an_upload_has_the_name_of_its_file(
    address: Address, filename: bytes, expected: str
) -> None:
    """However the client writes what is not ASCII (RFC 7578, 4.2; RFC 8187)."""
    body = FILE.replace(b'filename="a.txt"', filename)
    [row] = exchange(address, "/files", f"Content-Type: {MULTIPART}", body=body).json()
    assert (row["name"], row["size"]) == (expected, 3)


def test_a_form_whose_files_were_not_selected_has_none(address: Address) -> None:
    """What a browser sends for an empty input is no file, and other inputs still count."""
    content_type = f"Content-Type: {MULTIPART}"
    empty = FILE.replace(b"a.txt", b"").replace(b"abc", b"")
    rest.expect_problem(exchange(address, "/files", content_type, body=empty), 400)
    both = empty.replace(b"--b--\r\n", FILE)
    assert [row["name"] for row in exchange(address, "/files", content_type, body=both).json()] == [
        "a.txt"
    ]


def test_a_path_parameter_is_percent_decoded_utf8(address: Address) -> None:
    """`/hello/{name}` takes any name that a path segment can hold."""
    headers = {"Accept": "application/json"}
    response = rest.request(address, "GET", "/hello/" + quote("Zoë 你好?"), headers=headers)
    assert response.json()["name"] == "Zoë 你好?"
