"""What wsgiref does not do for the application."""

from io import BytesIO, StringIO
from wsgiref.handlers import SimpleHandler
from wsgiref.types import StartResponse, WSGIEnvironment
from wsgiref.util import setup_testing_defaults

import pytest

from services.http.response import checked
from services.rest.dispatcher import PathDispatcher


@pytest.mark.parametrize("value", ["a\r\nInjected: yes", "a\n", "\x00", "\x7f"])
def test_no_header_can_hold_a_line_break(value: str) -> None:
    """A handler that puts what it was sent into a header fails instead."""

    def careless(_environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain"), ("X-Name", value)])
        return [b"x"]

    dispatcher = PathDispatcher()
    dispatcher.register("GET", "/", careless)
    environ: WSGIEnvironment = {}
    setup_testing_defaults(environ)
    sent = BytesIO()
    SimpleHandler(BytesIO(), sent, StringIO(), environ).run(checked(dispatcher))
    assert sent.getvalue().startswith(b"HTTP/1.0 500 Internal Server Error\r\n")
    assert b"application/problem+json" in sent.getvalue()
    assert b"X-Name" not in sent.getvalue()
