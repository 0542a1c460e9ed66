"""Errors as problem details: `application/problem+json` (RFC 9457)."""

import json
import sys
from collections.abc import Sequence
from http import HTTPStatus
from wsgiref.types import StartResponse, WSGIEnvironment

from services.rest.paths import normalized, raw_path


class Problem(Exception):
    """Raised by a handler to answer with an error; also the WSGI application that answers it.

    `detail` tells the client what is wrong with this request.
    """

    def __init__(
        self, status: HTTPStatus, detail: str, headers: Sequence[tuple[str, str]] = ()
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        """Answer with this problem, also in place of a response of which nothing was sent yet."""
        document = {
            "type": "about:blank",  # the status code says it all (RFC 9457, 4.2.1)
            "title": self.status.phrase,
            "status": self.status.value,
            "detail": self.detail,
            "instance": normalized(raw_path(environ)),
        }
        body = json.dumps(document, ensure_ascii=False, indent=2).encode() + b"\n"
        start_response(
            f"{self.status.value} {self.status.phrase}",
            [
                ("Content-Type", "application/problem+json"),
                ("Content-Length", str(len(body))),
                *self.headers,
            ],
            sys.exc_info(),  # so this one replaces it (PEP 3333)
        )
        return [body]
