"""The parameters of a request: from its query, and from the form in its body.

A form is `application/x-www-form-urlencoded` (WHATWG URL Standard, 5) or `multipart/form-data`
(RFC 7578), in UTF-8. Text fields become `environ["params"]`, uploaded files `environ["files"]`.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from http import HTTPStatus
from io import BytesIO
from urllib.parse import parse_qsl, unquote
from wsgiref.types import WSGIEnvironment

from multipart import (  # type: ignore[import-untyped]
    MultipartError,
    MultipartParser,
    MultipartPart,
    ParserLimitReached,
    parse_options_header,
)

from services.rest.paths import IN_QUERY, unencoded
from services.rest.problems import Problem

FORMS = "application/x-www-form-urlencoded, multipart/form-data"
MAX_FIELDS = 256
MAX_LENGTH = 64 * 1024  # characters; what a page makes of one can be twelve times that

# Without its end, one extends to that of the header: to search on would be quadratic.
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?$)')
_VALUE = re.compile(r"utf-8'[^']*'((?:[^%]|%[\dA-F]{2})*+)", re.ASCII | re.IGNORECASE)  # RFC 8187
_EXTENDED = re.compile(r";\s*filename\*\s*=\s*([^;\s]*)", re.IGNORECASE)

Fields = list[tuple[str, str]]
Params = dict[str, str | list[str]]
Files = dict[str, list[MultipartPart]]


def parameters(environ: WSGIEnvironment, max_body: int) -> tuple[Params, Files]:
    """Return the parameters and the files of a request; a body is at most `max_body` bytes.

    Raises a Problem: 400 for what is malformed, 413 for what is too large, 415 for a body that
    is no form or is compressed, 408 for one that does not arrive and 411 for one without a length.
    """
    fields: Fields = []
    files: Files = {}
    # In a GET or HEAD request, a body means nothing (RFC 9110, 9.3.1).
    if environ["REQUEST_METHOD"] not in ("GET", "HEAD") and (body := read(environ, max_body)):
        media_type, options = parse_options_header(environ.get("CONTENT_TYPE", "").expandtabs(1))
        match media_type:
            case "application/x-www-form-urlencoded":
                fields = urlencoded(decoded(body))
            case "multipart/form-data":
                fields, files = multipart(body, options.get("boundary", ""))
            case _:
                raise Problem(
                    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                    f"A body of type {media_type!r} is not supported, only a form.",
                    headers=[("Accept", FORMS)],  # RFC 9110, 15.5.16
                )
    if query := environ.get("QUERY_STRING", ""):
        if IN_QUERY.search(query):
            raise Problem(HTTPStatus.BAD_REQUEST, f"In the query, {unencoded(IN_QUERY, query)}.")
        fields += urlencoded(query)
    return collected(fields) if fields else {}, files


def read(environ: WSGIEnvironment, max_body: int) -> bytes:
    """Return the body, without reading it if it is announced as too large, or compressed."""
    coding = environ.get("HTTP_CONTENT_ENCODING", "")
    if coding.lower() not in ("", "identity"):
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"A body of Content-Encoding {coding!r} is not supported, only an uncompressed one.",
            headers=[("Accept-Encoding", "identity")],  # RFC 9110, 12.5.3
        )
    too_large = Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"A body may have at most {max_body} bytes."
    )
    announced = environ.get("CONTENT_LENGTH", "")
    if announced:
        # int() also takes signs, spaces, underscores and digits of other scripts.
        if not (announced.isascii() and announced.isdigit()):
            raise Problem(HTTPStatus.BAD_REQUEST, "Content-Length is not a number.")
        # The length of the number first: Python refuses to convert one of 5,000 digits.
        if len(announced) > 18 or int(announced) > max_body:
            raise too_large
        body = receive(environ, int(announced))
        if len(body) < int(announced):
            raise Problem(HTTPStatus.BAD_REQUEST, "The body is shorter than its Content-Length.")
    elif environ.get("wsgi.input_terminated"):
        # The server decodes the chunks, and its input ends with the body.
        body = receive(environ, max_body + 1)
        if len(body) > max_body:
            raise too_large
    elif environ.get("HTTP_TRANSFER_ENCODING"):
        raise Problem(HTTPStatus.LENGTH_REQUIRED, "This server accepts no body without a length.")
    else:
        body = b""
    return body


def receive(environ: WSGIEnvironment, size: int) -> bytes:
    """Read up to `size` bytes from the client."""
    try:
        body: bytes = environ["wsgi.input"].read(size)
    except (BlockingIOError, TimeoutError):
        raise Problem(HTTPStatus.REQUEST_TIMEOUT, "The body did not arrive in time.") from None
    except Exception as error:  # each WSGI server raises errors of its own
        raise Problem(HTTPStatus.BAD_REQUEST, "The body could not be read.") from error
    return body


def urlencoded(text: str) -> Fields:
    """Return the fields of a query or of a form; the value of `name` is as empty as of `name=`."""
    if text.count("&") >= MAX_FIELDS:
        raise Problem(HTTPStatus.BAD_REQUEST, f"There may be at most {MAX_FIELDS} parameters.")
    if "%" not in text and "+" not in text:  # what parse_qsl() does takes four times as long
        fields: Fields = []
        for field in text.split("&"):
            if field:
                name, _, value = field.partition("=")
                fields.append((name, value))
        return fields
    try:
        return parse_qsl(text, keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise Problem(HTTPStatus.BAD_REQUEST, "A parameter is not UTF-8.") from None


def multipart(body: bytes, boundary: str) -> tuple[Fields, Files]:
    """Return the text fields and the files of a multipart form."""
    fields: Fields = []
    files: Files = {}
    for part in parts(body, boundary):
        part.filename = filename(part)
        if part.filename is None:
            fields.append((part.name, decoded(part.raw)))
        elif part.filename or part.size:
            files.setdefault(part.name, []).append(part)
        # Otherwise no file was selected for an input of files (WHATWG HTML, 4.10.21.4).
    return fields, files


def parts(body: bytes, boundary: str) -> Iterator[MultipartPart]:
    """Yield the parts of a multipart form; they stay in memory, as the body does."""
    try:
        yield from MultipartParser(
            BytesIO(body),
            boundary,
            content_length=len(body),
            strict=True,
            # In one piece: the parser takes the CR LF after the last boundary for an error where
            # that is in the piece before, and what precedes the first one where it is longer.
            buffer_size=len(body),
            part_limit=MAX_FIELDS,
            header_limit=8,
            headersize_limit=4096,  # bytes
            spool_limit=len(body),
            memory_limit=len(body),
            disk_limit=0,
        )
    except ParserLimitReached as error:
        raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{error}.") from None
    except MultipartError as error:
        raise Problem(HTTPStatus.BAD_REQUEST, f"The form is malformed: {error}.") from None


def filename(part: MultipartPart) -> str | None:
    """Return the name of a part's file, or None if it is a text field.

    `filename*` goes before `filename` (RFC 6266, 4.3), unless it cannot be decoded. RFC 7578, 4.2,
    has clients not use it, and some do.
    """
    extended = _EXTENDED.search(_QUOTED.sub('""', part.disposition))
    if extended and (found := _VALUE.fullmatch(extended[1])):
        with suppress(UnicodeDecodeError):
            return unquote(found[1], errors="strict")
    name: str | None = part.filename
    if name is not None or not extended:
        return name
    detail = f"The file name {extended[1]!r:.100} is not UTF-8 as in RFC 8187."
    raise Problem(HTTPStatus.BAD_REQUEST, detail)


def decoded(data: bytes) -> str:
    """Return a form or a text field as text, whatever charset its part may name.

    Clients should send UTF-8 (RFC 7578, 5.1.2; URL Standard, 5).
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise Problem(HTTPStatus.BAD_REQUEST, "A parameter is not UTF-8.") from None


def collected(fields: Fields) -> Params:
    """Return name -> value, with a list of the values of a name that is repeated."""
    single: Params = dict(fields)
    if len(single) == len(fields):
        return single
    values: dict[str, list[str]] = {}
    for name, value in fields:
        values.setdefault(name, []).append(value)
    return {name: some[0] if len(some) == 1 else some for name, some in values.items()}


def parameter(environ: WSGIEnvironment, name: str) -> str:
    """Return the one value of the parameter `name`; without it, raise a 400 Problem."""
    value = environ["params"].get(name)
    if isinstance(value, str) and len(value) <= MAX_LENGTH:
        return value
    match value:
        case None:
            fault = "missing"
        case str():
            fault = "too long"
        case _:
            fault = "given more than once"
    raise Problem(HTTPStatus.BAD_REQUEST, f"The parameter {name!r} is {fault}.")
