"""An upload route, as a class whose instances are WSGI applications."""

import hashlib
from collections.abc import Iterable
from http import HTTPStatus
from io import BytesIO
from wsgiref.types import StartResponse, WSGIEnvironment

from services.rest.accept import acceptable
from services.rest.problems import Problem
from services.rest.representations import CSV, HTML, JSON, XML, Record, headers, render


class Fingerprints:
    """List name, size and fingerprint of each file of a form; nothing is stored."""

    def __init__(self, algorithm: str) -> None:
        self.algorithm = algorithm

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer the request."""
        media_type = acceptable(environ, JSON, CSV, XML, HTML)
        rows: list[Record] = [
            {
                "field": field,
                "name": file.filename,
                "content_type": file.content_type,
                "size": file.size,
                self.algorithm: self.fingerprint(file.file),
            }
            for field, files in environ["files"].items()
            for file in files
        ]
        if not rows:
            raise Problem(HTTPStatus.BAD_REQUEST, "There is no file in the form.")
        body = render(media_type, "files", rows)
        start_response("200 OK", headers(media_type, body))
        return [body]

    def fingerprint(self, file: BytesIO) -> str:
        """Return the hexadecimal digest of a file's content."""
        return hashlib.file_digest(file, self.algorithm).hexdigest()
