"""httpbin: what the HTTP recipes are checked against, and the subcommand `http`.

The recipes are in http_urllib.py and http_requests.py; a check runs one with both libraries.
"""

import http.client
import re
import sys
from collections.abc import Callable
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from clients.addresses import Address
from clients.checks import Check, expect

if TYPE_CHECKING:
    import argparse
    from types import ModuleType

    from clients.http_messages import Answer

SERVICE = "httpbin"
TIMEOUT = 5.0  # seconds


def health(address: Address, timeout: float) -> None:
    """Send one GET, and find in the answer what was sent."""
    with closing(http.client.HTTPConnection(*address, timeout=timeout)) as connection:
        connection.request("GET", "/user-agent", headers={"User-Agent": "wirelab health"})
        response = connection.getresponse()
        expect("the status", response.status, 200)
        expect("the answer", response.read(), b'{\n  "user-agent": "wirelab health"\n}\n')


def both(recipe: "Callable[[ModuleType, str], object]") -> Callable[[Address], None]:
    """Make a check that runs `recipe` with each library and compares what it returns."""

    def run(address: Address) -> None:
        from clients import http_requests, http_urllib

        base = f"http://{address}"
        expect("requests against urllib", recipe(http_requests, base), recipe(http_urllib, base))

    return run


def check_get(library: "ModuleType", base: str) -> object:
    """Hold httpbin to the arguments of a query."""
    answer: Answer = library.get(base, "/get", {"name1": "value1", "name2": "a b&c=ü"}, TIMEOUT)
    expect("the arguments", answer.json()["args"], {"name1": "value1", "name2": "a b&c=ü"})
    return answer.json()["url"]


def check_form(library: "ModuleType", base: str) -> object:
    """Hold httpbin to the fields of a form."""
    answer: Answer = library.post_form(base, "/post", {"name1": "value1", "name2": "ü"}, TIMEOUT)
    expect("the form", answer.json()["form"], {"name1": "value1", "name2": "ü"})
    return answer.json()["headers"]["Content-Type"]


def check_headers(library: "ModuleType", base: str) -> object:
    """Hold httpbin to the headers that it was sent."""
    headers = {"User-agent": "none/ofyourbusiness", "Spam": "Eggs"}
    answer: Answer = library.post_with_headers(base, "/post", {"a": "1"}, headers, TIMEOUT)
    seen = answer.json()["headers"]
    expect("the headers", (seen["User-Agent"], seen["Spam"]), ("none/ofyourbusiness", "Eggs"))
    return answer.json()["form"]


def check_views(library: "ModuleType", base: str) -> object:
    """Hold a JSON document to its three views."""
    views = library.views(base, "/json", TIMEOUT)
    expect("the text", views.text.encode(), views.content)
    expect("the title in the JSON", views.json["slideshow"]["title"], "Sample Slide Show")
    return views


def check_head(library: "ModuleType", base: str) -> object:
    """Hold HEAD to the length that GET would send, and to no body."""
    answer: Answer = library.head(base, "/encoding/utf8", TIMEOUT)
    whole: Answer = library.get(base, "/encoding/utf8", {}, TIMEOUT)
    expect("the length", answer.header("Content-Length"), str(len(whole.content)))
    expect("the body", answer.content, b"")
    return answer.header("Content-Type")


def check_basic_auth(library: "ModuleType", base: str) -> object:
    """Hold httpbin to letting in who has the password, and nobody else."""
    path = "/basic-auth/user/password"
    right: Answer = library.basic_auth(base, path, "user", "password", TIMEOUT)
    expect("with the right password", right.status, 200)
    wrong: Answer = library.basic_auth(base, path, "user", "passwort", TIMEOUT)
    expect("with a wrong password", wrong.status, 401)
    return right.json(), wrong.header("WWW-Authenticate")


def check_cookies(library: "ModuleType", base: str) -> object:
    """Hold the second request to the cookie that answered the first."""
    answer: Answer = library.carry_cookies(base, "/cookies/set?spam=eggs", "/cookies", TIMEOUT)
    expect("the cookies", answer.json(), {"cookies": {"spam": "eggs"}})
    return answer.content


def check_upload(library: "ModuleType", base: str) -> object:
    """Hold httpbin to the content of a file: this one."""
    file = Path(__file__)
    answer: Answer = library.upload(base, "/post", file, {"a": "1"}, TIMEOUT)
    expect("the file", answer.json()["files"], {"file": file.read_bytes().decode()})
    expect("the form", answer.json()["form"], {"a": "1"})
    return answer.status


def check_redirect(library: "ModuleType", base: str) -> object:
    """Hold a redirect to where it points, followed and not."""
    path = "/redirect/2"
    followed: Answer = library.follow_redirect(base, path, TIMEOUT)
    expect("followed", (followed.status, followed.url), (200, f"{base}/get"))
    stopped: Answer = library.stop_at_redirect(base, path, TIMEOUT)
    location = stopped.header("Location")
    expect("not followed", (stopped.status, location), (302, "/relative-redirect/1"))
    return stopped.content


def check_timeout(library: "ModuleType", base: str) -> object:
    """Hold an answer that comes after 0.3 s to coming too late for 0.1 s, and in time for more."""
    try:
        answer: Answer = library.answer_within(base, "/delay/0.3", 0.1)
    except TimeoutError:
        answer = library.answer_within(base, "/delay/0.3", TIMEOUT)
        expect("the status in time", answer.status, 200)
    else:
        expect("within 0.1 s", answer, TimeoutError)
    return answer.status


def check_retries(library: "ModuleType", base: str) -> object:
    """Hold a server that answers one request in four with 503 to 200 in the end."""
    answer: Answer = library.get_with_retries(
        base, "/status/200:3,503:1", TIMEOUT, retries=20, backoff=0.001
    )
    expect("the status after retries", answer.status, 200)
    given_up: Answer = library.get_with_retries(
        base, "/status/503", TIMEOUT, retries=2, backoff=0.001
    )
    expect("the status in the end", given_up.status, 503)
    return answer.content


def check_download(library: "ModuleType", base: str) -> object:
    """Hold a streamed body to its announced length, and progress to getting there."""
    from io import BytesIO

    sink, progress = BytesIO(), []
    library.download(base, "/range/100000", sink, TIMEOUT, lambda *so_far: progress.append(so_far))
    expect("the last progress", progress[-1], (100_000, 100_000))
    expect("progress, sorted", sorted(progress), progress)
    return sink.getvalue()


CHECKS = (
    Check("GET with a query", both(check_get)),
    Check("POST of a form", both(check_form)),
    Check("headers of one's own", both(check_headers)),
    Check("an answer as bytes, text and JSON", both(check_views)),
    Check("HEAD has headers and no body", both(check_head)),
    Check("basic authentication, right and wrong", both(check_basic_auth)),
    Check("cookies go with the next request", both(check_cookies)),
    Check("file upload", both(check_upload)),
    Check("redirect, followed and not", both(check_redirect)),
    Check("timeout", both(check_timeout)),
    Check("retries with backoff", both(check_retries)),
    Check("streamed download with progress", both(check_download)),
)

EXAMPLES = """\
examples:
  clients http GET /get name1=value1 name2=value2       a query; the answer has what was asked
  clients http POST /post --form a=1 -H 'Spam: Eggs'    a form, and a header of one's own
  clients http POST /post --file picture.png            a file, as multipart/form-data
  clients http GET /basic-auth/user/password --user user:password
  clients http HEAD /html -i                            headers only
  clients http GET /redirect/3 -i --no-redirect         where it points to: Location
  clients http GET /delay/3 --timeout 1                 an answer that comes too late
  clients http GET /status/503:3,200:1 --retries 5      one that comes in the end
  clients http GET /range/100000 --output letters       a download with progress
"""


def configure(parser: "argparse.ArgumentParser") -> None:
    """Describe the subcommand's arguments."""
    from clients.options import existing_file, number_from, parsed

    parser.epilog = EXAMPLES
    parser.add_argument(
        "method",
        type=parsed("a method such as GET", method),
        metavar="METHOD",
        help="GET, HEAD, POST, PUT, ...",
    )
    parser.add_argument(
        "path",
        type=parsed("a path such as /get", path),
        metavar="PATH",
        help="on the lab's httpbin, as /get",
    )
    parser.add_argument(
        "params",
        nargs="*",
        type=parsed("NAME=VALUE", pair),
        metavar="NAME=VALUE",
        help="a parameter of the query; all of them stand right behind PATH",
    )
    parser.add_argument(
        "-F",
        "--form",
        action="append",
        default=[],
        type=parsed("NAME=VALUE", pair),
        metavar="NAME=VALUE",
        help="a field of a form, which is the body (more than once: more fields)",
    )
    parser.add_argument(
        "--file",
        type=existing_file,
        metavar="FILE",
        help="upload this file with the form, as its field 'file'",
    )
    parser.add_argument(
        "-H",
        "--header",
        action="append",
        default=[],
        type=parsed("'NAME: VALUE'", header),
        metavar="'NAME: VALUE'",
        help="a header to send (more than once: more headers)",
    )
    parser.add_argument(
        "-u",
        "--user",
        type=parsed("USER:PASSWORD", credentials),
        metavar="USER:PASSWORD",
        help="log in (basic auth)",
    )
    parser.add_argument(
        "--retries",
        type=number_from(0, 100),
        default=0,
        metavar="N",
        help="try up to N times more after a connection error or 429, 500, 502, 503, 504",
    )
    parser.add_argument("--no-redirect", action="store_true", help="show a redirect, stay here")
    parser.add_argument("-i", "--include", action="store_true", help="print the headers too")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write the body to FILE")
    parser.add_argument(
        "--library",
        choices=("urllib", "requests"),
        default="urllib",
        help="what sends it (default: %(default)s; look for the difference with /headers)",
    )


def command(options: "argparse.Namespace", address: Address) -> None:
    """Send one request; print status, headers with --include, and the body.

    Without --include the status goes to stderr, so that the body alone can be piped.
    """
    from clients import http_requests, http_urllib
    from clients.http_messages import IDEMPOTENT, Wanted

    if options.retries and options.method not in IDEMPOTENT:
        raise ValueError(
            f"--retries has value {options.retries}. Not for {options.method}, which may not be"
            " repeated (RFC 9110, 9.2.2)"
        )
    if options.output and options.method == "HEAD":
        raise ValueError(f"--output has value {str(options.output)!r}. Not for HEAD: no body comes")
    wanted = Wanted(
        method=options.method,
        path=options.path,
        params=tuple(options.params),
        headers=tuple(options.header),
        form=tuple(options.form),
        file=options.file,
        user=options.user,
        follow=not options.no_redirect,
        retries=options.retries,
    )
    library = http_requests if options.library == "requests" else http_urllib
    with writable(options.output) if options.output else nullcontext() as sink:
        answer = library.send(f"http://{address}", wanted, options.timeout, sink, show_progress)
    print(answer.status, answer.reason, file=sys.stdout if options.include else sys.stderr)
    if options.include:
        for name, value in answer.headers:
            print(f"{name}: {value}")
        print(flush=True)
    sys.stdout.buffer.write(answer.content)


def writable(output: Path) -> BinaryIO:
    """Open the file named by --output; ValueError where that cannot be."""
    try:
        return output.open("wb")
    except OSError as error:
        reason = f"Not a file that can be written: {error.strerror}"
        raise ValueError(f"--output has value {str(output)!r}. {reason}") from None


def show_progress(so_far: int, total: int | None) -> None:
    """Keep one line of a terminal up to date."""
    if sys.stderr.isatty():
        whole = "?" if total is None else f"{total:,}"
        end = "\n" if so_far == total else ""
        print(f"\r{so_far:,} of {whole} bytes", end=end, file=sys.stderr, flush=True)


def method(text: str) -> str:
    """Parse a method: a word, such as GET."""
    if not (text.isascii() and text.isalpha()):
        raise ValueError
    return text.upper()


def path(text: str) -> str:
    """Parse a path, query and all; with one slash first, so that it names no other server."""
    if not re.fullmatch(r"/(?!/)[!-~]*", text) or "#" in text:
        raise ValueError
    return text


def pair(text: str) -> tuple[str, str]:
    """Parse `name=value`."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ValueError
    return name, value


def header(text: str) -> tuple[str, str]:
    """Parse `Name: value`, a name and a value that a header can have (RFC 9110, 5.1 and 5.5)."""
    if not (parts := re.fullmatch(r"([\w!#$%&'*+.^`|~-]+):[ \t]*([ -~\t]*)", text, re.ASCII)):
        raise ValueError
    return parts[1], parts[2].rstrip()


def credentials(text: str) -> tuple[str, str]:
    """Parse `user:password`; only the password may have a colon."""
    user, colon, password = text.partition(":")
    if not (user and colon):
        raise ValueError
    return user, password
