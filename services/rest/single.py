"""The same application under `wsgiref`: one thread, one connection and one request at a time."""

import logging
import socket
import sys
import time
from contextlib import suppress
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from services import runtime
from services.rest.app import application

SILENCE = 10  # seconds
LINGER = 1  # second

log = logging.getLogger("rest")


def serve(address: runtime.Address) -> None:
    """Take one connection after the other, with one request and one answer each."""
    host, port = address
    with make_server(host, port, application, Server, Handler) as server:
        log.info("listening on %s:%d", *server.server_address[:2])
        server.serve_forever()


class Handler(WSGIRequestHandler):
    """A connection: whoever falls silent on it is dropped, since everybody else waits."""

    timeout = SILENCE

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name it has
        """Log a request, or what was wrong with it."""
        log.info("%s %s", self.client_address[0], format % args)


class Server(WSGIServer):
    """The listener; it closes in the order that keeps the answer."""

    def shutdown_request(self, request: Any) -> None:
        """Send FIN, then read what the client is still sending (RFC 9112, 9.6).

        Closing while some of it is unread would be a reset, which can overtake the answer.
        """
        deadline = time.monotonic() + LINGER
        with suppress(OSError):
            request.shutdown(socket.SHUT_WR)
            request.settimeout(LINGER)
            while request.recv(64 * 1024) and time.monotonic() < deadline:
                pass
        self.close_request(request)

    def handle_error(self, _request: Any, client_address: Any) -> None:
        """Log what ended a connection before there was a request to answer."""
        log.warning("connection from %s:%d: %r", *client_address, sys.exception())


if __name__ == "__main__":
    runtime.main(serve, default_port=8080)
