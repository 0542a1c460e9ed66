"""What keeps an HTTP answer from coming whole, as an OSError that says it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, IncompleteRead, RemoteDisconnected
from typing import Any


class Incomplete(ConnectionError):
    """An answer that ends before it is complete."""


@contextmanager
def os_errors() -> Iterator[None]:
    """Raise ConnectionError for an answer that is not HTTP, and Incomplete for one that breaks off.

    http.client has HTTPException for both, which is no OSError.
    """
    try:
        yield
    except RemoteDisconnected:  # it is both
        raise
    except IncompleteRead as error:
        partial: bytes | int = error.partial  # of urllib3, a number of bytes
        came = partial if isinstance(partial, int) else len(partial)
        of = f" of {came + error.expected}" if error.expected else ""
        raise Incomplete(f"the answer is incomplete: it ends after {came}{of} bytes") from error
    except HTTPException as error:
        raise ConnectionError(f"not an HTTP answer: {error!r}") from error


def check_complete(length: int | None, *, chunked: bool, came: bool) -> None:
    """Raise Incomplete for an answer with neither a body nor a length.

    `length` is what is still to come of it, and `came` whether anything of the body has. Where
    none is announced, the body ends when the server closes (RFC 9112, 6.3). But so does a head that
    breaks off: http.client takes what there is of its lines for all of them.
    """
    if length is None and not chunked and not came:
        raise Incomplete("the answer is incomplete: it has neither a length nor a body")


@contextmanager
def shape_errors(*more: type[Exception]) -> Iterator[None]:
    """Raise ConnectionError where a document has not what is read of it, as another server's.

    `more` are what that raises beside the errors of Python.
    """
    wrong: tuple[type[Exception], ...] = (LookupError, TypeError, AttributeError, *more)
    try:
        yield
    except wrong as error:
        missing = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise ConnectionError(f"not the JSON of this service: {missing}") from error


def parsed_json(body: bytes) -> Any:
    """Return what a JSON document says; ConnectionError for a body that is none."""
    try:
        return json.loads(body)
    except ValueError as error:
        raise ConnectionError(f"not an answer in JSON: {error}") from None
