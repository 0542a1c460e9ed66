"""httpbin: the server that the HTTP recipes are checked against.

The recipes are in http/with_urllib.py and http/with_requests.py; a check runs one with both
libraries.
"""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from clients.addresses import Address
from clients.checks import Check, expect
from clients.http.errors import os_errors

if TYPE_CHECKING:
    from types import ModuleType

    from clients.client import Ask
    from clients.http.messages import Answer

SERVICE = "httpbin"
TIMEOUT = 5.0  # seconds


def health(address: Address, timeout: float) -> None:
    """Send one GET, and find in the answer what was sent."""
    with closing(HTTPConnection(*address, timeout=timeout)) as connection:
        connection.request("GET", "/user-agent", headers={"User-Agent": "wirelab health"})
        with os_errors():
            response = connection.getresponse()
            body = response.read()
        expect("the status", response.status, 200)
        expect("the answer", body, b'{\n  "user-agent": "wirelab health"\n}\n')


@contextmanager
def conversation(address: Address, timeout: float) -> "Iterator[Ask]":
    """Connect; lend a function that finds a word in the answer to a query with it."""
    with closing(HTTPConnection(address.host, address.port, timeout=timeout)) as connection:
        connection.connect()

        def ask(word: str) -> None:
            connection.request("GET", f"/get?word={quote(word)}")
            with os_errors():
                response = connection.getresponse()
                body = response.read().decode()
            expect("the status", response.status, 200)
            expect(f"{word!r} in the answer", f'"word": "{word}"' in body, True)

        yield ask


def both(recipe: "Callable[[ModuleType, str], object]") -> Callable[[Address], None]:
    """Make a check that runs `recipe` with each library and compares what it returns."""

    def run(address: Address) -> None:
        from clients.http import with_requests, with_urllib

        base = f"http://{address}"
        expect("requests against urllib", recipe(with_requests, base), recipe(with_urllib, base))

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
