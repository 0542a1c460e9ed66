"""REST: requests to the HTTP service, and what it promises to answer."""

import hashlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPMessage
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlencode

from clients.addresses import Address
from clients.checks import Check, WrongAnswer, expect
from clients.http.errors import check_complete, os_errors
from clients.http.headers import combined
from clients.http.multipart import multipart

if TYPE_CHECKING:
    import argparse

    from clients.client import Ask

SERVICE = "rest"
TYPES = {
    "html": "text/html",
    "json": "application/json",
    "xml": "application/xml",
    "csv": "text/csv",
}
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS")
URLENCODED = "application/x-www-form-urlencoded"


class Response(NamedTuple):
    """An answer: its status, headers and body."""

    status: int
    reason: str
    headers: HTTPMessage
    body: bytes

    @property
    def content_type(self) -> str:
        """The media type of the body, without its parameters."""
        return self.headers.get_content_type() if "Content-Type" in self.headers else ""

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", errors="replace")

    def json(self) -> Any:
        """Return what the JSON document in the body says."""
        return json.loads(self.body)


def request(
    address: Address,
    method: str,
    target: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    timeout: float = 5.0,
) -> Response:
    """Send one request on a connection of its own, and return the answer, errors included.

    Raises TimeoutError when nothing comes for `timeout` seconds, and other OSErrors when there is
    no connection, or what comes is not HTTP or incomplete.
    """
    connection = HTTPConnection(address.host, address.port, timeout=timeout)
    try:
        # What is percent-encoded stays so; what a URL cannot hold becomes so (RFC 3986, 2).
        target = quote(target, safe="%/?#[]:@!$&'()*+,;=~")
        connection.connect()
        # A server that refuses a body closes before it has all of it, but answers (RFC 9112, 9.5).
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.request(method, target, body, headers or {})
        with os_errors():
            response = connection.getresponse()
            content = response.read()
        check_complete(response.length, chunked=response.chunked, came=content != b"")
        return Response(response.status, response.reason, response.headers, content)
    finally:
        connection.close()


def hello(address: Address, name: str, timeout: float = 5.0) -> str:
    """Return the page that greets `name`."""
    response = request(address, "GET", "/hello?" + urlencode({"name": name}), timeout=timeout)
    expect("status of /hello", response.status, 200)
    return response.text


def local_time(address: Address, timeout: float = 5.0) -> time.struct_time:
    """Return the local time of the server."""
    response = request(
        address, "GET", "/localtime", headers={"Accept": TYPES["json"]}, timeout=timeout
    )
    expect("status of /localtime", response.status, 200)
    now = response.json()
    fields = ("year", "month", "day", "hour", "minute", "second")
    return time.strptime(" ".join(str(now[field]) for field in fields), "%Y %m %d %H %M %S")


def upload(
    address: Address,
    files: Sequence[tuple[str, bytes]],
    accept: str = TYPES["json"],
    timeout: float = 5.0,
) -> Response:
    """Send files (name and content of each) as one form and return the answer (RFC 7578)."""
    content_type, body = multipart([], [("file", name, content) for name, content in files])
    headers = {"Content-Type": content_type, "Accept": accept}
    return request(address, "POST", "/files", body, headers, timeout)


@contextmanager
def conversation(address: Address, timeout: float) -> "Iterator[Ask]":
    """Connect; lend a function that has a word greeted, on that connection while it stays open.

    A server of HTTP/1.0 closes it after each answer, and the next question opens another.
    """
    with closing(HTTPConnection(address.host, address.port, timeout=timeout)) as connection:
        connection.connect()

        def ask(word: str) -> None:
            connection.request("GET", f"/hello?name={quote(word)}")
            with os_errors():
                response = connection.getresponse()
                page = response.read().decode()
            expect("the status", response.status, 200)
            expect(f"the greeting of {word!r}", f"<h1>Hello {word}!</h1>" in page, True)

        yield ask


def health(address: Address, timeout: float = 2.0) -> None:
    """Have one greeting; raise WrongAnswer, or an OSError, if it is not right."""
    if "<h1>Hello health!</h1>" not in (page := hello(address, "health", timeout)):
        raise WrongAnswer(f"/hello does not greet: {page!r:.200}")


def check_hello(address: Address) -> None:
    """Hold the page to its bytes, and to a name that can do no harm in it."""
    page = (
        "<html>\n  <head>\n     <title>Hello {0}</title>\n   </head>\n"
        "   <body>\n     <h1>Hello {0}!</h1>\n   </body>\n</html>"
    )
    expect("GET /hello", hello(address, "Guido"), page.format("Guido"))
    expect("an escaped name", hello(address, "<b>&"), page.format("&lt;b&gt;&amp;"))


def check_localtime(address: Address) -> None:
    """Hold the time to XML unless JSON is asked for, and to our clock, give or take a day."""
    response = request(address, "GET", "/localtime")
    expect("default type", response.content_type, TYPES["xml"])
    lines = [line.strip().partition(">")[0] for line in response.text.splitlines()]
    fields = ["<year", "<month", "<day", "<hour", "<minute", "<second"]
    expect("elements", lines, ['<?xml version="1.0"?', "<time", *fields, "</time"])
    # The server may be in another time zone.
    apart = abs(time.mktime(local_time(address)) - time.time())
    expect("within a day of our clock", apart < 24 * 3600, True)


def check_negotiation(address: Address) -> None:
    """Hold each answer to the type that is accepted, and to 406 for one that there is not."""
    for media_type in TYPES.values():
        response = request(address, "GET", "/hello?name=x", headers={"Accept": media_type})
        expect(f"status as {media_type}", response.status, 200)
        expect("type", response.content_type, media_type)
    response = request(address, "GET", "/hello?name=x", headers={"Accept": "image/png"})
    expect_problem(response, 406)


def check_problems(address: Address) -> None:
    """Hold errors to being problem details, and 405 to saying what is allowed."""
    expect_problem(request(address, "GET", "/nothing"), 404)
    expect_problem(request(address, "GET", "/hello"), 400)
    response = request(address, "DELETE", "/hello")
    expect_problem(response, 405)
    expect("Allow", response.headers["Allow"], "GET, HEAD, OPTIONS, POST")


def check_head_and_options(address: Address) -> None:
    """Hold HEAD to the headers of GET without the body, and OPTIONS to the methods."""
    get = request(address, "GET", "/hello?name=x")
    head = request(address, "HEAD", "/hello?name=x")
    expect("body", head.body, b"")
    for header in ("Content-Type", "Content-Length"):
        expect(header, head.headers[header], get.headers[header])
    options = request(address, "OPTIONS", "/localtime")
    expect("OPTIONS", (options.status, options.headers["Allow"]), (204, "GET, HEAD, OPTIONS"))


def check_form(address: Address) -> None:
    """Hold a form in the body to being as good as a query."""
    body = urlencode({"name": "Zoë"}).encode()
    headers = {"Content-Type": URLENCODED, "Accept": TYPES["json"]}
    response = request(address, "POST", "/hello", body, headers)
    expect("greeting", response.json(), {"name": "Zoë", "greeting": "Hello Zoë!"})


def check_upload(address: Address) -> None:
    """Hold an upload to arriving to the byte."""
    content = bytes(range(256)) * 64
    response = upload(address, [("bytes.bin", content)])
    row = {
        "field": "file",
        "name": "bytes.bin",
        "content_type": "application/octet-stream",
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    expect("the file", response.json(), [row])


def check_openapi(address: Address) -> None:
    """Hold the service to describing itself."""
    document = request(address, "GET", "/openapi.json").json()
    expect("version", document["openapi"], "3.1.0")
    expect("a path in it", "/hello/{name}" in document["paths"], True)


def expect_problem(response: Response, status: int) -> None:
    """Raise WrongAnswer unless `response` has problem details with this status (RFC 9457)."""
    expect("status", response.status, status)
    expect("type", response.content_type, "application/problem+json")
    expect("status in the body", response.json()["status"], status)


CHECKS = (
    Check("greets by name, which is escaped", check_hello),
    Check("tells the local time as XML and JSON", check_localtime),
    Check("answers in the type that Accept asks for", check_negotiation),
    Check("404, 400 and 405 are problem details", check_problems),
    Check("HEAD and OPTIONS", check_head_and_options),
    Check("takes a form", check_form),
    Check("takes a file upload", check_upload),
    Check("describes itself with OpenAPI", check_openapi),
)


def configure(parser: "argparse.ArgumentParser") -> None:
    """Describe the subcommand's arguments."""
    from clients.cli.options import existing_file, header, pair

    parser.description = (
        "Use the REST service. Shown are the status, the headers that matter here, and the body."
    )
    parser.epilog = (
        "try:\n"
        "  clients rest hello Guido\n"
        "  clients rest localtime --as json     the same resource in another form\n"
        "  clients rest GET /                   the list of all routes\n"
        "  clients rest DELETE /hello           an error, and what is allowed instead\n"
        "  clients rest POST /hello -d name=Guido\n"
        "  clients rest OPTIONS '*'"
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    greet = actions.add_parser("hello", help="GET /hello?name=NAME")
    greet.add_argument("name", metavar="NAME")
    actions.add_parser("localtime", help="GET /localtime")
    send = actions.add_parser("upload", help="POST /files with the FILEs as a multipart form")
    send.add_argument("files", metavar="FILE", nargs="+", type=existing_file)
    for method in METHODS:
        raw = actions.add_parser(method, help=f"{method} PATH")
        raw.add_argument("path", metavar="PATH", help="such as /hello?name=Guido, or * in OPTIONS")
        raw.add_argument(
            "-d",
            "--data",
            metavar="NAME=VALUE",
            action="append",
            default=[],
            type=pair,
            help="a field of a form to send as the body; may be repeated",
        )
        raw.add_argument(
            "-H",
            "--header",
            metavar="'NAME: VALUE'",
            action="append",
            default=[],
            type=header,
            help="a header to send; may be repeated: more headers, one for each name",
        )
    for action in actions.choices.values():
        action.add_argument(
            "--as",
            dest="form",
            choices=TYPES,
            help="the form to ask for in the Accept header; without it, the server's choice",
        )


def command(options: "argparse.Namespace", address: Address) -> None:
    """Send one request and print what comes back, errors included."""
    headers = {"Accept": TYPES[options.form]} if options.form else {}
    match options.action:
        case "hello":
            target = "/hello?" + urlencode({"name": options.name})
            response = request(address, "GET", target, None, headers, options.timeout)
        case "localtime":
            response = request(address, "GET", "/localtime", None, headers, options.timeout)
        case "upload":
            files = [(file.name, file.read_bytes()) for file in options.files]
            response = upload(address, files, headers.get("Accept", "*/*"), options.timeout)
        case method:
            body = None
            if options.data:
                body = urlencode(options.data).encode()
                headers["Content-Type"] = URLENCODED
            headers = replaced(headers, combined(options.header))
            response = request(address, method, options.path, body, headers, options.timeout)
    show(response)


def replaced(headers: dict[str, str], by: dict[str, str]) -> dict[str, str]:
    """Return headers, with others in the place of those of the same name, in any case."""
    given = {name.lower() for name in by}
    return {name: value for name, value in headers.items() if name.lower() not in given} | by


def show(response: Response) -> None:
    """Print the status line, the headers of interest and the body."""
    print(response.status, response.reason)
    for name in ("Content-Type", "Content-Length", "Allow", "Vary"):
        if name in response.headers:
            print(f"{name}: {response.headers[name]}")
    print()
    if response.body:
        sys.stdout.write(response.text.rstrip("\r\n") + "\n")
