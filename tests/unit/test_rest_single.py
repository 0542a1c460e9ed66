"""What wsgiref does not do for the application."""

from contextlib import closing
from http.client import HTTPConnection
from queue import Queue
from threading import Thread
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest

from services.rest import single
from services.rest.dispatcher import PathDispatcher
from tests.support.pace import FAR


@pytest.mark.parametrize("value", ["a\r\nInjected: yes", "a\n", "\x00", "\x7f"])
def test_no_header_can_hold_a_line_break(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """A handler that puts what it was sent into a header fails instead."""

    def careless(_environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain"), ("X-Name", value)])
        return [b"x"]

    def serve_one(server: single.Server) -> None:
        ready.put(server.server_port)
        server.handle_request()

    ready: Queue[int] = Queue()
    dispatcher = PathDispatcher()
    dispatcher.register("GET", "/", careless)
    monkeypatch.setattr(single, "application", dispatcher)
    monkeypatch.setattr(single.Server, "serve_forever", serve_one)
    thread = Thread(target=single.serve, args=(("127.0.0.1", 0),), daemon=True)
    thread.start()
    with closing(HTTPConnection("127.0.0.1", ready.get(timeout=FAR), timeout=FAR)) as client:
        client.request("GET", "/")
        response = client.getresponse()
        assert response.status == 500
        assert response.headers["Content-Type"] == "application/problem+json"
        assert response.headers["X-Name"] is None
    thread.join(FAR)
