"""HTTP recipes with urllib, from the standard library; http/with_requests.py has the same ones.

Every function takes the base URL of the server, such as "http://127.0.0.1:8081", a path on it, and
a timeout in seconds. The timeout is for each wait on the socket (connecting, the next bytes), not
for the whole: a server that sends a byte now and then keeps a client for as long as it likes.
Where no answer comes, OSError is raised; TimeoutError is one.
"""
# ruff: noqa: S310 - urllib can open file: too, but a base URL here is always that of a server

import base64
import json
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from http.client import HTTPMessage, HTTPResponse
from http.cookiejar import CookieJar
from pathlib import Path
from typing import IO, BinaryIO, cast
from urllib import error, parse, request

from clients.http.errors import Incomplete, check_complete, os_errors
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
from clients.http.multipart import multipart

# ---- the recipes ----


def get(base: str, path: str, params: Mapping[str, str], timeout: float) -> Answer:
    """GET with a query: `params` become `?name1=value1&name2=value2`.

    urlencode() escapes what a query cannot hold (RFC 3986, 3.4), a space as "+".
    """
    with exchange(request.Request(f"{base}{path}?{parse.urlencode(params)}"), timeout) as response:
        return answer(response)


def post_form(base: str, path: str, fields: Mapping[str, str], timeout: float) -> Answer:
    """POST `fields` as an HTML form does: encoded like a query, but sent as the body.

    A Request with data is a POST, and its Content-Type is application/x-www-form-urlencoded
    unless another is given. The data are bytes: to encode them is the caller's work.
    """
    data = parse.urlencode(fields).encode("ascii")
    with exchange(request.Request(f"{base}{path}", data), timeout) as response:
        return answer(response)


def post_with_headers(
    base: str, path: str, fields: Mapping[str, str], headers: dict[str, str], timeout: float
) -> Answer:
    """POST a form with headers of one's own, which replace those that urllib would send.

    urllib sends each name capitalised, `Spam-eggs` for `spam-Eggs`: to the server it is the same
    (RFC 9110, 5.1).
    """
    data = parse.urlencode(fields).encode("ascii")
    with exchange(request.Request(f"{base}{path}", data, headers), timeout) as response:
        return answer(response)


def views(base: str, path: str, timeout: float) -> Views:
    """GET a JSON document, and see it as bytes, as text and as the data it stands for.

    urllib hands out bytes, and all else is up to the caller: the text's encoding is the charset
    of the Content-Type. JSON has no such parameter, it is UTF-8 (RFC 8259, 8.1 and 11).
    """
    with exchange(request.Request(f"{base}{path}"), timeout) as response:
        content = answer(response).content
        text = content.decode(response.headers.get_content_charset("utf-8"))
        return Views(content, text, json.loads(content))


def head(base: str, path: str, timeout: float) -> Answer:
    """HEAD: the headers that GET would answer with, and no body (RFC 9110, 9.3.2).

    So Content-Length is the length of a body that does not come; urllib knows not to wait for it.
    """
    with exchange(request.Request(f"{base}{path}", method="HEAD"), timeout) as response:
        return answer(response)


def basic_auth(base: str, path: str, user: str, password: str, timeout: float) -> Answer:
    """GET with a name and a password (RFC 7617): encoded, not encrypted; 401 if they are wrong.

    They are sent at once. urllib's own HTTPBasicAuthHandler first sends the request without
    them, to be told by a 401 that they are needed and for which realm. "Unredirected": another
    server, to which this one may redirect, must not see them.
    """
    wanted = request.Request(f"{base}{path}")
    wanted.add_unredirected_header("Authorization", basic_credentials(user, password))
    with exchange(wanted, timeout) as response:
        return answer(response)


def carry_cookies(base: str, first: str, second: str, timeout: float) -> Answer:
    """GET `first`, then `second` with the cookies that came, and return the second answer.

    The jar decides by domain, path and age which cookies go where (RFC 6265, 5.4); it sees every
    answer, redirects too. urllib carries no cookies unless it is given a jar.
    """
    cookies = request.HTTPCookieProcessor(CookieJar())
    with exchange(request.Request(f"{base}{first}"), timeout, cookies):
        pass
    with exchange(request.Request(f"{base}{second}"), timeout, cookies) as response:
        return answer(response)


def upload(base: str, path: str, file: Path, fields: Mapping[str, str], timeout: float) -> Answer:
    """POST a file, and form fields with it, as multipart/form-data (RFC 7578).

    urllib leaves the body to the caller: see multipart(). It is built in memory, file and all.
    """
    content_type, body = multipart(fields.items(), [("file", file.name, file.read_bytes())])
    wanted = request.Request(f"{base}{path}", body, {"Content-Type": content_type})
    with exchange(wanted, timeout) as response:
        return answer(response)


def follow_redirect(base: str, path: str, timeout: float) -> Answer:
    """GET, and go where a redirect points to: the answer's `url` says where it ended.

    urllib follows ten, and a redirected POST goes on as a GET without its body; that is what
    browsers do for 301, 302 and 303 (RFC 9110, 15.4). A POST answered with 307 or 308, which
    ask for it to be repeated as it is, is not followed.
    """
    with exchange(request.Request(f"{base}{path}"), timeout) as response:
        return answer(response)


def stop_at_redirect(base: str, path: str, timeout: float) -> Answer:
    """GET, and return a redirect as it came: its header Location says where it points to.

    urllib has no option for it, only a handler that can be replaced: see Redirects.
    """
    with exchange(request.Request(f"{base}{path}"), timeout, follow=False) as response:
        return answer(response)


def answer_within(base: str, path: str, timeout: float) -> Answer:
    """GET, and raise TimeoutError where nothing arrives for `timeout` seconds.

    Without a timeout urllib waits for ever. One that passes while connecting arrives inside a
    URLError, one that passes later as it is; plain_errors() makes them alike.
    """
    with exchange(request.Request(f"{base}{path}"), timeout) as response:
        return answer(response)


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

    The wait doubles each time, from `backoff` seconds on, and half of it is random: clients that
    failed together must not come back together. What the server asks for by Retry-After goes
    first (RFC 9110, 10.2.3), up to LONGEST_WAIT. After `retries`, or with the first failure that
    is later than `within` seconds, the last answer is returned or the last error raised.
    Repeating is safe because GET is idempotent (RFC 9110, 9.2.2). A body that breaks off is not
    asked for again.
    """
    wanted = request.Request(f"{base}{path}")
    with exchange_with_retries(wanted, timeout, retries, within, backoff) as response:
        return answer(response)


def download(base: str, path: str, sink: BinaryIO, timeout: float, progress: Progress) -> Answer:
    """GET a body of any size into `sink`, a chunk at a time; the answer's content is empty.

    read() without a size would hold the whole body, and only read() without a size notices by
    itself that a body is shorter than its Content-Length.
    """
    with exchange(request.Request(f"{base}{path}"), timeout) as response:
        save(response, sink, progress)
        return answer(response, streamed=True)


def send(
    base: str, wanted: Wanted, timeout: float, sink: BinaryIO | None, progress: Progress
) -> Answer:
    """Send what the command line asks for: all of the recipes in one request."""
    url = f"{base}{wanted.path}"
    if wanted.params:
        url += ("&" if "?" in url else "?") + parse.urlencode(wanted.params)
    asked = request.Request(url, method=wanted.method)
    if wanted.files:
        files = [("file", file.name, file.read_bytes()) for file in wanted.files]
        content_type, asked.data = multipart(wanted.form, files)
        asked.add_header("Content-Type", content_type)
    elif wanted.form:
        asked.data = parse.urlencode(wanted.form).encode("ascii")
    for name, value in wanted.headers.items():
        asked.add_header(name, value)
    if wanted.user:
        asked.add_unredirected_header("Authorization", basic_credentials(*wanted.user))
    with exchange_with_retries(
        asked, timeout, wanted.retries, within=60.0, backoff=0.1, follow=wanted.follow
    ) as response:
        if sink:
            save(response, sink, progress)
        return answer(response, streamed=sink is not None)


# ---- what the recipes are made of ----


@contextmanager
def plain_errors() -> Iterator[None]:
    """Raise as an OSError whatever keeps an answer from coming.

    urllib has three shapes for it: a URLError around the OSError until the request is sent, the
    OSError itself later on, and an HTTPException, which is no OSError, for an answer that is not
    HTTP or breaks off.
    """
    try:
        with os_errors():
            yield
    except error.URLError as failed:
        raise failed.reason if isinstance(failed.reason, OSError) else failed from None


@plain_errors()
def exchange(
    wanted: request.Request, timeout: float, *handlers: request.BaseHandler, follow: bool = True
) -> HTTPResponse:
    """Send a request and return the response whatever its status; the caller closes it.

    For 4xx and 5xx urllib raises HTTPError, which can do all that a response can.
    """
    # Straight to the server: a proxy named by the environment is for the world outside the lab.
    direct = request.ProxyHandler({})
    opener = request.build_opener(direct, Redirects(follow=follow), *handlers)
    try:
        response = opener.open(wanted, timeout=timeout)
    except error.HTTPError as refused:
        response = refused
    return cast(HTTPResponse, response)


def exchange_with_retries(
    wanted: request.Request,
    timeout: float,
    retries: int,
    within: float,
    backoff: float,
    *,
    follow: bool = True,
) -> HTTPResponse:
    """Do what exchange() does, and again while there is hope and time: see get_with_retries()."""
    deadline = time.monotonic() + within
    if wanted.get_method() not in IDEMPOTENT:
        retries = 0
    attempt = 0
    while True:
        wait = backoff * 2**attempt * random.uniform(0.5, 1)  # noqa: S311 - no secret
        try:
            response = exchange(wanted, timeout, follow=follow)
        except OSError:
            if attempt == retries or time.monotonic() >= deadline:
                raise
        else:
            if response.status not in RETRIED:
                return response
            if attempt == retries or time.monotonic() >= deadline:
                return response
            asked = retry_after(response.headers)
            wait = wait if asked is None else asked
            response.close()
        time.sleep(min(wait, LONGEST_WAIT))
        attempt += 1


@plain_errors()
def answer(response: HTTPResponse, *, streamed: bool = False) -> Answer:
    """Read the body, unless it was streamed and is gone, and return all in the terms of the lab."""
    content = b"" if streamed else response.read()
    check_complete(response.length, chunked=response.chunked, came=streamed or content != b"")
    headers = tuple(response.headers.items())
    return Answer(response.url, response.status, response.reason, headers, content)


@plain_errors()
def save(response: HTTPResponse, sink: BinaryIO, progress: Progress) -> None:
    """Copy the body to `sink`; Incomplete, a ConnectionError, if it ends before its length."""
    total = response.length
    so_far = 0
    while chunk := response.read(CHUNK):
        sink.write(chunk)
        so_far += len(chunk)
        progress(so_far, total)
    if total is not None and so_far < total:
        raise Incomplete(f"the answer is incomplete: it ends after {so_far} of {total} bytes")
    check_complete(total, chunked=response.chunked, came=so_far > 0)


def basic_credentials(user: str, password: str) -> str:
    """Return the value of Authorization (RFC 7617, 2); a colon ends the name."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")


def retry_after(headers: HTTPMessage) -> float | None:
    """Return the seconds that Retry-After asks for, as a number or as a date; None for neither."""
    value = headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


class Redirects(request.HTTPRedirectHandler):
    """Follows redirects within the server, or none; the others are returned as they came."""

    def __init__(self, *, follow: bool) -> None:
        self.follow = follow

    def redirect_request(
        self,
        req: request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> request.Request | None:
        """Return the next request, or None where there is to be none."""
        if not self.follow or not same_server(req.full_url, newurl):
            return None
        return super().redirect_request(req, fp, code, msg, headers, newurl)
