"""HTTP recipes with requests; http/with_urllib.py has the same ones with the standard library.

Every function takes the base URL of the server, such as "http://127.0.0.1:8081", a path on it, and
a timeout in seconds. The timeout is for each wait on the socket (connecting, the next bytes), not
for the whole: a server that sends a byte now and then keeps a client for as long as it likes.
Where no answer comes, requests.RequestException is raised, which is an OSError.

`requests.get(...)` does what `Session().get(...)` does, with a new session each time.
"""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urljoin

import requests
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth
from urllib3 import Retry
from urllib3.exceptions import ReadTimeoutError

from clients.http.errors import check_complete, os_errors
from clients.http.messages import (
    CHUNK,
    IDEMPOTENT,
    LONGEST_WAIT,
    RETRIED,
    Answer,
    Progress,
    Views,
    Wanted,
    same_server,
)

# ---- the recipes ----


def get(base: str, path: str, params: Mapping[str, str], timeout: float) -> Answer:
    """GET with a query: `params` become `?name1=value1&name2=value2`.

    requests escapes what a query cannot hold (RFC 3986, 3.4), a space as "+".
    """
    with Session() as session:
        return answer(session.get(f"{base}{path}", params=params, timeout=timeout))


def post_form(base: str, path: str, fields: Mapping[str, str], timeout: float) -> Answer:
    """POST `fields` as an HTML form does: encoded like a query, but sent as the body.

    A mapping as data is encoded, and labelled application/x-www-form-urlencoded; bytes would be
    sent as they are, `json=` as JSON.
    """
    with Session() as session:
        return answer(session.post(f"{base}{path}", data=fields, timeout=timeout))


def post_with_headers(
    base: str, path: str, fields: Mapping[str, str], headers: dict[str, str], timeout: float
) -> Answer:
    """POST a form with headers of one's own, which replace those that requests would send.

    A header whose value is None is not sent at all.
    """
    with Session() as session:
        url = f"{base}{path}"
        return answer(session.post(url, data=fields, headers=headers, timeout=timeout))


def views(base: str, path: str, timeout: float) -> Views:
    """GET a JSON document, and see it as bytes, as text and as the data it stands for.

    `text` is decoded by the charset of the Content-Type. Where it has none, requests takes
    text/... for ISO-8859-1, as HTTP once said, and guesses for the rest: set `encoding` first
    if you know better. json() uses the same charset, and without one it takes the UTF-8 of RFC
    8259, or UTF-16 or -32 where it sees that.
    """
    with Session() as session:
        response = session.get(f"{base}{path}", timeout=timeout)
        return Views(response.content, response.text, response.json())


def head(base: str, path: str, timeout: float) -> Answer:
    """HEAD: the headers that GET would answer with, and no body (RFC 9110, 9.3.2).

    So Content-Length is the length of a body that does not come. Alone among its functions,
    head() does not follow redirects unless told to.
    """
    with Session() as session:
        url = f"{base}{path}"
        return answer(session.head(url, allow_redirects=True, timeout=timeout))


def basic_auth(base: str, path: str, user: str, password: str, timeout: float) -> Answer:
    """GET with a name and a password (RFC 7617): encoded, not encrypted; 401 if they are wrong.

    They are sent at once, and not to another server to which this one may redirect. Text would
    be encoded as ISO-8859-1, which cannot hold every password: so they are given as UTF-8.
    """
    with Session() as session:
        auth = HTTPBasicAuth(user.encode(), password.encode())
        return answer(session.get(f"{base}{path}", auth=auth, timeout=timeout))


def carry_cookies(base: str, first: str, second: str, timeout: float) -> Answer:
    """GET `first`, then `second` with the cookies that came, and return the second answer.

    A session has a jar, which decides by domain, path and age which cookies go where (RFC 6265,
    5.4). By hand, `requests.get(second, cookies=response.cookies)`, those that a redirect set
    are lost: they are not in `response` but in `response.history`.
    """
    with Session() as session:
        session.get(f"{base}{first}", timeout=timeout)
        return answer(session.get(f"{base}{second}", timeout=timeout))


def upload(base: str, path: str, file: Path, fields: Mapping[str, str], timeout: float) -> Answer:
    """POST a file, and form fields with it, as multipart/form-data (RFC 7578).

    requests builds the body, boundary and all. It does so in memory: an open file is read whole.
    """
    with Session() as session, file.open("rb") as source:
        files = {"file": (file.name, source, "application/octet-stream")}
        return answer(session.post(f"{base}{path}", data=fields, files=files, timeout=timeout))


def follow_redirect(base: str, path: str, timeout: float) -> Answer:
    """GET, and go where a redirect points to: the answer's `url` says where it ended.

    requests follows thirty, and keeps the answers on the way in `history`. A redirected POST
    goes on as a GET without its body, as browsers do for 301, 302 and 303 (RFC 9110, 15.4);
    after 307 and 308 it is repeated as it is.
    """
    with Session() as session:
        return answer(session.get(f"{base}{path}", timeout=timeout))


def stop_at_redirect(base: str, path: str, timeout: float) -> Answer:
    """GET, and return a redirect as it came: its header Location says where it points to."""
    with Session() as session:
        return answer(session.get(f"{base}{path}", allow_redirects=False, timeout=timeout))


def answer_within(base: str, path: str, timeout: float) -> Answer:
    """GET, and raise TimeoutError where nothing arrives for `timeout` seconds.

    Without a timeout requests waits for ever. One that passes before the headers are there is a
    requests.Timeout; one that passes in the middle of the body is a requests.ConnectionError.
    """
    with Session() as session:
        try:
            return answer(session.get(f"{base}{path}", timeout=timeout))
        except requests.Timeout as late:
            raise TimeoutError(str(late)) from late
        except requests.ConnectionError as late:
            if late.args and isinstance(late.args[0], ReadTimeoutError):
                raise TimeoutError(str(late)) from late
            raise


def get_with_retries(
    base: str,
    path: str,
    timeout: float,
    *,
    retries: int = 3,
    within: float = 10.0,
    backoff: float = 0.1,
) -> Answer:
    """GET, and again after a connection error or a status that says "later".

    requests leaves that to urllib3, below it. The first retry comes at once; then the wait
    doubles each time, and up to `backoff` seconds of it are random: clients that failed together
    must not come back together. What the server asks for by Retry-After goes first (RFC 9110,
    10.2.3), up to LONGEST_WAIT. After `retries`, or with the first failure that is later than
    `within` seconds, the last answer is returned or the last error raised. Repeating is safe
    because GET is idempotent (RFC 9110, 9.2.2). A body that breaks off is not asked for again.
    """
    with Session() as session:
        session.mount(base, with_retries(retries, within, backoff))
        return answer(session.get(f"{base}{path}", timeout=timeout))


def download(base: str, path: str, sink: BinaryIO, timeout: float, progress: Progress) -> Answer:
    """GET a body of any size into `sink`, a chunk at a time; the answer's content is empty.

    Without `stream=True` requests reads the whole body before it returns.
    """
    with (
        Session() as session,
        session.get(
            f"{base}{path}", headers=UNCOMPRESSED, stream=True, timeout=timeout
        ) as response,
    ):
        save(response, sink, progress)
        return answer(response, streamed=True)


def send(
    base: str, wanted: Wanted, timeout: float, sink: BinaryIO | None, progress: Progress
) -> Answer:
    """Send what the command line asks for: all of the recipes in one request."""
    files = [
        ("file", (file.name, file.read_bytes(), "application/octet-stream"))
        for file in wanted.files
    ]
    with plain_errors(), Session() as session:
        if wanted.retries:
            session.mount(base, with_retries(wanted.retries, within=60.0, backoff=0.1))
        with session.request(
            wanted.method,
            f"{base}{wanted.path}",
            params=wanted.params,
            data=wanted.form,
            files=files,
            headers=(UNCOMPRESSED if sink else {}) | dict(wanted.headers),
            auth=HTTPBasicAuth(*(text.encode() for text in wanted.user)) if wanted.user else None,
            allow_redirects=wanted.follow,
            stream=sink is not None,
            timeout=timeout,
        ) as response:
            if sink:
                save(response, sink, progress)
            return answer(response, streamed=sink is not None)


# ---- what the recipes are made of ----

# A compressed body is unpacked on the way, so its bytes would not add up to the Content-Length.
UNCOMPRESSED = {"Accept-Encoding": "identity"}


class Session(requests.Session):
    """A session that stays with its server.

    No proxy and no password out of the environment (http_proxy, ~/.netrc), and a redirect that
    points to another server is returned as it came.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return where to go next, or None for nowhere."""
        target = super().get_redirect_target(resp)
        if target is None or not same_server(resp.url, urljoin(resp.url, target)):
            return None
        return target


class RetryWithin(Retry):
    """A Retry that looks at the clock too: urllib3's own only counts."""

    def __init__(self, *args: Any, deadline: float = math.inf, **options: Any) -> None:
        super().__init__(*args, **options)
        self.deadline = deadline

    def new(self, **options: Any) -> "RetryWithin":
        """Return what is left of this after an attempt: urllib3 never changes one."""
        return super().new(deadline=self.deadline, **options)

    def is_exhausted(self) -> bool:
        """Tell whether to give up."""
        return time.monotonic() >= self.deadline or super().is_exhausted()


def with_retries(retries: int, within: float, backoff: float) -> HTTPAdapter:
    """Return an adapter, the part of a session that holds connections, which tries again."""
    return HTTPAdapter(
        max_retries=RetryWithin(
            total=retries,
            status_forcelist=RETRIED,
            allowed_methods=IDEMPOTENT,
            backoff_factor=backoff,
            backoff_jitter=backoff,
            backoff_max=LONGEST_WAIT,
            retry_after_max=LONGEST_WAIT,
            raise_on_status=False,
            deadline=time.monotonic() + within,
        )
    )


@contextmanager
def plain_errors() -> Iterator[None]:
    """Raise the OSError that is behind one of requests.

    What requests says has the arguments of all errors of urllib3 in it, each with those of the one
    before: "('Connection broken: IncompleteRead(5 bytes read, 5 more expected)', Incomplete...".
    """
    try:
        yield
    except requests.RequestException as error:
        found: BaseException = error
        behind = error.__context__
        while behind:
            found = behind if isinstance(behind, OSError | HTTPException) else found
            behind = behind.__context__
        with os_errors():
            raise found from None


def answer(response: requests.Response, *, streamed: bool = False) -> Answer:
    """Return the response in the terms of the lab; a body that was streamed is gone."""
    # response.headers would join those of the same name into one.
    headers = tuple(response.raw.headers.items())
    content = b"" if streamed else response.content
    check_complete(
        response.raw.length_remaining,
        chunked=response.raw.chunked,
        came=streamed or content != b"",
    )
    return Answer(response.url, response.status_code, response.reason, headers, content)


def save(response: requests.Response, sink: BinaryIO, progress: Progress) -> None:
    """Copy the body to `sink`; ChunkedEncodingError if it ends before its announced length."""
    total = response.raw.length_remaining
    so_far = 0
    for chunk in response.iter_content(CHUNK):
        sink.write(chunk)
        so_far += len(chunk)
        progress(so_far, total)
    check_complete(total, chunked=response.raw.chunked, came=so_far > 0)
